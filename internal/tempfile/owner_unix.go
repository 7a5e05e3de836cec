//go:build unix

package tempfile

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
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

// Volume names the volume of the folder of a path, "" if it is not known.
func Volume(path string) string {
	dir := filepath.Dir(path)
	var v unix.Statfs_t
	if err := unix.Statfs(dir, &v); err != nil {
		return ""
	}
	if v.Fsid.Val != [2]int32{} {
		return fmt.Sprintf("%08x%08x", uint32(v.Fsid.Val[0]), uint32(v.Fsid.Val[1]))
	}
	var s unix.Stat_t
	if err := unix.Stat(dir, &s); err != nil {
		return ""
	}
	return fmt.Sprintf("%x", s.Dev)
}
