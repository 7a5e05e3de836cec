// Package console is what every command of the command line has: its streams, the service, and how results and errors are printed.
//
// stdout carries results, everything else goes to stderr.
package console

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/spf13/cobra"

	"bits"
	"bits/client"
	"bits/hresult"
	"bits/internal/progress"
	"bits/internal/wire"
)

// Streams are the standard streams of a command.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
}

// Exit codes beside those of the table of codes.
const (
	ExitUsage       = 2
	ExitDeclined    = 15
	ExitStillRuns   = 23
	ExitSomeFailed  = 24
	ExitInterrupted = 130
	ExitTerminated  = 143
)

// App is one invocation.
type App struct {
	In     io.Reader
	Out    *Output
	Err    io.Writer
	Client client.Client
	JSON   bool
	Name   string // of the command that runs, with those above it; empty: none does
	Quiet  bool

	Verbose bool                          // what happens is printed to Err, or more of it to Out
	Bars    atomic.Pointer[progress.Bars] // on the terminal now, if there are any
}

// Output is standard output.
// It remembers the first error, so that no command has to look after each line.
type Output struct {
	io.Writer
	err error
}

func (o *Output) Write(p []byte) (int, error) {
	n, err := o.Writer.Write(p)
	if err != nil {
		err = fmt.Errorf("cannot write to standard output: %w", err)
		o.err = cmp.Or(o.err, err)
	}
	return n, err
}

// Err is the first error of a write.
func (o *Output) Err() error { return o.err }

// Close closes the stream under it, if that can be.
func (o *Output) Close() error {
	if c, ok := o.Writer.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

// Status is an error that has been reported already, or needs no words.
type Status int

func (s Status) Error() string { return fmt.Sprintf("exit status %d", int(s)) }

// Usage is a wrong command line.
type Usage struct{ Err error }

func (u Usage) Error() string { return u.Err.Error() }

// Unwrap returns what is wrong with it.
func (u Usage) Unwrap() error { return u.Err }

// Usagef makes a [Usage].
func Usagef(format string, args ...any) error { return Usage{fmt.Errorf(format, args...)} }

// Interrupted is the cause of a context that a signal ended.
type Interrupted struct{ Signal os.Signal }

func (i Interrupted) Error() string { return "interrupted by signal " + i.Signal.String() }

// Report says what went wrong and returns the exit code.
func (a *App) Report(err error) int {
	var done Status
	var stopped Interrupted
	var wrong Usage
	switch {
	case err == nil:
		return 0
	case errors.As(err, &done):
		return int(done)
	case errors.As(err, &stopped):
		if stopped.Signal == syscall.SIGTERM {
			return ExitTerminated
		}
		return ExitInterrupted
	case strings.HasPrefix(err.Error(), "unknown command"):
		err = Usage{err}
	}
	e := bits.AsError(err)
	misused := errors.As(err, &wrong)
	if misused && e.Code == hresult.E_FAIL {
		e = bits.Errorf(hresult.E_INVALIDARG, "%w", err).WithHint("%s --help", cmp.Or(a.Name, "bits"))
	}
	a.Fail(e)
	switch {
	case misused:
		return ExitUsage
	case e.Context == bits.ContextCertificateCallback:
		return ExitDeclined // whatever code the application chose
	case e.Code == hresult.BG_S_PARTIAL_COMPLETE:
		return ExitSomeFailed
	}
	return e.Code.Exit()
}

// Fail prints an error: a sentence, the code with its name, the hint.
func (a *App) Fail(e *bits.Error) {
	if a.JSON {
		json.NewEncoder(a.Err).Encode(wire.FromError(e))
		return
	}
	fmt.Fprintf(a.Err, "bits: %s\n  code: %s", progress.Clean(e.Message), e.Code)
	if name := e.Code.Name(); name != "" {
		fmt.Fprintf(a.Err, " %s", name)
	}
	if e.Context != bits.ContextNone {
		fmt.Fprintf(a.Err, " (%s)", e.Context)
	}
	fmt.Fprintln(a.Err)
	if e.Hint != "" {
		fmt.Fprintf(a.Err, "  try: %s\n", progress.Clean(e.Hint))
	}
}

// Note prints a line for people, above the bars if there are any.
func (a *App) Note(format string, args ...any) {
	if a.Quiet {
		return
	}
	a.above(format, args...)
}

// Print writes a result as one line of JSON.
func (a *App) Print(v any) error { return json.NewEncoder(a.Out).Encode(v) }

// Arguments makes cobra's checks of the number of operands usage errors that say how the command is used.
func Arguments(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			count := map[int]string{0: "without operands", 1: "with one operand"}[len(args)]
			e := bits.Errorf(hresult.E_INVALIDARG, "cannot run %q %s: it is used as: %s", cmd.CommandPath(), cmp.Or(count, fmt.Sprintf("with %d operands", len(args))), cmd.UseLine())
			return Usage{e.WithHint("%s --help", cmd.CommandPath())}
		}
		return nil
	}
}
