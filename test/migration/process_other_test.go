//go:build !linux

package migration_test

import "syscall"

// dieWithParent does nothing here: only Linux can tie a program's life to that
// of its parent.
func dieWithParent() *syscall.SysProcAttr { return nil }
