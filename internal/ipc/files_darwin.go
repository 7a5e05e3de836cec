package ipc

import "golang.org/x/sys/unix"

// keepNothing makes that no file beyond the standard streams is inherited by programs that this process starts.
func keepNothing() {
	for fd := 3; fd < 1024; fd++ {
		unix.CloseOnExec(fd)
	}
}
