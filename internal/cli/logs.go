package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"bits"
	"bits/client"
	"bits/internal/console"
	"bits/internal/progress"
)

func (a app) logsCommand() *cobra.Command {
	var follow bool
	last := -1
	cmd := &cobra.Command{
		Use: "logs JOB", Short: "Show what has happened to a job", Args: console.Arguments(cobra.ExactArgs(1)),
		Long: `Show what has happened to a job: states, connections, certificates, requests and answers, what was resumed and what was started over,
failures and when the next try is. Secrets are hidden, and so are the values in the queries of URLs.

The log is there for seven days, also when the job is forgotten; then JOB is its id, or the unique begin of that.`,
		Example: `  bits logs 1b6f
  bits logs -f -v 1b6f            until the job ends, with the heads of requests and answers
  bits logs -n 20 --json 1b6f`,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, from := cmd.Context(), int64(0)
			if last < -1 {
				return console.Usagef("-n is a number of lines")
			}
			if err := a.Connect(ctx); err != nil {
				return err
			}
			j, missing := a.Resolve(ctx, args[0])
			if missing != nil {
				if !errors.Is(missing, bits.ErrNotFound) {
					return missing
				}
				j = &bits.Job{ID: strings.ToLower(args[0])} // which is forgotten, perhaps
			}
			show := func(l client.LogLine) error {
				if a.JSON {
					return a.Print(l)
				}
				_, err := fmt.Fprintln(a.Out, progress.LogLine(l, a.Verbose))
				return err
			}
			var lines []client.LogLine
			err := a.Lines(ctx, j.ID, &from, false, a.Connect, func(l client.LogLine) error {
				lines = append(lines, l)
				return nil
			})
			switch {
			case errors.Is(err, bits.ErrNotFound) && missing != nil && !hex(j.ID):
				return missing
			case err != nil:
				return err
			case last >= 0 && len(lines) > last:
				lines = lines[len(lines)-last:]
			}
			for _, l := range lines {
				if err := show(l); err != nil {
					return err
				}
			}
			if !follow {
				return nil
			}
			return a.Lines(ctx, j.ID, &from, true, a.Connect, show)
		},
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "and what comes, until the job ends")
	cmd.Flags().IntVarP(&last, "lines", "n", -1, "only the last `N` lines of those that are there")
	a.verbose(cmd, "with the heads of requests and answers")
	return cmd
}

func hex(s string) bool { return strings.Trim(s, "0123456789abcdef-") == "" }

// verbose gives a command the flag -v.
func (a app) verbose(cmd *cobra.Command, usage string) {
	cmd.Flags().BoolVarP(&a.Verbose, "verbose", "v", false, usage)
}
