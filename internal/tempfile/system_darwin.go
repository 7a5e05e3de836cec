package tempfile

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// noFollow opens no link, and does not wait for the other end of a pipe.
const noFollow = unix.O_NOFOLLOW | unix.O_NONBLOCK

func writable(dir string) error { return unix.Access(dir, unix.W_OK|unix.X_OK) }

func startWriteBack(*os.File, int64, int64) {}

func preallocate(*os.File, int64) error { return nil }

// syncData uses F_FULLFSYNC, as os.File.Sync does on this system.
func syncData(f *os.File) error { return f.Sync() }

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if errors.Is(err, unix.EACCES) {
		return nil // a folder that can be written but not read cannot be synced
	} else if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func renameNew(temp, local string) error {
	err := uninterrupted(func() error { return unix.RenamexNp(temp, local, unix.RENAME_EXCL) })
	if errors.Is(err, unix.ENOTSUP) {
		return linkNew(temp, local)
	}
	return err
}
