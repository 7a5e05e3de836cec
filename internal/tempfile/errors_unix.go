//go:build unix

package tempfile

import (
	"golang.org/x/sys/unix"

	"bits"
	"bits/hresult"
)

// systemErrors maps what the system says to codes; the first row that fits decides.
var systemErrors = []systemError{
	{unix.ENOSPC, hresult.ERROR_DISK_FULL, bits.ContextLocalFile},
	{unix.EDQUOT, hresult.ERROR_DISK_QUOTA_EXCEEDED, bits.ContextLocalFile},
	{unix.EACCES, hresult.E_ACCESSDENIED, bits.ContextLocalFile},
	{unix.EPERM, hresult.E_ACCESSDENIED, bits.ContextLocalFile},
	{unix.EISDIR, hresult.E_ACCESSDENIED, bits.ContextLocalFile},
	{unix.EROFS, hresult.ERROR_WRITE_PROTECT, bits.ContextLocalFile},
	{unix.ENOENT, hresult.ERROR_PATH_NOT_FOUND, bits.ContextLocalFile},
	{unix.ENOTDIR, hresult.ERROR_PATH_NOT_FOUND, bits.ContextLocalFile},
	{unix.EEXIST, hresult.ERROR_FILE_EXISTS, bits.ContextLocalFile},
	{unix.ENAMETOOLONG, hresult.ERROR_FILENAME_EXCED_RANGE, bits.ContextLocalFile},
	{unix.EINVAL, hresult.ERROR_INVALID_NAME, bits.ContextLocalFile},
	{unix.ELOOP, hresult.ERROR_INVALID_NAME, bits.ContextLocalFile},
	{unix.EFBIG, hresult.ERROR_FILE_TOO_LARGE, bits.ContextLocalFile},
	{unix.EBUSY, hresult.ERROR_SHARING_VIOLATION, bits.ContextLocalFile},
	{unix.ETXTBSY, hresult.ERROR_SHARING_VIOLATION, bits.ContextLocalFile},
	{unix.EIO, hresult.ERROR_IO_DEVICE, bits.ContextLocalFile},
	{unix.ENODEV, hresult.ERROR_NOT_READY, bits.ContextLocalFile},
	{unix.ENXIO, hresult.ERROR_NOT_READY, bits.ContextLocalFile},
	{unix.ESTALE, hresult.ERROR_FILE_INVALID, bits.ContextLocalFile},
	{unix.ETIMEDOUT, hresult.ERROR_SEM_TIMEOUT, bits.ContextLocalFile},
	{unix.EHOSTDOWN, hresult.ERROR_SEM_TIMEOUT, bits.ContextLocalFile},
	{unix.EMFILE, hresult.ERROR_NO_SYSTEM_RESOURCES, bits.ContextQueueManager},
	{unix.ENFILE, hresult.ERROR_NO_SYSTEM_RESOURCES, bits.ContextQueueManager},
	{unix.ENOMEM, hresult.E_OUTOFMEMORY, bits.ContextQueueManager},
}
