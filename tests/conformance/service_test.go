package conformance

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"bits/client"
	"bits/client/bitstest"
	"bits/internal/daemon"
	"bits/internal/limits"
	"bits/internal/pki"
	"bits/internal/program"
)

var ctx = context.Background()

func TestMain(m *testing.M) {
	if socket := os.Getenv("BITS_CONFORMANCE_CALLER"); socket != "" {
		caller(socket)
		return
	}
	done, err := makeIdentity()
	if err != nil {
		panic(err)
	}
	code := m.Run()
	done()
	os.Exit(code)
}

// identity is a client certificate of "x example", in the stores MY of the user and of the machine.
var identity struct{ hash, file string }

func makeIdentity() (remove func(), err error) {
	dir, err := os.MkdirTemp("", "bt")
	if err != nil {
		return nil, err
	}
	pair := pki.Root("authority").Client("x example", nil)
	sum := sha1.Sum(pair.Cert.Raw)
	identity.hash, identity.file = hex.EncodeToString(sum[:]), filepath.Join(dir, "machine", "MY", "x.pem")
	for _, place := range []string{"user", "machine"} {
		store := filepath.Join(dir, place, "MY")
		err = errors.Join(err, os.MkdirAll(store, 0o755), os.WriteFile(filepath.Join(store, "x.pem"), append(pair.ChainPEM(), pair.KeyPEM()...), 0o644))
	}
	return func() { os.RemoveAll(dir) }, errors.Join(err, os.Chmod(dir, 0o755), os.Setenv("BITS_CERTIFICATES_DIR", dir))
}

// service is the service of one row, in a folder of its own: within this process, or, to be killed, a process.
type service struct {
	dir     string
	limits  limits.Limits
	process bool
	client  *client.Client

	cmd  *exec.Cmd
	stop context.CancelFunc
	done chan error
}

func newService(t testing.TB, process bool, limits limits.Limits) *service {
	t.Helper()
	s := &service{dir: program.Dir(t), process: process, limits: limits}
	s.client = &client.Client{Socket: filepath.Join(s.dir, "run", "s")}
	s.start(t)
	t.Cleanup(func() { s.end(t, true) })
	return s
}

func (s *service) start(t testing.TB) {
	t.Helper()
	if s.process {
		s.cmd = program.Command(s.dir, "daemon")
		bitstest.Must(t, s.cmd.Start())
		if !program.Until(func() bool { _, err := s.client.System(ctx); return err == nil }) {
			t.Fatal("the service does not answer")
		}
		return
	}
	within, cancel := context.WithCancel(ctx)
	ready := make(chan struct{})
	s.stop, s.done = cancel, make(chan error, 1)
	go func() {
		s.done <- daemon.Run(within, daemon.Config{
			State: filepath.Join(s.dir, "state"), Socket: s.client.Socket, Limits: s.limits,
			Log: slog.New(slog.DiscardHandler), Ready: sync.OnceFunc(func() { close(ready) }),
		})
	}()
	select {
	case <-ready:
	case err := <-s.done:
		t.Fatal(err)
	}
}

// end ends the service: at a checkpoint, or by a kill.
func (s *service) end(t testing.TB, kill bool) {
	t.Helper()
	switch {
	case s.cmd != nil && kill:
		s.cmd.Process.Kill()
		s.cmd.Wait()
	case s.cmd != nil:
		bitstest.Must(t, s.client.Do(ctx, "POST", "/system/stop", nil, nil), s.cmd.Wait())
	case s.stop != nil:
		s.stop()
		bitstest.Must(t, <-s.done)
	}
	s.cmd, s.stop = nil, nil
	s.client.Close()
}

// limits reads NAME=NUMBER ...
func limitsOf(text string) (limits.Limits, error) {
	l := limits.Limits{}
	for _, word := range strings.Fields(text) {
		name, number, _ := strings.Cut(word, "=")
		n, err := strconv.Atoi(number)
		if err != nil {
			return nil, fmt.Errorf("the limit %q: %w", word, err)
		}
		l[name] = limits.Setting{N: n, By: "the test"}
	}
	return l, nil
}
