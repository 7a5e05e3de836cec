package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"bits"
	"bits/hresult"
	"bits/internal/daemon"
	"bits/internal/ipc"
	"bits/internal/wire"
)

const (
	startTime = 30 * time.Second // for a service to begin
	stopTime  = 30 * time.Second // for a service to reach a checkpoint
	idleExit  = time.Minute
)

// connect makes sure that a service of this build answers: it starts one if there is none, and takes the place of an older one.
// Of twenty that call it at once, one starts a service and the others find it.
func (a *app) connect(ctx context.Context) error {
	_, fine, err := a.serving(ctx)
	if fine || err != nil {
		return err
	}
	state, err := daemon.DefaultState()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(state, 0o700); err != nil {
		return bits.Errorf(hresult.E_ACCESSDENIED, "cannot make the state folder: %w", err).WithHint("set BITS_STATE_DIR to a folder of yours")
	}
	unlock, err := ipc.LockWait(ctx, filepath.Join(state, "start.lock"))
	if err != nil {
		return bits.Errorf(hresult.RPC_S_SERVER_UNAVAILABLE, "cannot start the service: %w", err)
	}
	defer unlock()
	old, fine, err := a.serving(ctx)
	if fine || err != nil {
		return err
	}
	if old != nil {
		if err := a.client.Do(ctx, "POST", "/system/stop", nil, nil); err != nil {
			return err
		}
	}
	// A service that is just ending holds the state folder for a moment longer than its socket.
	wait, cancel := context.WithTimeout(ctx, stopTime)
	defer cancel()
	if free, err := ipc.LockWait(wait, filepath.Join(state, "lock")); err == nil {
		free()
	}
	a.client.Close()
	return a.start(ctx, state)
}

// serving asks for the service that is there; fine means that it will do.
func (a *app) serving(ctx context.Context) (s *wire.System, fine bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	system, err := a.client.System(ctx)
	var e *bits.Error
	switch mine := daemon.Executable(); {
	case errors.As(err, &e) && e.Code == hresult.RPC_S_SERVER_UNAVAILABLE:
		return nil, false, nil
	case err != nil:
		return nil, false, err
	case system.Build.ID == mine.ID || os.Getenv("BITS_KEEP_SERVICE") != "":
		return &system, true, nil
	case system.Asking == 0 && system.Build.Time.Before(mine.Time):
		return &system, false, nil
	default:
		why := "it is newer"
		if system.Asking > 0 {
			why = "applications are attached to it to judge certificates"
		}
		a.note("bits: this program (%s, build %s) is not the one that serves (%s, build %s), which stays because %s", mine.Path, mine.ID, system.Build.Path, system.Build.ID, why)
		return &system, true, nil
	}
}

// start starts a service and waits until it answers.
func (a *app) start(ctx context.Context, state string) error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	socket, err := daemon.DefaultSocket()
	if err != nil {
		return err
	}
	cmd := exec.Command(program, "daemon", "--state", state, "--socket", socket, "--idle-exit", idleExit.String(), "--announce", "--log", filepath.Join(state, "daemon.log"))
	ipc.Detach(cmd)
	said, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return bits.Errorf(hresult.RPC_S_SERVER_UNAVAILABLE, "cannot start the service: %w", err)
	}
	line := make(chan string, 1)
	go func() {
		text, _ := bufio.NewReader(said).ReadString('\n')
		line <- text
	}()
	select {
	case text := <-line:
		var refused wire.Error
		switch {
		case text == "ready\n":
			return cmd.Process.Release()
		case json.Unmarshal([]byte(text), &refused) == nil:
			cmd.Wait()
			if s, _, _ := a.serving(ctx); s != nil {
				return nil // somebody else was quicker
			}
			return refused.Err()
		}
		cmd.Wait()
		return bits.Errorf(hresult.RPC_S_SERVER_UNAVAILABLE, "cannot start the service: it ended without a word").WithHint("its log is %s", filepath.Join(state, "daemon.log"))
	case <-time.After(startTime):
		return bits.Errorf(hresult.RPC_S_SERVER_UNAVAILABLE, "cannot start the service: it was not ready after %s", startTime).WithHint("its log is %s", filepath.Join(state, "daemon.log"))
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (a *app) daemonCommand() *cobra.Command {
	var config daemon.Config
	var log string
	var announce bool
	cmd := &cobra.Command{
		Use:   "daemon",
		Short: "Run the service in the foreground",
		Long: `Run the service in the foreground, until SIGTERM or SIGINT. Commands start it by themselves when they need it.

Its state is in BITS_STATE_DIR, else in the folder bits in XDG_STATE_HOME; its socket is BITS_SOCKET, else in XDG_RUNTIME_DIR.`,
		Args: arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			err := runDaemon(cmd.Context(), config, log, func() {
				if announce {
					fmt.Fprintln(a.Out, "ready")
					closeStream(a.Out)
				}
			})
			if err != nil && announce {
				json.NewEncoder(a.Out).Encode(wire.FromError(err))
			}
			return err
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&config.State, "state", "", "folder of the store")
	flags.StringVar(&config.Socket, "socket", "", "path of the socket")
	flags.DurationVar(&config.IdleExit, "idle-exit", 0, "end after this time without work and connections; 0: never")
	flags.IntVar(&config.Scheduler.Background, "background", 1, "background jobs that run at once")
	flags.IntVar(&config.Scheduler.Foreground, "foreground", 16, "foreground jobs that run at once; -1: no limit")
	flags.DurationVar(&config.Scheduler.Slice, "slice", 5*time.Minute, "time after which a job makes room for one of the same priority")
	flags.StringVar(&log, "log", "", "file for the log, kept under 2 MiB; empty: stderr")
	flags.BoolVar(&announce, "announce", false, "print a line when ready")
	flags.MarkHidden("announce")
	return cmd
}

func (a *app) apiCommand() *cobra.Command {
	return &cobra.Command{
		Use: "api METHOD PATH [BODY]", Short: "Call the local API, as curl would; BODY is JSON, or - for standard input",
		Example: "  bits api GET /v1/jobs\n  bits api POST /v1/jobs '{\"display_name\": \"mine\"}'",
		Args:    arguments(cobra.RangeArgs(2, 3)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.connect(cmd.Context()); err != nil {
				return err
			}
			var body any
			if len(args) == 3 {
				text := []byte(args[2])
				if args[2] == "-" {
					var err error
					if text, err = io.ReadAll(a.In); err != nil {
						return err
					}
				}
				if !json.Valid(text) {
					return usagef("the body is no JSON")
				}
				body = json.RawMessage(bytes.TrimSpace(text))
			}
			path := strings.TrimPrefix(args[1], "/v1")
			if !strings.HasPrefix(path, "/") {
				return usagef("the path begins with /v1/")
			}
			return a.client.Stream(cmd.Context(), strings.ToUpper(args[0]), path, body, a.Out)
		},
	}
}

func runDaemon(ctx context.Context, config daemon.Config, log string, ready func()) (err error) {
	// What a job trusts, and its proxies, come from its creator; the environment of the service decides nothing.
	for name := range bits.Environment(os.LookupEnv) {
		os.Unsetenv(name)
	}
	if config.State == "" {
		if config.State, err = daemon.DefaultState(); err != nil {
			return err
		}
	}
	if config.Socket == "" {
		if config.Socket, err = daemon.DefaultSocket(); err != nil {
			return err
		}
	}
	var out io.Writer = os.Stderr
	if log != "" {
		f, err := openLog(log)
		if err != nil {
			return err
		}
		defer f.Close()
		out = f
	}
	config.Log = slog.New(slog.NewTextHandler(out, nil))
	config.Ready = ready
	return daemon.Run(ctx, config)
}

func closeStream(w io.Writer) {
	if c, ok := w.(io.Closer); ok {
		c.Close()
	}
}

const logSize = 1 << 20

// boundedLog is a log of which the last one to two MiB are kept.
type boundedLog struct {
	path string
	f    *os.File
	size int64
}

func openLog(path string) (*boundedLog, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, bits.Errorf(hresult.E_ACCESSDENIED, "cannot open the log: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	return &boundedLog{path, f, info.Size()}, nil
}

func (l *boundedLog) Write(p []byte) (int, error) {
	if l.size > logSize {
		if os.Rename(l.path, strings.TrimSuffix(l.path, ".log")+".1.log") == nil {
			if f, err := openLog(l.path); err == nil {
				l.f.Close()
				*l = *f
			}
		}
	}
	n, err := l.f.Write(p)
	l.size += int64(n)
	return n, err
}

func (l *boundedLog) Close() error { return l.f.Close() }
