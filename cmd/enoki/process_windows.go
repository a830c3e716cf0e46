package main

import (
	"os"
	"os/exec"
	"syscall"
)

// separate gives the process a group of its own.
func separate(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{CreationFlags: syscall.CREATE_NEW_PROCESS_GROUP}
}

// interrupt ends a process: Windows can't ask one in another group to end.
func interrupt(p *os.Process) { kill(p) }

func kill(p *os.Process) { _ = p.Kill() } // fails when it has ended, which is what we want
