package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"bits/internal/console"
	"bits/internal/daemon"
	"bits/internal/launch"
	"bits/internal/limits"
	"bits/internal/progress"
	"bits/internal/wire"
)

func (a app) daemonCommand() *cobra.Command {
	var config daemon.Config
	var log, commands string
	var announce bool
	var caps []string
	cmd := &cobra.Command{
		Use:   "daemon",
		Short: "Run the service in the foreground",
		Long: `Run the service in the foreground, until SIGTERM or SIGINT. Commands start it by themselves when they need it.

Its state is in BITS_STATE_DIR, else in the folder bits in XDG_STATE_HOME or, without that, where the system keeps such things for
the user. Its socket is BITS_SOCKET, else in XDG_RUNTIME_DIR, else in a folder of the user's own in /tmp; on Windows a named pipe.

With --system it serves all users, and never ends by itself. Only an administrator can run it. Its state is in BITS_STATE_DIR, else in
/var/lib/bits, its socket BITS_SOCKET, else /run/bits/bits.sock. Commands use it with --system too.`,
		Args: console.Arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch s := config.Scheduler; {
			case s.Background < 1:
				return console.Usagef("--background is at least 1")
			case s.Foreground == 0 || s.Foreground < -1:
				return console.Usagef("--foreground is at least 1, or -1")
			case s.Slice <= 0 || config.IdleExit < 0:
				return console.Usagef("--slice and --idle-exit are no negative times, and --slice is not 0")
			case a.Client.SystemWide && config.IdleExit > 0:
				return console.Usagef("--system and --idle-exit do not go together: the service of all users never ends by itself")
			case commands != "on" && commands != "off":
				return console.Usagef("--notify-commands is on or off")
			}
			config.AllUsers, config.NoCommands = a.Client.SystemWide, commands == "off"
			var err error
			if config.Limits, err = limits.Parse(caps, "--limit"); err != nil {
				return console.Usage{Err: err}
			}
			err = launch.Run(cmd.Context(), config, log, func() {
				if announce {
					fmt.Fprintln(a.Out, "ready")
					a.Out.Close()
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
	flags.StringVar(&commands, "notify-commands", "on", "off: notification commands are kept, and not run")
	flags.StringArrayVar(&caps, "limit", nil, "a limit for all but administrators, `NAME=NUMBER`: MaxJobsPerMachine, MaxJobsPerUser, MaxFilesPerJob, MaxRangesPerFile")
	flags.StringVar(&log, "log", "", "file for the log, kept under 2 MiB; empty: stderr")
	flags.BoolVar(&announce, "announce", false, "print a line when ready")
	flags.MarkHidden("announce")
	return cmd
}

func (a app) apiCommand() *cobra.Command {
	return &cobra.Command{
		Use: "api METHOD PATH [BODY]", Short: "Call the local API, as curl would; BODY is JSON, or - for standard input",
		Example: "  bits api GET /v1/jobs\n  bits api POST /v1/jobs '{\"display_name\": \"mine\"}'",
		Args:    console.Arguments(cobra.RangeArgs(2, 3)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.Connect(cmd.Context()); err != nil {
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
					return misused("api", "the body is no JSON")
				}
				body = json.RawMessage(bytes.TrimSpace(text))
			}
			path := strings.TrimPrefix(args[1], "/v1")
			if !strings.HasPrefix(path, "/") {
				return console.Usagef("the path begins with /v1/")
			}
			return a.Client.Stream(cmd.Context(), strings.ToUpper(args[0]), path, body, a.Out)
		},
	}
}

func (a app) errorCommand() *cobra.Command {
	return &cobra.Command{
		Use: "error CODE", Short: "Explain an error code: a name, 0x and eight digits, or a decimal number", Example: "  bits error 0x80190194\n  bits error -2147024891",
		DisableFlagParsing: true, // a decimal code may be negative
		RunE: func(cmd *cobra.Command, args []string) error {
			args = slices.DeleteFunc(args, func(s string) bool { return s == "--json" || s == "--quiet" || s == "-q" || s == "--" })
			if slices.Contains(args, "--help") || slices.Contains(args, "-h") {
				return cmd.Help()
			} else if err := console.Arguments(cobra.ExactArgs(1))(cmd, args); err != nil {
				return err
			}
			d, err := wire.Describe(args[0])
			if err != nil {
				return err
			} else if a.JSON {
				return a.Print(d)
			}
			_, err = io.WriteString(a.Out, progress.Description(d))
			return err
		},
	}
}

func (a app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version of this program", Args: console.Arguments(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error { return a.version() },
	}
}

func (a app) version() error {
	v := struct {
		Version string `json:"version"`
		Build   string `json:"build"`
		Go      string `json:"go"`
		System  string `json:"system"`
	}{"(devel)", daemon.Executable().ID, runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		v.Version = info.Main.Version
	}
	if a.JSON {
		return a.Print(v)
	}
	_, err := fmt.Fprintf(a.Out, "bits %s, build %s, %s, %s\n", v.Version, v.Build, v.Go, v.System)
	return err
}
