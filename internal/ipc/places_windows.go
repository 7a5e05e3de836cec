package ipc

import (
	"os"
	"path/filepath"
	"strings"
)

// systemSocket has a prefix under which the system lets only administrators make pipes.
const systemSocket = pipes + `ProtectedPrefix\Administrators\bits`

func systemState() string { return filepath.Join(os.Getenv("ProgramData"), "bits") }

// stateInHome is where programs keep their state, below the home folder.
var stateInHome = filepath.Join("AppData", "Local")

// absolute leaves the name of a pipe as it is.
func absolute(path string) (string, error) {
	if strings.HasPrefix(path, pipes) {
		return path, nil
	}
	return filepath.Abs(path)
}
