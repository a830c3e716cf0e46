package migration_test

import "syscall"

// dieWithParent has the kernel kill a program when the test process dies, by a
// panic or a timeout too, when no cleanup runs.
func dieWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
