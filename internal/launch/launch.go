// Package launch finds the service of this user for a program that needs it: it starts one if there is none, and takes the place of an
// older build.
package launch

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"bits"
	"bits/client"
	"bits/hresult"
	"bits/internal/daemon"
	"bits/internal/ipc"
	"bits/internal/wire"
)

const (
	patience = 30 * time.Second // for a service to begin, to answer, and to reach a checkpoint
	idleExit = time.Minute
)

// Service is how a program reaches the service.
type Service struct {
	Client   *client.Client
	Patience time.Duration                    // how long each step may take; 0: 30 s
	Note     func(format string, args ...any) // prints a line for people
}

// Connect makes sure that a service of this build answers.
// Of twenty that call it at once, one starts a service and the others find it.
// One that cannot be reached or started is RPC_S_SERVER_UNAVAILABLE.
func (s Service) Connect(ctx context.Context) error {
	s.Patience = cmp.Or(s.Patience, patience)
	if s.Client.SystemWide {
		return s.system(ctx)
	}
	_, fine, err := s.serving(ctx)
	if fine || err != nil {
		return err
	}
	state, err := ipc.StateDir()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(state, 0o700); err != nil {
		return bits.Errorf(hresult.E_ACCESSDENIED, "cannot make the state folder: %w", err).WithHint("set BITS_STATE_DIR to a folder of yours")
	}
	unlock, err := ipc.LockWait(ctx, filepath.Join(state, "start.lock"))
	if cause := context.Cause(ctx); err != nil && cause != nil {
		return cause
	} else if err != nil {
		return unavailable("cannot start the service: %w", err)
	}
	defer unlock()
	old, fine, err := s.serving(ctx)
	if fine || err != nil {
		return err
	}
	if old != nil {
		if err := s.Client.Do(ctx, "POST", "/system/stop", nil, nil); err != nil {
			return err
		}
	}
	// A service that is just ending holds the state folder for a moment longer than its socket.
	wait, cancel := context.WithTimeout(ctx, s.Patience)
	defer cancel()
	free, err := ipc.LockWait(wait, filepath.Join(state, "lock"))
	switch {
	case err == nil:
		free()
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, context.DeadlineExceeded):
		return held(state)
	}
	s.Client.Close()
	return s.start(ctx, state)
}

// system returns nil if the service of all users answered.
// None is started: that is for an administrator.
func (s Service) system(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, s.Patience)
	defer cancel()
	found, err := s.Client.System(limited)
	switch {
	case errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil:
		return s.silent()
	case err == nil && !found.AllUsers:
		return unavailable("cannot use the service that answers: it is that of one user (its state is in %s)", found.State).WithHint("unset BITS_SOCKET, or leave out --system")
	}
	return err
}

func unavailable(format string, args ...any) *bits.Error {
	return bits.Errorf(hresult.RPC_S_SERVER_UNAVAILABLE, format, args...)
}

func held(state string) *bits.Error {
	return unavailable("cannot start the service: another one holds the state folder %s and does not answer at this socket", state).
		WithHint("end that one, or set BITS_STATE_DIR and BITS_SOCKET to those of one service")
}

// serving asks for the service that is there; fine means that it will do.
func (s Service) serving(ctx context.Context) (found *wire.System, fine bool, err error) {
	limited, cancel := context.WithTimeout(ctx, s.Patience)
	defer cancel()
	system, err := s.Client.System(limited)
	switch mine := daemon.Executable(); {
	case errors.Is(err, client.ErrUnreachable):
		return nil, false, nil
	case errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil:
		return nil, false, s.silent()
	case err != nil:
		return nil, false, err
	case system.AllUsers:
		return &system, true, nil // an administrator looks after it
	case system.Build.ID == mine.ID || os.Getenv("BITS_KEEP_SERVICE") != "":
		return &system, true, nil
	case system.Asking == 0 && system.Build.Time.Before(mine.Time):
		return &system, false, nil
	default:
		why := "it is newer"
		if system.Asking > 0 {
			why = "applications are attached to it"
		}
		s.Note("bits: this program (%s, build %s) is not the one that serves (%s, build %s), which stays because %s", mine.Path, mine.ID, system.Build.Path, system.Build.ID, why)
		return &system, true, nil
	}
}

// silent is the error of a service that takes connections and does not answer.
func (s Service) silent() error {
	err := unavailable("cannot reach the service: it has not answered for %s", s.Patience)
	which := "its process"
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if conn, e := ipc.DialService(ctx, s.Client.SystemWide, s.Client.Socket); e == nil {
		defer conn.Close()
		if peer, e := ipc.PeerOf(conn); e == nil && peer.PID > 0 {
			which = fmt.Sprintf("its process, %d,", peer.PID)
		}
	}
	return err.WithHint("%s is stopped or hangs: end it, and run the command again, which starts another; no job is lost", which)
}

// start starts a service and waits until it answers.
func (s Service) start(ctx context.Context, state string) error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	socket, err := ipc.DefaultPath()
	if err != nil {
		return err
	}
	log := filepath.Join(state, "daemon.log")
	cmd := exec.Command(program, "daemon", "--system=false", "--state", state, "--socket", socket, "--idle-exit", idleExit.String(), "--announce", "--log", log)
	cmd.Args[0] = "bits" // whatever name this program was called by
	ipc.Detach(cmd)
	said, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return unavailable("cannot start the service: %w", err)
	}
	line := make(chan string, 1)
	go func() {
		text, _ := bufio.NewReader(said).ReadString('\n')
		line <- text
	}()
	select {
	case text := <-line:
		if text == "ready\n" {
			return cmd.Process.Release()
		}
		// It has ended, or is something else than it should be.
		cmd.Process.Kill()
		cmd.Wait()
		if found, _, _ := s.serving(ctx); found != nil {
			return nil // somebody else was quicker
		}
		var refused wire.Error
		switch {
		case json.Unmarshal([]byte(text), &refused) == nil && refused.Message != "":
			if refused.Code == hresult.ERROR_SHARING_VIOLATION {
				return held(state)
			}
			return refused.Err()
		case text == "":
			return unavailable("cannot start the service: it ended without a word").WithHint("its log is %s", log)
		}
		return unavailable("cannot start the service: its first word was %.80q", text).WithHint("its log is %s", log)
	case <-time.After(s.Patience):
		return unavailable("cannot start the service: it was not ready after %s", s.Patience).WithHint("its log is %s", log)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
