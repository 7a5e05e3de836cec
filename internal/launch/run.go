package launch

import (
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"bits"
	"bits/hresult"
	"bits/internal/daemon"
	"bits/internal/ipc"
)

// Run runs the service in this process, until the context ends or it is told to stop.
// Its log goes to a file, or, without a name, to stderr.
func Run(ctx context.Context, config daemon.Config, log string, ready func()) (err error) {
	// What a job trusts, and its proxies, come from its creator; the environment of the service decides nothing.
	for name := range bits.Environment(os.LookupEnv) {
		// Where the programs are that its own user has registered, and what they need to show him something.
		if name != "XDG_CONFIG_HOME" && name != "DBUS_SESSION_BUS_ADDRESS" {
			os.Unsetenv(name)
		}
	}
	state, socket := ipc.StateDir, ipc.DefaultPath
	if config.AllUsers {
		state, socket = ipc.SystemStateDir, ipc.SystemPath
	}
	if config.State == "" {
		if config.State, err = state(); err != nil {
			return err
		}
	}
	if config.Socket == "" {
		if config.Socket, err = socket(); err != nil {
			return err
		}
	}
	if config.Activation == "" {
		config.Activation = Activation(config.AllUsers)
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

// Activation is the folder of registered applications: of the user, in his folder of settings, or of the machine; "" if none is known.
func Activation(allUsers bool) string {
	if allUsers {
		return "/etc/bits/activation"
	}
	dir, err := os.UserConfigDir()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "bits", "activation")
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
