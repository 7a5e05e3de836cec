//go:build unix

package tempfile

import (
	"io/fs"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// mine reports whether a file belongs to this user and has exactly one name.
func mine(info fs.FileInfo) bool {
	s, ok := info.Sys().(*syscall.Stat_t)
	return ok && s.Uid == uint32(os.Geteuid()) && s.Nlink == 1
}

// setTime is advice: not every file system keeps every time.
func setTime(f *os.File, at time.Time) {
	if year := at.Year(); year > 1900 && year < 2262 { // what nanoseconds can count
		t := unix.NsecToTimeval(at.UnixNano())
		unix.Futimes(int(f.Fd()), []unix.Timeval{t, t})
	}
}
