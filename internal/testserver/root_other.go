//go:build !linux

package testserver

import (
	"fmt"
	"os/exec"
	"runtime"
)

// within leaves cmd with an error: only Linux has what it takes.
func within(cmd *exec.Cmd, root string) {
	cmd.Err = fmt.Errorf("can't run a program within %s on %s, only on Linux", root, runtime.GOOS)
}
