package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"bits"
	"bits/client"
	"bits/hresult"
	"bits/internal/progress"
	"bits/internal/targets"
	"bits/internal/wire"
)

// resolve finds the job that a word names: an id, a unique prefix of at least four characters, or a unique display name.
// A job of another user, which an administrator can name, needs its whole id: anybody can choose a name and the begin of an id.
func (a *app) resolve(ctx context.Context, word string) (*bits.Job, error) {
	jobs, err := a.client.Jobs(ctx, url.Values{"final": {"true"}})
	if err != nil {
		return nil, err
	}
	// A name may have been used before: what is at work now is meant first.
	var found []*bits.Job
	for _, final := range []bool{false, true} {
		for i := range jobs {
			j := &jobs[i]
			if strings.EqualFold(j.ID, word) {
				return j, nil
			}
			if j.State.Final() == final && (len(word) >= 4 && strings.HasPrefix(j.ID, strings.ToLower(word)) || j.DisplayName == word && word != "") {
				found = append(found, j)
			}
		}
		if len(found) > 0 {
			break
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		var names []string
		for _, j := range found {
			names = append(names, j.ID+" ("+progress.Clean(j.DisplayName)+")")
		}
		return nil, bits.Errorf(hresult.BG_E_NOT_FOUND, "cannot tell which job %q means: it fits %s", word, strings.Join(names, ", ")).WithHint("give more of the id")
	case len(word) == len(bits.NewID()) && !strings.ContainsAny(word, "/ "):
		return a.client.Job(ctx, word)
	case len(word) < 4:
		return nil, bits.Errorf(hresult.BG_E_NOT_FOUND, "cannot find job %q: a prefix of an id has at least four characters", word)
	}
	return nil, bits.Errorf(hresult.BG_E_NOT_FOUND, "cannot find job %q", word).WithHint("bits list --all shows the jobs")
}

// each does something with every job named, reports every failure, and fails if one did.
func (a *app) each(ctx context.Context, words []string, do func(*bits.Job) error) error {
	if err := a.connect(ctx); err != nil {
		return err
	}
	var failed []error
	for _, word := range words {
		j, err := a.resolve(ctx, word)
		if err == nil {
			err = do(j)
		}
		if err != nil {
			failed = append(failed, err)
		}
	}
	return a.several(failed, len(words))
}

// several reports the failures among n operands and makes the exit code of them: that of the first, or "some failed".
func (a *app) several(failed []error, n int) error {
	if len(failed) == 0 || n == 1 {
		return errors.Join(failed...)
	}
	code := 0
	for _, err := range failed {
		if c := a.report(err); code == 0 {
			code = c
		}
	}
	if len(failed) < n && code != exitStillRuns {
		code = exitSomeFailed
	}
	return status(code)
}

// verb is a command that does one thing with jobs.
type verb struct {
	name, short, done string
	call              func(ctx context.Context, id string) (hresult.Code, error)
}

func (a *app) verbs() (commands []*cobra.Command) {
	plain := func(call func(context.Context, string) error) func(context.Context, string) (hresult.Code, error) {
		return func(ctx context.Context, id string) (hresult.Code, error) { return hresult.S_OK, call(ctx, id) }
	}
	for _, v := range []verb{
		{"suspend", "Pause jobs", "suspended", plain(a.client.Suspend)},
		{"resume", "Let jobs go on; also after an error", "resumed", plain(a.client.Resume)},
		{"cancel", "Drop jobs and what they have fetched so far", "cancelled", a.client.Cancel},
		{"complete", "Give finished files their names and end the job; unfinished files are dropped", "completed", a.client.Complete},
		{"own", "Become the owner of jobs of other users, as an administrator; what they trusted the job with is removed", "taken", plain(a.client.TakeOwnership)},
	} {
		commands = append(commands, a.verbCommand(v))
	}
	return commands
}

func (a *app) verbCommand(v verb) *cobra.Command {
	cmd := &cobra.Command{
		Use: v.name + " JOB...", Short: v.short, Args: arguments(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.each(cmd.Context(), args, func(j *bits.Job) error {
				code, err := v.call(cmd.Context(), j.ID)
				if err != nil {
					return err
				}
				if a.json {
					return a.print(map[string]any{"id": j.ID, "hresult": code, "name": code.Name()})
				}
				a.note("%s %s", j.ID, v.done)
				if code != hresult.S_OK {
					a.note("  %s %s: %s", code, code.Name(), code.Message())
				}
				if code == hresult.BG_S_UNABLE_TO_DELETE_FILES {
					a.note("  remove what the service could not remove: %s", progress.Clean(temporaries(j)))
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

func (a *app) listCommand() *cobra.Command {
	var all, ids, users bool
	var state string
	cmd := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List the jobs", Args: arguments(cobra.NoArgs),
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
					return usage{err}
				}
				filter.Set("state", state)
			}
			if err := a.connect(cmd.Context()); err != nil {
				return err
			}
			jobs, err := a.client.Jobs(cmd.Context(), filter)
			if err != nil {
				return err
			}
			names := []string{}
			for i := range jobs {
				names = append(names, jobs[i].ID)
			}
			switch {
			case a.json && ids:
				return a.print(map[string]any{"ids": names})
			case a.json:
				return a.print(map[string]any{"jobs": jobs})
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
	return cmd
}

func (a *app) showCommand() *cobra.Command {
	return &cobra.Command{
		Use: "show JOB...", Short: "Show all about jobs", Args: arguments(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.each(cmd.Context(), args, func(j *bits.Job) error {
				if a.json {
					return a.print(j)
				}
				progress.Show(a.Out, j)
				return nil
			})
		},
	}
}

func (a *app) waitCommand() *cobra.Command {
	var timeout time.Duration
	cmd := &cobra.Command{
		Use: "wait JOB...", Short: "Wait until nothing more happens to jobs by itself", Args: arguments(cobra.MinimumNArgs(1)),
		Long: `Wait until each job is TRANSFERRED, ACKNOWLEDGED, CANCELLED, ERROR or SUSPENDED; one that completes by itself is waited for until
it has. The exit code is 0 if all have all the files they were made for, else that of the error; 23 if the time is over.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			if timeout < 0 {
				return usagef("--timeout is no negative time")
			} else if timeout > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeoutCause(ctx, timeout, status(exitStillRuns))
				defer cancel()
			}
			if err := a.connect(ctx); err != nil {
				return err
			}
			var ids []string
			for _, word := range args { // what is wrong with a name is said before the waiting
				j, err := a.resolve(ctx, word)
				if err != nil {
					return err
				}
				ids = append(ids, j.ID)
			}
			return a.each(ctx, ids, func(j *bits.Job) error {
				j, err := a.settled(ctx, j.ID)
				if err != nil {
					return err
				}
				if a.json {
					if err := a.print(j); err != nil {
						return err
					}
				}
				return outcome(j)
			})
		},
	}
	cmd.Flags().DurationVar(&timeout, "timeout", 0, "wait no longer than this; 0: for ever")
	return cmd
}

// settled waits until nothing more happens to the job by itself.
func (a *app) settled(ctx context.Context, id string) (job *bits.Job, err error) {
	since := int64(client.Now)
	return job, a.events(ctx, &since, id, func(e client.Event) (err error) {
		if e.Kind != wire.KindState {
			return nil
		}
		if job, err = a.client.Job(ctx, id); err == nil && client.Settled(job) {
			return errEnough
		}
		return err
	})
}

var errEnough = errors.New("nothing more is to be heard")

// events hears the events of the jobs, or of one, after the number since, or the present states first, until hear returns an error;
// errEnough is none.
// A service that goes away is started again.
func (a *app) events(ctx context.Context, since *int64, only string, hear func(client.Event) error) error {
	for {
		for e, err := range a.client.Events(ctx, *since, only) {
			if err == nil {
				err = hear(e)
			}
			switch {
			case errors.Is(err, errEnough):
				return nil
			case ctx.Err() != nil:
				return context.Cause(ctx)
			case err != nil && !errors.Is(err, client.ErrUnreachable):
				return err
			}
			if err != nil {
				break
			}
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		time.Sleep(50 * time.Millisecond) // one that ends has its socket a moment longer
		if err := a.connect(ctx); err != nil {
			return err
		}
	}
}

// outcome is nil for a job that has what it was made for.
func outcome(j *bits.Job) error {
	p := j.Progress
	switch {
	case j.State == bits.StateCancelled:
		return bits.Errorf(hresult.BG_E_INVALID_STATE, "cannot finish job %s: it was cancelled", j.ID)
	case (j.State == bits.StateTransferred || j.State == bits.StateAcknowledged) && p.FilesTransferred < p.FilesTotal:
		return bits.Errorf(hresult.BG_S_PARTIAL_COMPLETE, "cannot have all files of job %s: it was completed with %d of %d", j.ID, p.FilesTransferred, p.FilesTotal)
	case j.State == bits.StateTransferred || j.State == bits.StateAcknowledged:
		return nil
	case j.Error != nil && j.State != bits.StateSuspended:
		return &bits.Error{Code: j.Error.Code, Context: j.Error.Context, Message: j.Error.Message, Hint: j.Error.Hint}
	}
	return bits.Errorf(hresult.BG_E_INVALID_STATE, "cannot wait any longer for job %s: it is %s", j.ID, j.State).WithHint("bits resume %s", j.ID[:8])
}

func (a *app) watchCommand() *cobra.Command {
	return &cobra.Command{
		Use: "watch [JOB]", Short: "Print what happens to the jobs, or to one, until Ctrl-C or its end", Args: arguments(cobra.MaximumNArgs(1)),
		Long: `Print each state that the jobs, or one of them, enter, and how far they are: into a file or a pipe at most every five seconds.
With --json every event of the local API is printed.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			if err := a.connect(ctx); err != nil {
				return err
			}
			id := ""
			if len(args) == 1 {
				j, err := a.resolve(ctx, args[0])
				if err != nil {
					return err
				}
				id = j.ID
			}
			since := int64(client.Now)
			shown := map[string]time.Time{} // the last progress of each job that was printed
			every := time.Duration(0)
			if !progress.Terminal(a.Out.Writer) && !a.json {
				every = watchEvery
			}
			return a.events(ctx, &since, id, func(e client.Event) error {
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
					err = errEnough
				}
				return err
			})
		},
	}
}

// watchEvery is the time between two lines of progress of a job in a log.
const watchEvery = 5 * time.Second

// happened prints an event and reports whether it ends the job.
func (a *app) happened(e client.Event) (final bool, err error) {
	var body struct {
		State bits.State     `json:"state"`
		Error *bits.JobError `json:"error"`
		bits.JobProgress
	}
	if err := json.Unmarshal(e.Body, &body); err != nil {
		return false, err
	}
	final = e.Kind == wire.KindState && body.State.Final()
	if a.json {
		return final, a.print(e)
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
	if body.Error != nil {
		text = fmt.Sprintf(": %s (%s %s)", progress.Clean(body.Error.Message), body.Error.Code, body.Error.Name)
	}
	_, err = fmt.Fprintf(a.Out, "%s %s %s%s\n", at, e.Job[:8], body.State, text)
	return final, err
}

func (a *app) addCommand() *cobra.Command {
	var output, dir string
	cmd := &cobra.Command{
		Use: "add JOB URL...", Short: "Add files to a job", Args: arguments(cobra.MinimumNArgs(2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			wanted, err := targets.Command{URLs: args[1:], Output: output, Dir: dir, Force: true}.Find()
			if err != nil {
				return err
			}
			return a.each(cmd.Context(), args[:1], func(j *bits.Job) error {
				var files []bits.FileSpec
				for _, t := range wanted {
					files = append(files, bits.FileSpec{RemoteName: t.URL, LocalName: t.Path})
				}
				return a.client.Add(cmd.Context(), j.ID, files...)
			})
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "name of the file; for one URL")
	cmd.Flags().StringVarP(&dir, "dir", "d", "", "folder for the files")
	return cmd
}
