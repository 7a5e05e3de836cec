package tempfile

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/windows"
)

const noFollow = 0

// Volume names the volume of the folder of a path, "" if it is not known.
func Volume(path string) string {
	var serial uint32
	root, err := windows.UTF16PtrFromString(filepath.VolumeName(path) + `\`)
	if err != nil || windows.GetVolumeInformation(root, nil, 0, &serial, nil, nil, nil, 0) != nil {
		return ""
	}
	return fmt.Sprintf("%08x", serial)
}

// writable is decided by the access list, which only a try can tell.
func writable(string) error { return nil }

func startWriteBack(*os.File, int64, int64) {}

func preallocate(*os.File, int64) error { return nil }

func syncData(f *os.File) error { return f.Sync() }

// syncDir has no meaning on Windows: the rename itself is made durable by MOVEFILE_WRITE_THROUGH.
func syncDir(string) error { return nil }

func renameNew(temp, local string) error {
	from, err := windows.UTF16PtrFromString(temp)
	if err != nil {
		return err
	}
	to, err := windows.UTF16PtrFromString(local)
	if err != nil {
		return err
	}
	return windows.MoveFileEx(from, to, windows.MOVEFILE_WRITE_THROUGH)
}
