// Package cli is the command line.
//
// It has no private doors: it uses the client package as any program can.
// stdout carries results, everything else goes to stderr.
package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"bits"
	"bits/client"
	"bits/hresult"
	"bits/internal/demo"
	"bits/internal/progress"
)

// Streams are the standard streams of a command.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
}

// Exit codes beside those of the table of codes.
const (
	exitUsage       = 2
	exitStillRuns   = 23
	exitSomeFailed  = 24
	exitInterrupted = 130
	exitTerminated  = 143
)

// app is one invocation.
type app struct {
	Streams
	client client.Client
	json   bool
	quiet  bool
}

// status is an error that has been reported already, or needs no words.
type status int

func (s status) Error() string { return fmt.Sprintf("exit status %d", int(s)) }

// usage is a wrong command line.
type usage struct{ error }

func usagef(format string, args ...any) error { return usage{fmt.Errorf(format, args...)} }

// interrupted is the cause of a context that a signal ended.
type interrupted struct{ signal os.Signal }

func (i interrupted) Error() string { return "interrupted by signal " + i.signal.String() }

// Main runs one command and returns its exit code.
func Main(ctx context.Context, args []string, s Streams) int {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	go func() {
		cancel(interrupted{<-signals})
		signal.Stop(signals) // the second one ends the process at once
	}()
	a := &app{Streams: s}
	root := a.commands()
	root.SetArgs(args)
	root.SetIn(s.In)
	root.SetOut(s.Out)
	root.SetErr(s.Err)
	err := root.ExecuteContext(ctx)
	if cause := context.Cause(ctx); err != nil && cause != nil && errors.Is(err, cause) {
		err = cause
	}
	return a.report(err)
}

// report says what went wrong and returns the exit code.
func (a *app) report(err error) int {
	var done status
	var wrong usage
	var stopped interrupted
	switch {
	case err == nil:
		return 0
	case errors.As(err, &done):
		return int(done)
	case errors.As(err, &stopped):
		if stopped.signal == syscall.SIGTERM {
			return exitTerminated
		}
		return exitInterrupted
	case errors.As(err, &wrong), strings.HasPrefix(err.Error(), "unknown command"):
		fmt.Fprintf(a.Err, "bits: %v\n  try: bits --help\n", err)
		return exitUsage
	}
	e := bits.AsError(err)
	a.fail(e.Code, e.Context, e.Message, e.Hint)
	return e.Code.Exit()
}

// fail prints an error: a sentence, the code with its name, the hint.
func (a *app) fail(code hresult.Code, c bits.ErrorContext, message, hint string) {
	if a.json {
		json.NewEncoder(a.Err).Encode(struct {
			Code    hresult.Code      `json:"hresult"`
			Name    string            `json:"name"`
			Context bits.ErrorContext `json:"context"`
			Message string            `json:"message"`
			Hint    string            `json:"hint,omitempty"`
		}{code, code.Name(), c, message, hint})
		return
	}
	fmt.Fprintf(a.Err, "bits: %s\n  code: %s", progress.Clean(message), code)
	if name := code.Name(); name != "" {
		fmt.Fprintf(a.Err, " %s", name)
	}
	if c != bits.ContextNone {
		fmt.Fprintf(a.Err, " (%s)", c)
	}
	fmt.Fprintln(a.Err)
	if hint != "" {
		fmt.Fprintf(a.Err, "  try: %s\n", progress.Clean(hint))
	}
}

// note prints a line for people.
func (a *app) note(format string, args ...any) {
	if !a.quiet {
		fmt.Fprintf(a.Err, format+"\n", args...)
	}
}

// print writes a result as one line of JSON.
func (a *app) print(v any) error { return json.NewEncoder(a.Out).Encode(v) }

func (a *app) commands() *cobra.Command {
	root := &cobra.Command{
		Use:   "bits",
		Short: "Transfer files in the background, whatever happens",
		Long: `bits moves files in the background. Transfers survive crashes and reboots, never mix two versions of a file, and let you
judge the server's certificate before a byte of the request is sent.

  bits get https://example.com/file.iso      fetch a file, and wait for it
  bits get --detach URL                      the same, in the background
  bits list                                  what there is to do`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usage{err} })
	flags := root.PersistentFlags()
	flags.BoolVar(&a.json, "json", false, "print results and errors as JSON, one object a line")
	flags.BoolVarP(&a.quiet, "quiet", "q", false, "say nothing but errors and results")
	for _, c := range []*cobra.Command{
		a.getCommand(), a.listCommand(), a.showCommand(), a.watchCommand(), a.waitCommand(), a.addCommand(),
		a.actCommand(bits.Suspend), a.actCommand(bits.Resume), a.actCommand(bits.Cancel), a.actCommand(bits.Complete),
		a.validateCommand(), a.daemonCommand(), a.apiCommand(), a.demoCommand(),
	} {
		root.AddCommand(c)
	}
	return root
}

func (a *app) demoCommand() *cobra.Command {
	return &cobra.Command{
		Use: "demo", Short: "See the main job, with a server and an application of its own, in a folder that is removed afterwards",
		Long: `Run the main job before your eyes: a download over HTTPS whose certificate an application judges, through the death of the
service, of the application, and a change of the certificate. It needs no privilege and no network.`,
		Args: arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return demo.Run(cmd.Context(), a.Err) },
	}
}

// arguments makes cobra's checks of the number of operands usage errors.
func arguments(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return usagef("%w; it is used as: %s", err, cmd.UseLine())
		}
		return nil
	}
}
