// Package keyring keeps logins in the keyring of a session: the Secret Service on Linux, the keychain on macOS, the credential manager on
// Windows.
package keyring

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// patience is how long the keyring is waited for: it may ask its user something.
const patience = 10 * time.Second

// service is the name under which the keyring holds our logins.
const service = "bits"

// Login is an entry.
type Login struct {
	User     string `json:"user"`
	Password string `json:"password"`
}

var (
	errNone   = errors.New("it has no such entry")
	errLocked = errors.New("it is locked, and nobody has unlocked it")
)

// Get returns the login of an origin; nil: there is none. The environment is that of the session.
func Get(ctx context.Context, environment map[string]string, origin string) (*Login, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	text, err := read(ctx, environment, origin)
	if errors.Is(err, errNone) {
		return nil, nil
	} else if err != nil {
		return nil, fault(ctx, "read", err)
	}
	var l Login
	if err := json.Unmarshal([]byte(text), &l); err != nil {
		return nil, errors.New("cannot read the keyring: its entry is not one of bits")
	}
	return &l, nil
}

// Set keeps the login of an origin, instead of what was there.
func Set(ctx context.Context, environment map[string]string, origin string, l Login) error {
	text, err := json.Marshal(l)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := write(ctx, environment, origin, string(text)); err != nil {
		return fault(ctx, "write to", err)
	}
	return nil
}

// Delete removes the login of an origin, and reports whether there was one.
func Delete(ctx context.Context, environment map[string]string, origin string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err := remove(ctx, environment, origin)
	if errors.Is(err, errNone) {
		return false, nil
	} else if err != nil {
		return false, fault(ctx, "change", err)
	}
	return true, nil
}

func fault(ctx context.Context, what string, err error) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) && !errors.Is(err, errLocked) {
		err = fmt.Errorf("it has not answered for %s", patience)
	}
	return fmt.Errorf("cannot %s the keyring: %w", what, err)
}
