package login

import (
	"errors"
	"fmt"
	"io"
	"os"

	"bits/internal/netrc"
)

// maxFile is how much is read of files that hold logins.
const maxFile = 1 << 20

func readSmall(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return "", fmt.Errorf("%s is not a regular file", path)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(text) > maxFile {
		err = fmt.Errorf("%s is too large", path)
	}
	return string(text), err
}

// fromNetrc finds the login of a host in a file .netrc; nil: there is none.
func fromNetrc(path, host string) (*Identity, error) {
	text, err := readSmall(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the logins: %w", err)
	}
	found, wrong := netrc.Find(text, host)
	if found == nil {
		return nil, unclear(path, wrong)
	}
	return &Identity{User: found.User, Password: found.Password, from: path}, unclear(path, wrong)
}

// malformed is what is wrong with a file of logins. The rest of it counts.
type malformed struct{ error }

func unclear(path string, wrong error) error {
	if wrong == nil {
		return nil
	}
	return malformed{fmt.Errorf("cannot read all of the logins in %s: %w", path, wrong)}
}

// CheckNetrc reports what cannot be understood in a file .netrc, by its line, without what stands there.
func CheckNetrc(path string) error {
	text, err := readSmall(path)
	if err != nil {
		return fmt.Errorf("cannot read the logins: %w", err)
	}
	_, wrong := netrc.Find(text, "")
	return unclear(path, wrong)
}

// netrc finds the login of a host in a file .netrc, and hears once what is wrong with that; nil: there is none.
func (l *Login) netrc(host string) (*Identity, error) {
	id, err := fromNetrc(l.Sources.Netrc, host)
	if wrong := (malformed{}); !errors.As(err, &wrong) {
		return id, err
	}
	l.mu.Lock()
	said := l.warned
	l.warned = true
	l.mu.Unlock()
	if l.Warn != nil && !said {
		l.Warn(err.Error())
	}
	if id != nil {
		err = nil
	}
	return id, err
}
