package tempfile

import (
	"io/fs"
	"os"
	"time"
)

// mine is decided by the access list of the folder, which the file inherits.
func mine(fs.FileInfo) bool { return true }

// setTime is advice: not every file system keeps every time.
func setTime(f *os.File, at time.Time) { os.Chtimes(f.Name(), time.Time{}, at) }
