package certstore

import (
	"errors"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"

	"bits"
	"bits/hresult"
)

// always are the stores that every location has, be they empty.
var always = []string{"MY", "CA", "ROOT", "SPC"}

// folder is where the store of a certificate lies.
// There are two places: the user's, and the machine's, to which the locations of policies and enterprises belong too.
// The stores of other users and of other services are not there.
func folder(c *bits.ClientCertificate, environment map[string]string) (string, error) {
	none := bits.Errorf(hresult.ERROR_FILE_NOT_FOUND, "cannot find the certificate store %q of %s", c.Store, c.Location)
	place, err := "", error(nil)
	switch c.Location.String() {
	case "CURRENT_USER", "CURRENT_SERVICE":
		place, err = ofUser(environment)
	case "LOCAL_MACHINE", "CURRENT_USER_GROUP_POLICY", "LOCAL_MACHINE_GROUP_POLICY", "LOCAL_MACHINE_ENTERPRISE":
		place = ofMachine()
	default:
		return "", none.WithHint("certificates are looked for in CURRENT_USER and LOCAL_MACHINE")
	}
	if err != nil {
		return "", bits.Errorf(hresult.ERROR_FILE_NOT_FOUND, "cannot find the certificate stores of %s: %w", c.Location, err)
	}
	entries, err := os.ReadDir(place)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", problem(err, "the certificate stores in "+place)
	}
	for _, entry := range entries { // a link to a folder is one too
		if strings.EqualFold(entry.Name(), c.Store) {
			return filepath.Join(place, entry.Name()), nil
		}
	}
	if name := strings.ToUpper(c.Store); slices.Contains(always, name) {
		return filepath.Join(place, name), nil
	}
	return "", none.WithHint("a store is a folder in %s", place)
}

// own is the variable that puts all stores into one folder, in which user and machine have a folder each.
const own = "BITS_CERTIFICATES_DIR"

func ofUser(environment map[string]string) (string, error) {
	if dir := os.Getenv(own); dir != "" {
		return filepath.Join(dir, "user"), nil
	}
	config := environment["XDG_CONFIG_HOME"]
	if !filepath.IsAbs(config) {
		home, err := os.UserHomeDir()
		if err != nil { // a service that was started without one
			u, uerr := user.Current()
			if uerr != nil || u.HomeDir == "" {
				return "", err
			}
			home = u.HomeDir
		}
		config = filepath.Join(home, configInHome)
	}
	return filepath.Join(config, "bits", "certificates"), nil
}

func ofMachine() string {
	if dir := os.Getenv(own); dir != "" {
		return filepath.Join(dir, "machine")
	}
	return machine()
}
