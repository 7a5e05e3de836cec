// Package bitstest holds what the tests of several packages need: a service in folders of its own, an origin with faults, a judge of
// certificates, and nginx.
package bitstest

import (
	"context"
	"errors"
	"log/slog"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"bits"
	"bits/client"
	"bits/internal/cli"
	"bits/internal/daemon"
	"bits/internal/scheduler"
)

// Main runs the tests of a package, or, in a process that [Command] made, the program itself.
func Main(m *testing.M) {
	if os.Getenv("BITS_TEST_PROGRAM") != "" {
		os.Exit(cli.Main(context.Background(), os.Args[1:], cli.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}))
	}
	os.Exit(m.Run())
}

// Command is a command of the program, as a process of its own, against the service in a folder.
// The package of the test has a TestMain that calls [Main].
func Command(dir string, args ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", args...)
	if program, err := os.Executable(); err == nil {
		cmd = exec.Command(program, args...)
	}
	cmd.Env = append(os.Environ(), "BITS_TEST_PROGRAM=1", "BITS_STATE_DIR="+filepath.Join(dir, "state"), "BITS_SOCKET="+filepath.Join(dir, "run", "s"))
	return cmd
}

// Dir is a new folder with a short path, for sockets, that is removed at the end of the test.
func Dir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "bt")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// Service is a service within the test's process, with folders of its own.
type Service struct {
	*client.Client
	Dir      string
	Settings scheduler.Settings
	Config   daemon.Config // what else a service is told, at Begin

	t    testing.TB
	stop context.CancelFunc
	done chan error
}

// Start starts a service that is stopped at the end of the test.
func Start(t testing.TB, settings ...scheduler.Settings) *Service {
	t.Helper()
	s := &Service{Dir: Dir(t), t: t}
	for _, set := range settings {
		s.Settings = set
	}
	s.Client = &client.Client{Socket: filepath.Join(s.Dir, "run", "s")}
	s.Begin()
	t.Cleanup(s.Stop)
	return s
}

// Begin starts the service again after Stop.
func (s *Service) Begin() {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ready := make(chan struct{})
	s.stop, s.done = cancel, make(chan error, 1)
	go func() {
		c := s.Config
		c.State, c.Socket, c.Scheduler = filepath.Join(s.Dir, "state"), s.Socket, s.Settings
		c.Log, c.Ready = slog.New(slog.DiscardHandler), sync.OnceFunc(func() { close(ready) })
		s.done <- daemon.Run(ctx, c)
	}()
	select {
	case <-ready:
	case err := <-s.done:
		s.t.Fatal(err)
	}
}

// Stop stops the service at a checkpoint.
func (s *Service) Stop() {
	if s.stop == nil {
		return
	}
	s.stop()
	if err := <-s.done; err != nil {
		s.t.Error(err)
	}
	s.stop = nil
	s.Client.Close()
}

// Path is a path in the folder for files.
func (s *Service) Path(name string) string {
	dir := filepath.Join(s.Dir, "files")
	os.MkdirAll(dir, 0o700)
	return filepath.Join(dir, name)
}

// Job makes a job, SUSPENDED, that fetches URLs to the last parts of their paths.
// Properties are JSON values by name.
func (s *Service) Job(properties map[string]any, urls ...string) *bits.Job {
	s.t.Helper()
	spec := bits.Spec{DisplayName: s.t.Name(), Properties: map[string]bits.RawMessage{}, Environment: map[string]string{}}
	for _, u := range urls {
		spec.Files = append(spec.Files, bits.FileSpec{RemoteName: u, LocalName: s.Path(filepath.Base(parsed(u).Path))})
	}
	for name, v := range properties {
		spec.Properties[name] = JSON(v)
	}
	job, err := s.Create(context.Background(), spec)
	if err != nil {
		s.t.Fatal(err)
	}
	return job
}

func parsed(u string) *url.URL {
	p, err := url.Parse(u)
	if err != nil {
		panic(err)
	}
	return p
}

// Until waits until a job is as it should be.
func (s *Service) Until(id string, is func(*bits.Job) bool) *bits.Job {
	s.t.Helper()
	var job *bits.Job
	var err error
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		if job, err = s.Client.Job(context.Background(), id); err == nil && is(job) {
			return job
		}
	}
	if err == nil && job.Error != nil {
		err = errors.New(job.Error.Message)
	}
	s.t.Fatalf("waited in vain for job %s; it is %v, %v", id, job.State, err)
	return nil
}

// State waits until a job is in a state.
func (s *Service) State(id string, want bits.State) *bits.Job {
	s.t.Helper()
	return s.Until(id, func(j *bits.Job) bool { return j.State == want })
}

// Must fails the test on an error.
func Must(t testing.TB, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}
