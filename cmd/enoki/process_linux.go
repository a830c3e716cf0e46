package main

import (
	"os/exec"
	"syscall"
)

// separate gives the process a group of its own, and asks the kernel to end
// it when we are killed and can't do so ourselves.
func separate(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}
