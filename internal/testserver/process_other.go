//go:build !linux

package testserver

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
)

// dieWithParent does nothing here: only Linux can tie a program's life to
// that of its parent.
func dieWithParent(*exec.Cmd) {}

func killGroup(p *os.Process) {
	_ = p.Kill() // it may have ended by itself
}

// unprivileged does nothing here: tests don't run as root.
func unprivileged(*exec.Cmd, string) error { return nil }

// within leaves cmd with an error: only Linux has what it takes.
func within(cmd *exec.Cmd, root string) {
	cmd.Err = fmt.Errorf("can't run a program within %s on %s, only on Linux", root, runtime.GOOS)
}
