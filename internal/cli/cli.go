// Package cli is the command line.
//
// It has no private doors: it uses the client package as any program can.
// stdout carries results, everything else goes to stderr.
package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/spf13/cobra"

	"bits"
	"bits/client"
	"bits/hresult"
	"bits/internal/bitsadmin"
	"bits/internal/demo"
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
	exitUsage       = 2
	exitDeclined    = 15
	exitStillRuns   = 23
	exitSomeFailed  = 24
	exitInterrupted = 130
	exitTerminated  = 143
)

// app is one invocation.
type app struct {
	In     io.Reader
	Out    *output
	Err    io.Writer
	client client.Client
	json   bool
	quiet  bool
	bars   atomic.Pointer[progress.Bars] // on the terminal now, if there are any
}

// output is standard output.
// It remembers the first error, so that no command has to look after each line.
type output struct {
	io.Writer
	err error
}

func (o *output) Write(p []byte) (int, error) {
	n, err := o.Writer.Write(p)
	if err != nil {
		err = fmt.Errorf("cannot write to standard output: %w", err)
		o.err = cmp.Or(o.err, err)
	}
	return n, err
}

func (o *output) Close() error {
	if c, ok := o.Writer.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

// status is an error that has been reported already, or needs no words.
type status int

func (s status) Error() string { return fmt.Sprintf("exit status %d", int(s)) }

// usage is a wrong command line.
type usage struct{ error }

func (u usage) Unwrap() error { return u.error }

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
	a := &app{In: s.In, Out: &output{Writer: s.Out}, Err: s.Err}
	root := a.commands()
	// A command line that cannot be read to its end may ask for JSON all the same.
	words := args
	if n := slices.Index(args, "--"); n >= 0 {
		words = args[:n]
	}
	a.json = slices.Contains(words, "--json")
	root.SetArgs(args)
	root.SetIn(s.In)
	root.SetOut(a.Out)
	root.SetErr(s.Err)
	err := root.ExecuteContext(ctx)
	if cause := context.Cause(ctx); err != nil && cause != nil && errors.Is(err, cause) {
		err = cause
	}
	if err == nil {
		err = a.Out.err
	}
	return a.report(err)
}

// report says what went wrong and returns the exit code.
func (a *app) report(err error) int {
	var done status
	var stopped interrupted
	var wrong usage
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
	case strings.HasPrefix(err.Error(), "unknown command"):
		err = usage{err}
	}
	e := bits.AsError(err)
	misused := errors.As(err, &wrong)
	if misused && e.Code == hresult.E_FAIL {
		e = bits.Errorf(hresult.E_INVALIDARG, "%w", err).WithHint("bits --help")
	}
	a.fail(e)
	switch {
	case misused:
		return exitUsage
	case e.Context == bits.ContextCertificateCallback:
		return exitDeclined // whatever code the application chose
	case e.Code == hresult.BG_S_PARTIAL_COMPLETE:
		return exitSomeFailed
	}
	return e.Code.Exit()
}

// fail prints an error: a sentence, the code with its name, the hint.
func (a *app) fail(e *bits.Error) {
	if a.json {
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

// note prints a line for people, above the bars if there are any.
func (a *app) note(format string, args ...any) {
	if a.quiet {
		return
	}
	if b := a.bars.Load(); b != nil {
		b.Note(format, args...)
		return
	}
	fmt.Fprintf(a.Err, format+"\n", args...)
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
	}
	version := root.Flags().Bool("version", false, "print the version of this program")
	root.RunE = func(cmd *cobra.Command, _ []string) error {
		if *version {
			return a.version()
		}
		return cmd.Help()
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usage{err} })
	flags := root.PersistentFlags()
	flags.BoolVar(&a.json, "json", false, "print results and errors as JSON, one object a line")
	flags.BoolVarP(&a.quiet, "quiet", "q", false, "say nothing but errors and results")
	for _, c := range []*cobra.Command{
		a.getCommand(), a.listCommand(), a.showCommand(), a.watchCommand(), a.waitCommand(), a.addCommand(),
		a.actCommand(bits.Suspend), a.actCommand(bits.Resume), a.actCommand(bits.Cancel), a.actCommand(bits.Complete),
		a.validateCommand(), a.daemonCommand(), a.apiCommand(), a.demoCommand(), a.versionCommand(), a.adminCommand(),
	} {
		root.AddCommand(c)
	}
	// What cobra adds by itself takes any operand and shows its help.
	root.SetHelpCommand(&cobra.Command{
		Use: "help [COMMAND]", Short: "Show the help of a command",
		RunE: func(_ *cobra.Command, args []string) error {
			cmd, rest, err := root.Find(args)
			if err != nil || len(rest) > 0 {
				return usagef("cannot find the command %q", strings.Join(args, " "))
			}
			return cmd.Help()
		},
	})
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	for _, c := range root.Commands() {
		if c.Name() == "completion" {
			c.Args = arguments(cobra.NoArgs)
			c.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
		}
	}
	return root
}

func (a *app) adminCommand() *cobra.Command {
	return &cobra.Command{
		Use: "admin /SWITCH...", Short: "Do what bitsadmin does; a link of that name to bits does it too", DisableFlagParsing: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			c := bitsadmin.Command{Client: &a.client, Connect: a.connect, Out: a.Out.Writer, Err: a.Err}
			err := c.Run(cmd.Context(), args)
			if code := bitsadmin.Exit(0); errors.As(err, &code) {
				return status(code)
			}
			return err
		},
	}
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
