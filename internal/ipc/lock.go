package ipc

import (
	"context"
	"errors"
	"time"
)

// LockWait takes the lock at path, and waits for it as long as the context allows.
func LockWait(ctx context.Context, path string) (unlock func(), err error) {
	for {
		unlock, err := Lock(path)
		if !errors.Is(err, ErrInUse) {
			return unlock, err
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}
