package certstore

import (
	"os"
	"path/filepath"
)

// configInHome is where the settings of programs are, below the home folder.
const configInHome = `AppData\Roaming`

func machine() string { return filepath.Join(os.Getenv("ProgramData"), "bits", "certificates") }
