package bitstest

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/url"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"bits"
	"bits/client"
	"bits/internal/daemon"
	"bits/internal/program"
)

// Service is a service with folders of its own, and a client of it: the methods of [client.Client] are its own.
// Set BITS_SOCKET to its Socket, or take [Service.Env], for an application that finds its service by itself.
//
// Its methods fail the test when they cannot do what they say.
type Service struct {
	*client.Client

	// Dir is the folder of all that is the service's, and of nothing else: its state, its socket, the files of [Service.Path].
	Dir string

	t     testing.TB
	apart bool
	stop  func()       // ends it at a checkpoint; nil: it does not run
	kill  func()       // ends it at once; nil if it is no process of its own
	ended <-chan error // gets how it ended, once
}

// Option changes how a service runs.
type Option func(*Service)

// Process makes the service a process of its own, which [Service.Kill] can kill.
// Without it the service runs within the process of the test, which starts faster and is easier to debug.
func Process(s *Service) { s.apart = true }

// Start starts a service, which ends with the test.
// When it returns, the service answers.
func Start(t testing.TB, options ...Option) *Service {
	t.Helper()
	s := &Service{Dir: program.Dir(t), t: t}
	for _, o := range options {
		o(s)
	}
	s.Client = &client.Client{Socket: program.Socket(s.Dir)}
	s.begin()
	t.Cleanup(s.Stop)
	return s
}

func (s *Service) begin() {
	s.t.Helper()
	ready, ended := make(chan struct{}), make(chan error, 1)
	s.ended = ended
	if s.apart {
		s.process(ready, ended)
	} else {
		ctx, cancel := context.WithCancel(context.Background())
		s.stop = cancel
		go func() {
			ended <- daemon.Run(ctx, daemon.Config{
				State: filepath.Join(s.Dir, "state"), Socket: s.Socket,
				Log: slog.New(slog.DiscardHandler), Ready: sync.OnceFunc(func() { close(ready) }),
			})
		}()
	}
	select {
	case <-ready:
	case err := <-s.ended:
		s.stop = nil
		s.t.Fatalf("cannot start the service: %v", err)
	}
}

// process starts the service as a process that ends with the test, however that ends.
func (s *Service) process(ready chan<- struct{}, ended chan<- error) {
	s.t.Helper()
	cmd, pipe, err := program.Tied(s.Dir, "daemon")
	Must(s.t, err)
	said := &bytes.Buffer{}
	cmd.Stderr = said
	Must(s.t, cmd.Start())
	s.stop = func() {
		time.AfterFunc(program.Patience, func() { cmd.Process.Kill() }) // one that hangs; nothing, if it has ended
		if s.Do(context.Background(), "POST", "/system/stop", nil, nil) != nil {
			cmd.Process.Kill()
		}
	}
	s.kill = func() { cmd.Process.Kill() }
	go func() {
		err := cmd.Wait()
		pipe.Close()
		if err != nil {
			err = errors.Join(err, errors.New(said.String()))
		}
		ended <- err
	}()
	go func() {
		if program.Until(func() bool { _, err := s.System(context.Background()); return err == nil }) {
			close(ready)
		} else {
			cmd.Process.Kill()
		}
	}()
}

// Stop ends the service at a checkpoint, as a reboot in good order does.
// On a service that does not run it does nothing.
func (s *Service) Stop() {
	s.t.Helper()
	if s.stop == nil {
		return
	}
	s.stop()
	if err := <-s.ended; err != nil {
		s.t.Errorf("the service did not end well: %v", err)
	}
	s.stop = nil
	s.Client.Close()
}

// Kill ends the service at once, as a power cut or the end of memory does; it must be a [Process].
// On a service that does not run it does nothing.
func (s *Service) Kill() {
	s.t.Helper()
	if s.stop == nil {
		return
	}
	if s.kill == nil {
		s.t.Fatal("cannot kill a service within the test: start it with bitstest.Process")
	}
	s.kill()
	<-s.ended
	s.stop = nil
	s.Client.Close()
}

// Restart starts the service again after Stop or Kill; one that runs is stopped at a checkpoint first.
// Jobs go on where they were; those who judge certificates must attach themselves again.
func (s *Service) Restart() {
	s.t.Helper()
	s.Stop()
	s.begin()
}

// Command is a command of the program bits against this service, as a process of its own, not yet started:
// Command("--json", "list").
func (s *Service) Command(args ...string) *exec.Cmd { return program.Command(s.Dir, args...) }

// Env is the environment of this process, with the service as the one of programs that run in it.
func (s *Service) Env() []string { return program.Env(s.Dir) }

// Path is a path for a file of that name in a folder that the service may write to; the folder exists.
func (s *Service) Path(name string) string {
	dir := filepath.Join(s.Dir, "files")
	os.MkdirAll(dir, 0o700)
	return filepath.Join(dir, name)
}

// NewJob makes a job, SUSPENDED, that fetches URLs to the last parts of their paths, in the folder of [Service.Path].
// Properties are values by the names of docs/api.md; nil for none.
func (s *Service) NewJob(properties map[string]any, urls ...string) *bits.Job {
	s.t.Helper()
	spec := bits.Spec{DisplayName: s.t.Name(), Properties: map[string]bits.RawMessage{}, Environment: map[string]string{}}
	for _, u := range urls {
		p, err := url.Parse(u)
		Must(s.t, err)
		spec.Files = append(spec.Files, bits.FileSpec{RemoteName: u, LocalName: s.Path(path.Base(p.Path))})
	}
	for name, v := range properties {
		spec.Properties[name] = JSON(v)
	}
	job, err := s.Create(context.Background(), spec)
	Must(s.t, err)
	return job
}

// Find waits until there is a job whose display name contains this text, at most a minute, and returns it, also if it has ended
// meanwhile; of several the oldest.
// It is for the jobs that the application makes.
func (s *Service) Find(name string) *bits.Job {
	s.t.Helper()
	var jobs []bits.Job
	i := -1
	if !program.Until(func() bool {
		jobs, _ = s.Jobs(context.Background(), url.Values{"final": {"true"}})
		i = slices.IndexFunc(jobs, func(j bits.Job) bool { return strings.Contains(j.DisplayName, name) })
		return i >= 0
	}) {
		s.t.Fatalf("waited in vain for a job with the name %q", name)
	}
	return &jobs[i]
}

// Until waits until a job is as it should be, at most a minute, and returns it.
func (s *Service) Until(id string, is func(*bits.Job) bool) *bits.Job {
	s.t.Helper()
	var job *bits.Job
	var err error
	if program.Until(func() bool { job, err = s.Job(context.Background(), id); return err == nil && is(job) }) {
		return job
	}
	if err == nil && job.Error != nil {
		err = errors.New(job.Error.Message)
	}
	s.t.Fatalf("waited in vain for job %s; it is %v, %v", id, job.State, err)
	return nil
}

// Await waits until a job is in a state, at most a minute, and returns it.
func (s *Service) Await(id string, want bits.State) *bits.Job {
	s.t.Helper()
	return s.Until(id, func(j *bits.Job) bool { return j.State == want })
}

// Retry waits until a job is TRANSIENT_ERROR and resumes it, so that it does not wait for its next try.
// It returns the job as it was, with its error.
//
// The job must not try again by itself before Retry has seen it: with minimum_retry_delay it waits for 5 seconds at least, and 600 if
// nothing else is said.
func (s *Service) Retry(id string) *bits.Job {
	s.t.Helper()
	job := s.Await(id, bits.StateTransientError)
	Must(s.t, s.Resume(context.Background(), id))
	return job
}
