//go:build unix

package main

import (
	"os"
	"syscall"
)

// interrupt asks a process to end. Its own children are its business.
func interrupt(p *os.Process) { _ = p.Signal(syscall.SIGTERM) } // fails when it has ended, which is what we want

// kill ends a process and those it started at once.
func kill(p *os.Process) { _ = syscall.Kill(-p.Pid, syscall.SIGKILL) }
