//go:build unix

package tempfile

import (
	"errors"

	"golang.org/x/sys/unix"

	"bits/hresult"
)

// systemErrors maps what the system says to codes; the first row that fits decides.
var systemErrors = []systemError{
	{unix.ENOSPC, hresult.ERROR_DISK_FULL},
	{unix.EDQUOT, hresult.ERROR_DISK_QUOTA_EXCEEDED},
	{unix.EACCES, hresult.E_ACCESSDENIED},
	{unix.EPERM, hresult.E_ACCESSDENIED},
	{unix.EISDIR, hresult.E_ACCESSDENIED},
	{unix.EROFS, hresult.ERROR_WRITE_PROTECT},
	{unix.ENOENT, hresult.ERROR_PATH_NOT_FOUND},
	{unix.ENOTDIR, hresult.ERROR_PATH_NOT_FOUND},
	{unix.EEXIST, hresult.ERROR_FILE_EXISTS},
	{unix.ENAMETOOLONG, hresult.ERROR_FILENAME_EXCED_RANGE},
	{unix.EINVAL, hresult.ERROR_INVALID_NAME},
	{unix.ELOOP, hresult.ERROR_INVALID_NAME},
	{unix.EFBIG, hresult.ERROR_FILE_TOO_LARGE},
	{unix.EBUSY, hresult.ERROR_SHARING_VIOLATION},
	{unix.ETXTBSY, hresult.ERROR_SHARING_VIOLATION},
	{unix.EIO, hresult.ERROR_IO_DEVICE},
	{unix.ENODEV, hresult.ERROR_NOT_READY},
	{unix.ENXIO, hresult.ERROR_NOT_READY},
	{unix.ENOTCONN, hresult.ERROR_NOT_READY}, // of a FUSE file system whose server has died
	{unix.ECONNABORTED, hresult.ERROR_NOT_READY},
	{unix.ESTALE, hresult.ERROR_FILE_INVALID},
	{unix.ETIMEDOUT, hresult.ERROR_SEM_TIMEOUT},
	{unix.EAGAIN, hresult.ERROR_SEM_TIMEOUT},
	{unix.EHOSTDOWN, hresult.ERROR_SEM_TIMEOUT},
	{unix.EMFILE, hresult.ERROR_NO_SYSTEM_RESOURCES},
	{unix.ENFILE, hresult.ERROR_NO_SYSTEM_RESOURCES},
	{unix.ENOMEM, hresult.E_OUTOFMEMORY},
}

// uninterrupted makes a call of the system again as long as signals interrupt it; package os does so by itself.
func uninterrupted(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
