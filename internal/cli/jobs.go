package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"bits"
	"bits/client"
	"bits/hresult"
	"bits/internal/progress"
	"bits/internal/wire"
)

// resolve finds the job that a word names: an id, a unique prefix of at least four characters, or a unique display name.
func (a *app) resolve(ctx context.Context, word string) (*bits.Job, error) {
	jobs, err := a.client.Jobs(ctx, url.Values{"final": {"true"}})
	if err != nil {
		return nil, err
	}
	var found []*bits.Job
	for i := range jobs {
		j := &jobs[i]
		if strings.EqualFold(j.ID, word) {
			return j, nil
		}
		if len(word) >= 4 && strings.HasPrefix(j.ID, strings.ToLower(word)) || j.DisplayName == word && word != "" {
			found = append(found, j)
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
	if len(failed) < n {
		code = exitSomeFailed
	}
	return status(code)
}

func (a *app) actCommand(action bits.Action) *cobra.Command {
	texts := map[bits.Action][2]string{
		bits.Suspend:  {"Pause jobs", "suspended"},
		bits.Resume:   {"Let jobs go on; also after an error", "resumed"},
		bits.Cancel:   {"Drop jobs and what they have fetched so far", "cancelled"},
		bits.Complete: {"Give finished files their names and end the job; unfinished files are dropped", "completed"},
	}
	calls := map[bits.Action]func(context.Context, string) (hresult.Code, error){
		bits.Suspend:  func(ctx context.Context, id string) (hresult.Code, error) { return 0, a.client.Suspend(ctx, id) },
		bits.Resume:   func(ctx context.Context, id string) (hresult.Code, error) { return 0, a.client.Resume(ctx, id) },
		bits.Cancel:   a.client.Cancel,
		bits.Complete: a.client.Complete,
	}
	cmd := &cobra.Command{
		Use: action.String() + " JOB...", Short: texts[action][0], Args: arguments(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.each(cmd.Context(), args, func(j *bits.Job) error {
				code, err := calls[action](cmd.Context(), j.ID)
				if err != nil {
					return err
				}
				if a.json {
					return a.print(map[string]any{"id": j.ID, "hresult": code, "name": code.Name()})
				}
				a.note("%s %s", j.ID, texts[action][1])
				if code != hresult.S_OK {
					a.note("  %s %s: %s", code, code.Name(), code.Message())
				}
				return nil
			})
		},
	}
	if action == bits.Cancel {
		cmd.Aliases = []string{"rm"}
	}
	return cmd
}

func (a *app) listCommand() *cobra.Command {
	var all, ids bool
	var state string
	cmd := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List the jobs", Args: arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := a.connect(cmd.Context()); err != nil {
				return err
			}
			filter := url.Values{}
			if all {
				filter.Set("final", "true")
			}
			if state != "" {
				filter.Set("state", state)
			}
			jobs, err := a.client.Jobs(cmd.Context(), filter)
			if err != nil {
				return err
			}
			if a.json {
				return a.print(map[string]any{"jobs": jobs})
			}
			table := tabwriter.NewWriter(a.Out, 0, 8, 2, ' ', 0)
			if !ids && len(jobs) > 0 {
				fmt.Fprintln(table, "ID\tSTATE\tDONE\tSIZE\tPRIORITY\tNAME\tWHY IT WAITS")
			}
			for i := range jobs {
				j := &jobs[i]
				if ids {
					fmt.Fprintln(a.Out, j.ID)
					continue
				}
				fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", j.ID[:8], j.State, percent(j.Progress), total(j.Progress), j.Priority, progress.Clean(j.DisplayName), progress.Clean(waiting(j)))
			}
			return table.Flush()
		},
	}
	cmd.Flags().BoolVarP(&all, "all", "a", false, "also the jobs that were completed or cancelled in the last 24 hours")
	cmd.Flags().BoolVar(&ids, "ids", false, "print ids only")
	cmd.Flags().StringVar(&state, "state", "", "only jobs in this state")
	return cmd
}

// waiting says why a job does not move and when it will next try.
func waiting(j *bits.Job) string {
	if j.Waiting == nil {
		return ""
	}
	text := j.Waiting.Reason
	if j.Waiting.Code != 0 {
		text += " (" + j.Waiting.Code.String() + ")"
	}
	if j.Waiting.Until != nil {
		text += "; next try " + until(*j.Waiting.Until)
	}
	return text
}

func until(t time.Time) string {
	if d := time.Until(t).Round(time.Second); d > 0 {
		return "in " + d.String()
	}
	return "now"
}

func percent(p bits.JobProgress) string {
	if p.BytesTotal == nil {
		return progress.Size(p.BytesTransferred)
	}
	if *p.BytesTotal == 0 {
		if p.FilesTransferred == p.FilesTotal {
			return "100%"
		}
		return "0%"
	}
	return fmt.Sprintf("%d%%", p.BytesTransferred*100 / *p.BytesTotal)
}

func total(p bits.JobProgress) string {
	if p.BytesTotal == nil {
		return "?"
	}
	return progress.Size(*p.BytesTotal)
}

func (a *app) showCommand() *cobra.Command {
	return &cobra.Command{
		Use: "show JOB...", Short: "Show all about jobs", Args: arguments(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.each(cmd.Context(), args, func(j *bits.Job) error {
				if a.json {
					return a.print(j)
				}
				a.show(j)
				return nil
			})
		},
	}
}

func (a *app) show(j *bits.Job) {
	line := func(name, format string, args ...any) {
		fmt.Fprintf(a.Out, "%-12s %s\n", name+":", progress.Clean(fmt.Sprintf(format, args...)))
	}
	line("job", "%s", j.ID)
	line("name", "%s", j.DisplayName)
	if j.Description != "" {
		line("description", "%s", j.Description)
	}
	line("state", "%s", j.State)
	if w := waiting(j); w != "" {
		line("waiting", "%s", w)
	}
	if e := j.Error; e != nil {
		line("error", "%s", e.Message)
		line("code", "%s %s (%s)", e.Code, e.Name, e.Context)
		if e.Hint != "" {
			line("try", "%s", e.Hint)
		}
	}
	line("priority", "%s", j.Priority)
	line("owner", "%s", j.Owner)
	line("created", "%s", j.Created.Format(time.RFC3339))
	line("progress", "%s of %s (%s), %d of %d files", progress.Size(j.Progress.BytesTransferred), total(j.Progress), percent(j.Progress), j.Progress.FilesTransferred, j.Progress.FilesTotal)
	line("errors", "%d", j.ErrorCount)
	if j.ValidatorRequired {
		attached := "no application is attached"
		if j.ValidatorAttached {
			attached = "an application is attached"
		}
		line("validator", "required; %s", attached)
	}
	if len(j.HeaderNames) > 0 {
		line("headers", "%s (values hidden)", strings.Join(j.HeaderNames, ", "))
	}
	for _, f := range j.Files {
		state := progress.Size(f.TransferredBytes())
		switch {
		case f.Completed:
			state = "completed"
		case f.Finished:
			state = "finished"
		}
		line(fmt.Sprintf("file %d", f.Number), "%s -> %s (%s)", f.RemoteName, f.LocalName, state)
	}
}

func (a *app) waitCommand() *cobra.Command {
	var timeout time.Duration
	cmd := &cobra.Command{
		Use: "wait JOB...", Short: "Wait until nothing more happens to jobs by itself", Args: arguments(cobra.MinimumNArgs(1)),
		Long: `Wait until each job is TRANSFERRED, ACKNOWLEDGED, CANCELLED, ERROR or SUSPENDED.
The exit code is 0 if all have what they were made for, else that of the error; 23 if the time is over.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			if timeout > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeoutCause(ctx, timeout, status(exitStillRuns))
				defer cancel()
			}
			return a.each(ctx, args, func(j *bits.Job) error {
				j, err := a.client.Wait(ctx, j.ID)
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

// outcome is nil for a job that has what it was made for.
func outcome(j *bits.Job) error {
	switch {
	case j.State == bits.StateTransferred || j.State == bits.StateAcknowledged:
		return nil
	case j.State == bits.StateCancelled:
		return bits.Errorf(hresult.BG_E_INVALID_STATE, "cannot finish job %s: it was cancelled", j.ID)
	case j.Error != nil && j.State != bits.StateSuspended:
		return &bits.Error{Code: j.Error.Code, Context: j.Error.Context, Message: j.Error.Message, Hint: j.Error.Hint}
	}
	return bits.Errorf(hresult.BG_E_INVALID_STATE, "cannot wait any longer for job %s: it is %s", j.ID, j.State).WithHint("bits resume %s", j.ID[:8])
}

func (a *app) watchCommand() *cobra.Command {
	return &cobra.Command{
		Use: "watch [JOB]", Short: "Print what happens to the jobs, or to one, until Ctrl-C or its end", Args: arguments(cobra.MaximumNArgs(1)),
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
			for ctx.Err() == nil {
				for e, err := range a.client.Events(ctx, since, id) {
					if errors.Is(err, client.ErrUnreachable) {
						break
					} else if err != nil {
						return err
					}
					if e.N > 0 {
						since = e.N
					}
					if final, err := a.happened(e); err != nil || final && id != "" {
						return err
					}
				}
				if err := a.connect(ctx); err != nil {
					return err
				}
			}
			return context.Cause(ctx)
		},
	}
}

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
		_, err = fmt.Fprintf(a.Out, "%s %s %s of %s, on disk %s\n", at, e.Job[:8], progress.Size(body.BytesReceived), total(body.JobProgress), progress.Size(body.BytesTransferred))
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
			targets, err := a.targets(getOptions{output: output, dir: dir, force: true}, args[1:])
			if err != nil {
				return err
			}
			return a.each(cmd.Context(), args[:1], func(j *bits.Job) error {
				var files []bits.FileSpec
				for _, t := range targets {
					files = append(files, bits.FileSpec{RemoteName: t.url, LocalName: t.path})
				}
				return a.client.Add(cmd.Context(), j.ID, files...)
			})
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "name of the file; for one URL")
	cmd.Flags().StringVarP(&dir, "dir", "d", "", "folder for the files")
	return cmd
}
