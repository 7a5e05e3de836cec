package daemon

import (
	"os"
	"path/filepath"
)

func defaultState() (string, error) {
	home, err := os.UserHomeDir()
	return filepath.Join(home, ".local", "state", "bits"), err
}
