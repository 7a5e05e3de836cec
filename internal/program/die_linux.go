package program

import "syscall"

// dieWithParent ends a server with the test that started it, also if that is killed.
func dieWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
