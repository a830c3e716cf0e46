//go:build !linux

package testserver

import (
	"os"
	"syscall"
)

// dieWithParent does nothing here: only Linux can tie a program's life to
// that of its parent.
func dieWithParent() *syscall.SysProcAttr { return nil }

func killGroup(p *os.Process) {
	_ = p.Kill() // it may have ended by itself
}
