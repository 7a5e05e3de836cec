package tempfile

import (
	"golang.org/x/sys/windows"

	"bits/hresult"
)

// systemErrors maps what the system says to codes; on Windows the numbers are the same.
var systemErrors = func() (rows []systemError) {
	for _, e := range []windows.Errno{
		windows.ERROR_DISK_FULL, windows.ERROR_HANDLE_DISK_FULL, windows.ERROR_DISK_QUOTA_EXCEEDED, windows.ERROR_ACCESS_DENIED,
		windows.ERROR_WRITE_PROTECT, windows.ERROR_PATH_NOT_FOUND, windows.ERROR_FILE_NOT_FOUND, windows.ERROR_FILE_EXISTS,
		windows.ERROR_ALREADY_EXISTS, windows.ERROR_FILENAME_EXCED_RANGE, windows.ERROR_INVALID_NAME, windows.ERROR_FILE_TOO_LARGE,
		windows.ERROR_SHARING_VIOLATION, windows.ERROR_LOCK_VIOLATION, windows.ERROR_IO_DEVICE, windows.ERROR_NOT_READY,
		windows.ERROR_FILE_INVALID, windows.ERROR_SEM_TIMEOUT, windows.ERROR_NO_SYSTEM_RESOURCES,
	} {
		rows = append(rows, systemError{e, hresult.FromWin32(uint32(e))})
	}
	return rows
}()
