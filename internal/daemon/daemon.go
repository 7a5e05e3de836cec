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
	"sync"
	"sync/atomic"
	"time"

	"bits"
	"bits/hresult"
	"bits/internal/api"
	"bits/internal/certcheck"
	"bits/internal/ipc"
	"bits/internal/limits"
	"bits/internal/notifier"
	"bits/internal/notify"
	"bits/internal/queue"
	"bits/internal/scheduler"
	"bits/internal/start"
	"bits/internal/store"
	"bits/internal/tempfile"
	"bits/internal/transfer"
	"bits/internal/wire"
)

// Config says where the service keeps its state and where it listens.
type Config struct {
	State     string        // folder of the store, the key and the log
	Socket    string        // path of the socket
	AllUsers  bool          // everybody may call it; its process is root's
	IdleExit  time.Duration // end after this time without work and without a connection; 0: never
	Scheduler scheduler.Settings
	Limits    limits.Limits // of policy
	Log       *slog.Logger

	NoCommands bool   // policy: notification commands are kept, and not run
	Activation string // folder of the applications that are started when they are needed; empty: none
	Ready      func() // called when the socket answers
}

// Run runs the service until the context ends, it is told to stop, or it has been idle.
// Then every transfer has stopped at a checkpoint and every job is recorded.
// A service of all users needs the rights of an administrator: E_ACCESSDENIED without them.
func Run(ctx context.Context, c Config) error {
	if c.AllUsers && !ipc.Self().Admin {
		return bits.Errorf(hresult.E_ACCESSDENIED, "cannot run the service of all users: this process has no rights of an administrator").WithHint("run it as root, or without --system as a service of your own")
	}
	if err := ipc.Folder(c.State); err != nil {
		return bits.Errorf(hresult.E_ACCESSDENIED, "cannot use the state folder: %w", err).WithHint("set BITS_STATE_DIR to a folder of yours that nobody else can change")
	}
	unlock, err := ipc.Lock(filepath.Join(c.State, "lock"))
	if err != nil {
		return bits.Errorf(hresult.ERROR_SHARING_VIOLATION, "cannot use the state folder %s: %w", c.State, err).WithHint("another service has it; stop that one, or set BITS_STATE_DIR to another folder")
	}
	defer unlock()
	for {
		// A job that came in the moment in which an idle service ended begins its next life.
		if busy, err := life(ctx, c); !busy || ctx.Err() != nil {
			return err
		}
		c.Ready = nil
	}
}

func (c Config) listen(path string) (net.Listener, error) {
	if c.AllUsers {
		return ipc.ListenSystem(path)
	}
	return ipc.Listen(path)
}

// life is one life of the service, from its first request to its last.
// It reports whether there is work after an end that was chosen for idleness.
func life(ctx context.Context, c Config) (work bool, err error) {
	s, err := store.Open(ctx, c.State)
	if err != nil {
		return false, err
	}
	defer s.Close()
	hub := notify.New()
	q, err := queue.Open(ctx, s, hub)
	if err != nil {
		return false, err
	}
	finish := q.Recover()
	listener, err := c.listen(c.Socket)
	if err != nil {
		return false, bits.Errorf(hresult.RPC_S_SERVER_UNAVAILABLE, "%w", err).WithHint("set BITS_SOCKET to another path, or stop the service that has this one")
	}
	if err := ipc.Publish(c.State, c.Socket); err != nil {
		listener.Close()
		return false, tempfile.Error(err, "write", c.State)
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	crls := certcheck.NewCRLCache(filepath.Join(c.State, "crl"))
	nets := newNetworks(q, c.Log)
	m := mover{crls: crls, hub: hub, ways: newWays(crls), nets: nets, transfers: transfer.NewService()}
	defer m.ways.workers.Close()
	planner := scheduler.New(q, m.run, c.Scheduler)
	programs := programs{start.Programs{Folder: c.Activation, Env: []string{"BITS_SOCKET=" + c.Socket}, Log: c.Log}, new(sync.Map)}
	if !c.AllUsers {
		programs.Env = append(programs.Env, "BITS_STATE_DIR="+c.State)
	}
	notifier := notifier.New(q, hub, programs, !c.NoCommands, c.Log)
	busy := func() bool { return busy(q) || notifier.Busy() }
	started, build := time.Now(), Executable()
	callers := &callers{moved: make(chan struct{}, 1)}
	server := &http.Server{
		Handler: (&api.Server{
			Queue: q, Hub: hub, Store: s, Limits: c.Limits, AllUsers: c.AllUsers, NoCommands: c.NoCommands,
			Stop: func() { stop(errStopped) }, Explain: m.ways.explain,
			System: func() wire.System {
				return wire.System{API: wire.Version, Build: build, PID: os.Getpid(), Started: started, State: c.State, Busy: busy(), Asking: hub.Count()}
			},
		}).Handler(),
		ConnContext: api.ConnContext,
		ConnState: func(_ net.Conn, state http.ConnState) {
			switch state {
			case http.StateNew:
				callers.add(1)
			case http.StateClosed, http.StateHijacked:
				callers.add(-1)
			}
		},
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ReadHeaderTimeout: 30 * time.Second,
		ErrorLog:          slog.NewLogLogger(c.Log.Handler(), slog.LevelWarn),
	}
	go func() {
		if err := serve(ctx, server, listener, c); !errors.Is(err, http.ErrServerClosed) {
			stop(errServe{err})
		}
	}()
	c.Log.Info("the service is ready", "socket", c.Socket, "state", c.State, "pid", os.Getpid(), "build", build.ID)
	if c.Ready != nil {
		c.Ready()
	}
	if c.IdleExit > 0 {
		go func() {
			idle(ctx, q, callers, c.IdleExit, busy)
			stop(errIdle)
		}()
	}
	scheduled := make(chan struct{})
	go func() {
		told := make(chan struct{})
		go func() {
			notifier.Run(ctx)
			close(told)
		}()
		go nets.watch(ctx)
		go finish() // beside the rest: a disk that does not answer holds up its own job only
		planner.Run(ctx)
		<-told
		close(scheduled)
	}()
	<-ctx.Done()
	why := context.Cause(ctx)
	grace, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if server.Shutdown(grace) != nil {
		server.Close()
	}
	<-scheduled
	c.Log.Info("the service ends", "why", why)
	var failed errServe
	if errors.As(why, &failed) {
		return false, failed.error
	}
	return errors.Is(why, errIdle) && busy(), nil
}

// reachEvery is how often the service looks whether it can be reached.
const reachEvery = 2 * time.Second

// serve serves until the server is shut down.
// It listens anew when its socket has gone: the runtime folder of a user is removed when he logs out.
func serve(ctx context.Context, server *http.Server, l net.Listener, c Config) error {
	served := make(chan error)
	go func() { served <- server.Serve(l) }()
	tick := time.NewTicker(reachEvery)
	defer tick.Stop()
	for {
		select {
		case err := <-served:
			return err
		case <-tick.C:
		}
		if ctx.Err() != nil || !ipc.Gone(l) {
			continue
		}
		path := c.Socket
		next, err := c.listen(path)
		if err != nil && !c.AllUsers { // of its one user, who may have another runtime folder now
			if path, err = ipc.DefaultPath(); err == nil {
				next, err = c.listen(path)
			}
		}
		if err != nil {
			c.Log.Warn("nobody can reach the service", "why", err)
			continue
		}
		c.Log.Info("the socket had gone, and is made anew", "socket", path)
		if err := ipc.Publish(c.State, path); err != nil {
			c.Log.Warn("cannot say where the service listens", "why", err)
		}
		l.Close()
		<-served
		l = next
		go func() { served <- server.Serve(next) }()
	}
}

var (
	errStopped = errors.New("it was told to stop")
	errIdle    = errors.New("it has nothing to do")
)

// errServe is why the service ends when it cannot serve any more.
type errServe struct{ error }

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

// programs starts what the notifier asks for.
type programs struct {
	start.Programs
	refused *sync.Map // why a registration is not used, by its GUID, as the log has it
}

// CanActivate reports whether an application is registered for the job; the log says why not, once.
func (p programs) CanActivate(j *bits.Job) bool {
	_, err := p.Registered(j.NotificationCLSID)
	if err == nil {
		p.refused.Delete(j.NotificationCLSID)
		return true
	}
	if before, _ := p.refused.Swap(j.NotificationCLSID, err.Error()); before != err.Error() {
		p.Log.Warn("a registered application cannot be started", "clsid", j.NotificationCLSID, "job", j.ID, "why", err)
	}
	return false
}

// callers counts who is connected.
type callers struct {
	n     atomic.Int64
	moved chan struct{} // holds one when the number has changed
}

func (c *callers) add(by int64) {
	c.n.Add(by)
	select {
	case c.moved <- struct{}{}:
	default:
	}
}

// idle returns when the service has had nothing to do and nobody connected for the time given, or the context has ended.
func idle(ctx context.Context, q *queue.Queue, callers *callers, after time.Duration, busy func() bool) {
	for {
		changed := q.Changed()
		timer := time.NewTimer(after)
		if callers.n.Load() > 0 || busy() {
			timer.Stop()
		}
		select {
		case <-changed:
		case <-callers.moved:
		case <-timer.C:
			return
		case <-ctx.Done():
			return
		}
		timer.Stop()
	}
}
