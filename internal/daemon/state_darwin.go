package daemon

import (
	"os"
	"path/filepath"
)

func defaultState() (string, error) {
	home, err := os.UserHomeDir()
	return filepath.Join(home, "Library", "Application Support", "bits"), err
}
