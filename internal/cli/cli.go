// Package cli is the command line.
//
// It has no private doors: it uses the client package as any program can.
// stdout carries results, everything else goes to stderr.
package cli

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"bits"

	"github.com/spf13/cobra"

	"bits/hresult"
	"bits/internal/bitsadmin"
	"bits/internal/console"
	"bits/internal/demo"
	"bits/internal/get"
)

// app is one invocation.
type app struct{ *console.App }

// Main runs one command and returns its exit code.
func Main(ctx context.Context, args []string, s console.Streams) int {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	go func() {
		cancel(console.Interrupted{Signal: <-signals})
		signal.Stop(signals) // the second one ends the process at once
	}()
	a := app{&console.App{In: s.In, Out: &console.Output{Writer: s.Out}, Err: s.Err}}
	root := a.commands()
	// A command line that cannot be read to its end may ask for JSON all the same.
	words := args
	if n := slices.Index(args, "--"); n >= 0 {
		words = args[:n]
	}
	a.JSON = slices.Contains(words, "--json")
	root.SetArgs(args)
	root.SetIn(s.In)
	root.SetOut(a.Out)
	root.SetErr(s.Err)
	err := root.ExecuteContext(ctx)
	if cause := context.Cause(ctx); err != nil && cause != nil && errors.Is(err, cause) {
		err = cause
	}
	if err == nil {
		err = a.Out.Err()
	}
	return a.Report(err)
}

func (a app) commands() *cobra.Command {
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
	root.PersistentPreRun = func(cmd *cobra.Command, _ []string) { a.Name = cmd.CommandPath() }
	version := root.Flags().Bool("version", false, "print the version of this program")
	root.RunE = func(cmd *cobra.Command, _ []string) error {
		if *version {
			return a.version()
		}
		return cmd.Help()
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return console.Usage{Err: bits.Errorf(hresult.E_INVALIDARG, "cannot run %q: %w", cmd.CommandPath(), err).WithHint("%s --help", cmd.CommandPath())}
	})
	flags := root.PersistentFlags()
	flags.BoolVar(&a.JSON, "json", false, "print results and errors as JSON, one object a line")
	flags.BoolVar(&a.Client.SystemWide, "system", os.Getenv("BITS_SYSTEM") == "1", "use the service of all users; also with BITS_SYSTEM=1")
	flags.BoolVarP(&a.Quiet, "quiet", "q", false, "say nothing but errors and results")
	for _, c := range []*cobra.Command{
		get.Command(a.App), a.listCommand(), a.showCommand(), a.logsCommand(), a.watchCommand(), a.waitCommand(), a.createCommand(), a.addCommand(), a.setCommand(), a.callCommand(),
		a.validateCommand(), a.daemonCommand(), a.apiCommand(), a.demoCommand(), a.errorCommand(), a.versionCommand(), a.adminCommand(), a.activationCommand(), a.proxyCommand(), a.loginCommand(), a.logoutCommand(),
	} {
		root.AddCommand(c)
	}
	root.AddCommand(a.verbs()...)
	// What cobra adds by itself takes any operand and shows its help.
	root.SetHelpCommand(&cobra.Command{
		Use: "help [COMMAND]", Short: "Show the help of a command",
		RunE: func(_ *cobra.Command, args []string) error {
			cmd, rest, err := root.Find(args)
			if err != nil || len(rest) > 0 {
				return console.Usagef("cannot find the command %q", strings.Join(args, " "))
			}
			return cmd.Help()
		},
	})
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	for _, c := range root.Commands() {
		if c.Name() == "completion" {
			c.Args = console.Arguments(cobra.NoArgs)
			c.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
		}
	}
	return root
}

func (a app) adminCommand() *cobra.Command {
	return &cobra.Command{
		Use: "admin /SWITCH...", Short: "Do what bitsadmin does; a link of that name to bits does it too", DisableFlagParsing: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			c := bitsadmin.Command{Client: &a.Client, Connect: a.Connect, Out: a.Out.Writer, Err: a.Err}
			err := c.Run(cmd.Context(), args)
			if code := bitsadmin.Exit(0); errors.As(err, &code) {
				return console.Status(code)
			}
			return err
		},
	}
}

func (a app) demoCommand() *cobra.Command {
	return &cobra.Command{
		Use: "demo", Short: "See the main job, with a server and an application of its own, in a folder that is removed afterwards",
		Long: `Run the main job before your eyes: a download over HTTPS whose certificate an application judges, through the death of the
service, of the application, and a change of the certificate. It needs no privilege and no network.`,
		Args: console.Arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return demo.Run(cmd.Context(), a.Err) },
	}
}
