package ipc

import (
	"path/filepath"
	"strings"
)

// stateInHome is where programs keep their state, below the home folder.
var stateInHome = filepath.Join("AppData", "Local")

// absolute leaves the name of a pipe as it is.
func absolute(path string) (string, error) {
	if strings.HasPrefix(path, pipes) {
		return path, nil
	}
	return filepath.Abs(path)
}
