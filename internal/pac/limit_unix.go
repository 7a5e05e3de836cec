//go:build unix

package pac

import "golang.org/x/sys/unix"

// limit bounds the memory of this process. What it says of its end goes nowhere.
func limit(size uint64) {
	l := unix.Rlimit{}
	l.Cur, l.Max = size, size
	unix.Setrlimit(unix.RLIMIT_DATA, &l)
	unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{})
}
