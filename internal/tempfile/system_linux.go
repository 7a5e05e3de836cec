package tempfile

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// noFollow opens no link, and does not wait for the other end of a pipe.
const noFollow = unix.O_NOFOLLOW | unix.O_NONBLOCK

func writable(dir string) error { return unix.Access(dir, unix.W_OK|unix.X_OK) }

func startWriteBack(f *os.File, off, n int64) {
	// Advice only: an error here shows again at the sync.
	unix.SyncFileRange(int(f.Fd()), off, n, unix.SYNC_FILE_RANGE_WRITE)
}

func preallocate(f *os.File, size int64) error {
	err := uninterrupted(func() error { return unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_KEEP_SIZE, 0, size) })
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) || errors.Is(err, unix.EFBIG) {
		return err
	}
	return nil
}

func syncData(f *os.File) error {
	return uninterrupted(func() error { return unix.Fdatasync(int(f.Fd())) })
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if errors.Is(err, unix.EACCES) {
		return nil // a folder that can be written but not read cannot be synced
	} else if err != nil {
		return err
	}
	err = d.Sync()
	if errors.Is(err, unix.EINVAL) {
		err = nil // some file systems have nothing to sync there
	}
	return errors.Join(err, d.Close())
}

func renameNew(temp, local string) error {
	err := uninterrupted(func() error {
		return unix.Renameat2(unix.AT_FDCWD, temp, unix.AT_FDCWD, local, unix.RENAME_NOREPLACE)
	})
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) {
		return linkNew(temp, local)
	}
	return err
}
