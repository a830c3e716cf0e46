//go:build !linux

package testserver

import (
	"os"
	"os/exec"
)

// dieWithParent does nothing here: only Linux can tie a program's life to
// that of its parent.
func dieWithParent(*exec.Cmd) {}

func killGroup(p *os.Process) {
	_ = p.Kill() // it may have ended by itself
}

// unprivileged does nothing here: tests don't run as root.
func unprivileged(*exec.Cmd, string) error { return nil }
