//go:build unix

package fileserver

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

func identityOf(_ *os.File, info fs.FileInfo) (identity, error) {
	s := info.Sys().(*syscall.Stat_t)
	at := changed(s)
	return identity{
		size: info.Size(), modified: info.ModTime(), changed: at,
		is: fmt.Sprint(s.Dev, s.Ino, info.Size(), info.ModTime().UnixNano(), at.UnixNano()),
	}, nil
}
