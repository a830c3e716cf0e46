//go:build unix && !linux

package main

import (
	"os/exec"
	"syscall"
)

// separate gives the process a group of its own.
func separate(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
}
