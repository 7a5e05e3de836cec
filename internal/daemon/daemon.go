// Package daemon builds the service from its parts and ties them together.
// It is the only package that knows them all.
package daemon

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"bits"
	"bits/hresult"
	"bits/internal/api"
	"bits/internal/certcheck"
	"bits/internal/ipc"
	"bits/internal/notify"
	"bits/internal/queue"
	"bits/internal/scheduler"
	"bits/internal/store"
	"bits/internal/wire"
)

// Config says where the service keeps its state and where it listens.
type Config struct {
	State     string        // folder of the store, the key and the log
	Socket    string        // path of the socket
	IdleExit  time.Duration // end after this time without work and without a connection; 0: never
	Scheduler scheduler.Settings
	Log       *slog.Logger
	Ready     func() // called when the socket answers
}

// DefaultState is BITS_STATE_DIR, or the folder "bits" in the state folder of the user (XDG_STATE_HOME).
func DefaultState() (string, error) {
	if dir := os.Getenv("BITS_STATE_DIR"); dir != "" {
		return filepath.Abs(dir)
	}
	if dir := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "bits"), nil
	}
	return defaultState()
}

// DefaultSocket is BITS_SOCKET, or the path that ipc chooses.
func DefaultSocket() (string, error) {
	if path := os.Getenv("BITS_SOCKET"); path != "" {
		return path, nil
	}
	return ipc.DefaultPath()
}

// Run runs the service until the context ends, it is told to stop, or it has been idle.
// Then every transfer has stopped at a checkpoint and every job is recorded.
func Run(ctx context.Context, c Config) error {
	if err := os.MkdirAll(c.State, 0o700); err != nil {
		return bits.Errorf(hresult.E_ACCESSDENIED, "cannot make the state folder: %w", err).WithHint("set BITS_STATE_DIR to a folder of yours")
	}
	unlock, err := ipc.Lock(filepath.Join(c.State, "lock"))
	if err != nil {
		return bits.Errorf(hresult.ERROR_SHARING_VIOLATION, "cannot use the state folder %s: %w", c.State, err).WithHint("another service has it; stop that one, or set BITS_STATE_DIR to another folder")
	}
	defer unlock()
	s, err := store.Open(ctx, c.State)
	if err != nil {
		return err
	}
	defer s.Close()
	hub := notify.New()
	q, err := queue.Open(ctx, s, hub)
	if err != nil {
		return err
	}
	listener, err := ipc.Listen(c.Socket)
	if err != nil {
		return err
	}
	defer listener.Close()

	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	if err := q.Recover(ctx); err != nil {
		return err
	}
	crls := certcheck.NewCRLCache(filepath.Join(c.State, "crl"))
	m := mover{crls: crls, hub: hub}
	planner := scheduler.New(q, m.run, c.Scheduler)
	started := time.Now()
	build := Executable()
	var connections atomic.Int64
	server := &http.Server{
		Handler: (&api.Server{
			Queue: q, Hub: hub, Store: s,
			Stop: func() { stop(errStopped) },
			System: func() wire.System {
				return wire.System{API: wire.Version, Build: build, PID: os.Getpid(), Started: started, State: c.State, Busy: busy(q), Asking: hub.Count()}
			},
		}).Handler(),
		ConnContext: api.ConnContext,
		ConnState: func(_ net.Conn, state http.ConnState) {
			switch state {
			case http.StateNew:
				connections.Add(1)
			case http.StateClosed, http.StateHijacked:
				connections.Add(-1)
				hub.Wake()
			}
		},
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ReadHeaderTimeout: 30 * time.Second,
		ErrorLog:          slog.NewLogLogger(c.Log.Handler(), slog.LevelWarn),
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	c.Log.Info("the service is ready", "socket", c.Socket, "state", c.State, "pid", os.Getpid(), "build", build.ID)
	if c.Ready != nil {
		c.Ready()
	}
	if c.IdleExit > 0 {
		go func() {
			idle(ctx, q, &connections, c.IdleExit)
			stop(errIdle)
		}()
	}
	scheduled := make(chan struct{})
	go func() {
		planner.Run(ctx)
		close(scheduled)
	}()
	select {
	case err = <-served:
		stop(err)
	case <-ctx.Done():
	}
	<-scheduled
	c.Log.Info("the service ends", "why", context.Cause(ctx))
	grace, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if server.Shutdown(grace) != nil {
		server.Close()
	}
	if errors.Is(err, http.ErrServerClosed) {
		err = nil
	}
	return err
}

var (
	errStopped = errors.New("it was told to stop")
	errIdle    = errors.New("it has nothing to do")
)

// busy reports whether the service has work of its own: a job that is QUEUED, running, TRANSIENT_ERROR or being completed.
func busy(q *queue.Queue) bool {
	for _, v := range q.Snapshot() {
		s := v.Job.State
		if s == bits.StateQueued || s.Running() || s == bits.StateTransientError || v.Job.Completing || v.Run != nil || v.Job.AutoComplete && s == bits.StateTransferred {
			return true
		}
	}
	return false
}

// idle returns when the service has had nothing to do and nobody connected for the time given, or the context has ended.
func idle(ctx context.Context, q *queue.Queue, connections *atomic.Int64, after time.Duration) {
	for {
		changed := q.Changed()
		var due <-chan time.Time
		if connections.Load() == 0 && !busy(q) {
			timer := time.NewTimer(after)
			defer timer.Stop()
			due = timer.C
		}
		select {
		case <-changed:
		case <-due:
			return
		case <-ctx.Done():
			return
		}
	}
}
