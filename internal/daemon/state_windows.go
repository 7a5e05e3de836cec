package daemon

import (
	"os"
	"path/filepath"
)

func defaultState() (string, error) {
	dir, err := os.UserCacheDir() // %LocalAppData%
	return filepath.Join(dir, "bits"), err
}
