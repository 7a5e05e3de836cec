package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"path"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"bits"
	"bits/client"
	"bits/hresult"
	"bits/internal/console"
	"bits/internal/progress"
	"bits/internal/targets"
	"bits/internal/wire"
)

// verb is a command that does one thing with jobs.
type verb struct {
	name, short, done string
	call              func(ctx context.Context, id string) (hresult.Code, error)
}

func (a app) verbs() (commands []*cobra.Command) {
	plain := func(call func(context.Context, string) error) func(context.Context, string) (hresult.Code, error) {
		return func(ctx context.Context, id string) (hresult.Code, error) { return hresult.S_OK, call(ctx, id) }
	}
	for _, v := range []verb{
		{"suspend", "Pause jobs", "suspended", plain(a.Client.Suspend)},
		{"resume", "Let jobs go on; also after an error", "resumed", plain(a.Client.Resume)},
		{"cancel", "Drop jobs and what they have fetched so far", "cancelled", a.Client.Cancel},
		{"complete", "Give finished files their names and end the job; unfinished files are dropped", "completed", a.Client.Complete},
		{"own", "Become the owner of jobs of other users, as an administrator; what they trusted the job with is removed", "taken", plain(a.Client.TakeOwnership)},
	} {
		commands = append(commands, a.verbCommand(v))
	}
	return commands
}

func (a app) verbCommand(v verb) *cobra.Command {
	cmd := &cobra.Command{
		Use: v.name + " JOB...", Short: v.short, Args: console.Arguments(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.Each(cmd.Context(), args, func(j *bits.Job) error {
				code, err := v.call(cmd.Context(), j.ID)
				if err != nil {
					return err
				}
				if a.JSON {
					return a.Print(map[string]any{"id": j.ID, "hresult": code, "name": code.Name()})
				}
				a.Note("%s %s", j.ID, v.done)
				if code != hresult.S_OK {
					a.Note("  %s %s: %s", code, code.Name(), code.Message())
				}
				if code == hresult.BG_S_UNABLE_TO_DELETE_FILES {
					a.Note("  remove what the service could not remove: %s", progress.Clean(console.Temporaries(j)))
				}
				return nil
			})
		},
	}
	if v.name == "cancel" {
		cmd.Aliases = []string{"rm"}
	}
	return cmd
}

func (a app) listCommand() *cobra.Command {
	var all, ids, users bool
	var state, name string
	cmd := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List the jobs", Args: console.Arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			filter := url.Values{}
			if all {
				filter.Set("final", "true")
			}
			if users {
				filter.Set("all", "true")
			}
			if state != "" {
				var known bits.State
				if err := known.UnmarshalText([]byte(state)); err != nil {
					return console.Usage{Err: err}
				}
				filter.Set("state", state)
			}
			if err := a.Connect(cmd.Context()); err != nil {
				return err
			}
			jobs, err := a.Client.Jobs(cmd.Context(), filter)
			if err != nil {
				return err
			}
			if _, err := path.Match(name, ""); err != nil {
				return console.Usagef("--name %s is no pattern: %w", name, err)
			}
			jobs = slices.DeleteFunc(jobs, func(j bits.Job) bool {
				fits, _ := path.Match(name, j.DisplayName)
				return name != "" && !fits
			})
			names := []string{}
			for i := range jobs {
				names = append(names, jobs[i].ID)
			}
			switch {
			case a.JSON && ids:
				return a.Print(map[string]any{"ids": names})
			case a.JSON:
				return a.Print(map[string]any{"jobs": jobs})
			case ids:
				for _, id := range names {
					fmt.Fprintln(a.Out, id)
				}
				return nil
			}
			return progress.List(a.Out, jobs, users)
		},
	}
	cmd.Flags().BoolVarP(&all, "all", "a", false, "also the jobs that were completed or cancelled in the last 24 hours")
	cmd.Flags().BoolVar(&users, "all-users", false, "the jobs of all users, as an administrator")
	cmd.Flags().BoolVar(&ids, "ids", false, "print ids only")
	cmd.Flags().StringVar(&state, "state", "", "only jobs in this state")
	cmd.Flags().StringVar(&name, "name", "", "only jobs whose name fits the `PATTERN`, with * ? [a-r]")
	return cmd
}

func (a app) showCommand() *cobra.Command {
	var name string
	file := -1
	cmd := &cobra.Command{
		Use: "show JOB...", Short: "Show all about jobs, or one property", Args: console.Arguments(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if file >= 0 && name == "" {
				return console.Usagef("--file goes with --property")
			}
			return a.Each(cmd.Context(), args, func(j *bits.Job) error {
				switch {
				case name != "":
					return a.property(cmd, j, name, file)
				case a.JSON:
					return a.Print(j)
				}
				progress.Show(a.Out, j)
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&name, "property", "", "print only this one; docs/api.md lists them")
	cmd.Flags().IntVar(&file, "file", -1, "a property of this file, from 0")
	return cmd
}

func (a app) waitCommand() *cobra.Command {
	var timeout time.Duration
	cmd := &cobra.Command{
		Use: "wait JOB...", Short: "Wait until nothing more happens to jobs by itself", Args: console.Arguments(cobra.MinimumNArgs(1)),
		Long: `Wait until each job is TRANSFERRED, ACKNOWLEDGED, CANCELLED, ERROR or SUSPENDED; one that completes by itself is waited for until
it has. The exit code is 0 if all have all the files they were made for, else that of the error; 23 if the time is over.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			if timeout < 0 {
				return console.Usagef("--timeout is no negative time")
			} else if timeout > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeoutCause(ctx, timeout, console.Status(console.ExitStillRuns))
				defer cancel()
			}
			if err := a.Connect(ctx); err != nil {
				return err
			}
			var ids []string
			for _, word := range args { // what is wrong with a name is said before the waiting
				j, err := a.Resolve(ctx, word)
				if err != nil {
					return err
				}
				ids = append(ids, j.ID)
			}
			began := time.Now()
			return a.Each(ctx, ids, func(j *bits.Job) error {
				end := a.Trace(ctx, began, j.ID)
				j, err := a.Settled(ctx, j.ID)
				end()
				if err != nil {
					return err
				}
				if a.JSON {
					if err := a.Print(j); err != nil {
						return err
					}
				}
				return console.Outcome(j)
			})
		},
	}
	cmd.Flags().DurationVar(&timeout, "timeout", 0, "wait no longer than this; 0: for ever")
	a.verbose(cmd, traced)
	return cmd
}

// traced is what -v does in commands that wait.
const traced = "print connections and the heads of requests and answers to standard error, as curl does; secrets are hidden"

func (a app) watchCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "watch [JOB]", Short: "Print what happens to the jobs, or to one, until Ctrl-C or its end", Args: console.Arguments(cobra.MaximumNArgs(1)),
		Long: `Print each state that the jobs, or one of them, enter, and how far they are: into a file or a pipe at most every five seconds.
With --json every event of the local API is printed.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			if err := a.Connect(ctx); err != nil {
				return err
			}
			id := ""
			if len(args) == 1 {
				j, err := a.Resolve(ctx, args[0])
				if err != nil {
					return err
				}
				id = j.ID
				defer a.Trace(ctx, time.Now(), id)()
			} else if a.Verbose {
				return console.Usagef("-v goes with the name of a job")
			}
			since := int64(client.Now)
			shown := map[string]time.Time{} // the last progress of each job that was printed
			every := time.Duration(0)
			if !progress.Terminal(a.Out.Writer) && !a.JSON {
				every = watchEvery
			}
			return a.Events(ctx, &since, id, func(e client.Event) error {
				since = max(since, e.N)
				if e.Kind == wire.KindProgress && every > 0 {
					var p bits.JobProgress
					if err := json.Unmarshal(e.Body, &p); err != nil || p.BytesReceived == 0 || e.At.Sub(shown[e.Job]) < every {
						return err
					}
					shown[e.Job] = e.At
				}
				final, err := a.happened(e)
				if err == nil && final && id != "" {
					err = console.ErrEnough
				}
				return err
			})
		},
	}
	a.verbose(cmd, traced)
	return cmd
}

// watchEvery is the time between two lines of progress of a job in a log.
const watchEvery = 5 * time.Second

// happened prints an event and reports whether it ends the job.
func (a app) happened(e client.Event) (final bool, err error) {
	var body struct {
		wire.StateEvent
		bits.JobProgress
	}
	if err := json.Unmarshal(e.Body, &body); err != nil {
		return false, err
	}
	final = e.Kind == wire.KindState && body.State.Final()
	if a.JSON {
		return final, a.Print(e)
	}
	if e.Kind == wire.KindNow {
		return false, nil
	}
	at := e.At.Local().Format(time.TimeOnly)
	if e.Kind == wire.KindProgress {
		_, err = fmt.Fprintf(a.Out, "%s %s %s of %s, on disk %s\n", at, e.Job[:8], progress.Size(body.BytesReceived), progress.Total(body.JobProgress), progress.Size(body.BytesTransferred))
		return false, err
	}
	text := ""
	if body.State == bits.StateTransientError && body.Error != nil {
		text = ": " + progress.Clean(progress.Retry(body.Error, body.Failures, body.NextRetry))
	} else if body.Error != nil {
		text = fmt.Sprintf(": %s (%s %s)", progress.Clean(body.Error.Message), body.Error.Code, body.Error.Name)
	}
	_, err = fmt.Fprintf(a.Out, "%s %s %s%s\n", at, e.Job[:8], body.State, text)
	return final, err
}

func (a app) addCommand() *cobra.Command {
	var output, dir, ranges string
	cmd := &cobra.Command{
		Use: "add JOB URL...", Short: "Add files to a job", Args: console.Arguments(cobra.MinimumNArgs(2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			wanted, err := targets.Command{URLs: args[1:], Output: output, Dir: dir, Force: true}.Find()
			if err != nil {
				return err
			}
			parts, err := targets.Ranges(ranges)
			if err != nil {
				return console.Usage{Err: err}
			}
			return a.Each(cmd.Context(), args[:1], func(j *bits.Job) error {
				var files []bits.FileSpec
				for _, t := range wanted {
					files = append(files, bits.FileSpec{RemoteName: t.URL, LocalName: t.Path, Ranges: parts})
				}
				return a.Client.Add(cmd.Context(), j.ID, files...)
			})
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "name of the file; for one URL")
	cmd.Flags().StringVarP(&dir, "dir", "d", "", "folder for the files")
	cmd.Flags().StringVar(&ranges, "ranges", "", "fetch only these, and put them one after another: `OFFSET:LENGTH,...`, LENGTH may be eof")
	return cmd
}
