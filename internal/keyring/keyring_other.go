//go:build !linux

package keyring

import (
	"context"
	"errors"

	system "github.com/zalando/go-keyring"
)

// Hint says what can be done where there is no keyring.
const Hint = "run it in a session whose keyring is unlocked; or do without: .netrc, or bits get --password-file FILE"

func read(ctx context.Context, _ map[string]string, origin string) (string, error) {
	return inTime(ctx, func() (string, error) { return system.Get(service, origin) })
}

func write(ctx context.Context, _ map[string]string, origin, text string) error {
	_, err := inTime(ctx, func() (any, error) { return nil, system.Set(service, origin, text) })
	return err
}

func remove(ctx context.Context, _ map[string]string, origin string) error {
	_, err := inTime(ctx, func() (any, error) { return nil, system.Delete(service, origin) })
	return err
}

// inTime asks the keyring, which knows no context.
func inTime[T any](ctx context.Context, ask func() (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	got := make(chan result, 1)
	go func() {
		value, err := ask()
		if errors.Is(err, system.ErrNotFound) {
			err = errNone
		}
		got <- result{value, err}
	}()
	select {
	case r := <-got:
		return r.value, r.err
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
}
