// Package start starts programs of users for the service: notification commands, and applications that are absent when they are
// needed.
//
// No shell is used, nothing is searched for, and every start and end is a line of the log.
package start

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"bits"
)

// Longest is how long a notification command may run; then it is killed with all that it has started, and has failed.
const Longest = time.Hour

// Programs starts programs.
type Programs struct {
	Folder string   // of the registered applications; empty: there are none
	Env    []string // what every program is told, as NAME=VALUE: where the service is
	Log    *slog.Logger
}

// Split divides parameters into words as [bits.Command] promises: blanks divide, double quotes hold together, and a backslash before a
// quote keeps that; before all else it is itself.
func Split(parameters string) (words []string) {
	var word strings.Builder
	within, quoted := false, false
	for i := 0; i < len(parameters); i++ {
		switch c := parameters[i]; {
		case c == '\\' && i+1 < len(parameters) && parameters[i+1] == '"':
			i++
			word.WriteByte('"')
			within = true
		case c == '"':
			quoted = !quoted
			within = true
		case (c == ' ' || c == '\t') && !quoted:
			if within {
				words = append(words, word.String())
				word.Reset()
				within = false
			}
		default:
			word.WriteByte(c)
			within = true
		}
	}
	if within {
		words = append(words, word.String())
	}
	return words
}

// Command runs the notification command of a job, as the user who set it, and returns when it has ended.
// Nil is the exit code 0.
// It is not stopped with the context: a command may outlive the service, for example the one that replaces it.
func (p Programs) Command(_ context.Context, j *bits.Job) error {
	words := Split(j.NotifyCommand.Parameters)
	if len(words) == 0 {
		words = []string{j.NotifyCommand.Program}
	}
	ctx, cancel := context.WithTimeout(context.Background(), Longest)
	defer cancel()
	cmd := exec.CommandContext(ctx, j.NotifyCommand.Program)
	cmd.Args = words
	onCommandLine(cmd, j.NotifyCommand.Parameters)
	return p.run(cmd, j, j.NotifyUser, "notification command")
}

// run runs a program as a user, with a clean environment and no standard input.
func (p Programs) run(cmd *exec.Cmd, j *bits.Job, as, what string) error {
	// Parameters may hold secrets: they are counted, not written.
	log := p.Log.With("what", what, "job", j.ID, "owner", j.Owner, "as", as, "program", cmd.Path, "words", len(cmd.Args))
	env, err := become(cmd, as)
	if err == nil {
		cmd.Env = append(append(append(cmd.Env, env...), p.Env...), "BITS_JOB_ID="+j.ID, "BITS_JOB_STATE="+j.State.String(), "BITS_JOB_NAME="+visible(j.DisplayName))
		said := &said{}
		cmd.Stdout, cmd.Stderr = said, said
		cmd.WaitDelay = 5 * time.Second // of streams that a grandchild holds open
		if err = cmd.Start(); err == nil {
			log = log.With("pid", cmd.Process.Pid)
			log.Info("a program was started")
			if err = cmd.Wait(); errors.Is(err, exec.ErrWaitDelay) {
				err = nil
			}
			log.Info("a program has ended", "exit", cmd.ProcessState.ExitCode(), "why", err, "output", said.String())
			return err
		}
	}
	log.Warn("a program could not be started", "why", err)
	return fmt.Errorf("cannot start %s: %w", cmd.Path, err)
}

// visible makes a name fit for the environment, where it ends at a zero byte.
func visible(name string) string { return strings.ReplaceAll(name, "\x00", "") }

// saidMost is how much of the output of a program is kept for the log.
const saidMost = 4096

// said is the beginning of what a program has said.
type said struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text.Write(p[:min(len(p), saidMost-s.text.Len())])
	return len(p), nil
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

var _ io.Writer = (*said)(nil)

// keep returns those variables of the service's environment that say something, as NAME=VALUE.
func keep(names ...string) (env []string) {
	for _, name := range names {
		if v := os.Getenv(name); v != "" {
			env = append(env, name+"="+v)
		}
	}
	return env
}
