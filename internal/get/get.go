// Package get is the command that most people use: fetch files, and wait for them.
package get

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"bits"
	"bits/client"
	"bits/hresult"
	"bits/internal/console"
	"bits/internal/judge"
	"bits/internal/progress"
	"bits/internal/targets"
	"bits/internal/wire"
)

// options are the flags of get.
type options struct {
	output, dir, list, priority, validator, name, then string
	headers, set                                       []string
	detach, keep, force, dry, giveUpGiven              bool
	giveUp                                             time.Duration
	groups                                             []group
	known                                              *known
	logins                                             *logins
}

// Command is the command get.
func Command(a *console.App) *cobra.Command {
	o := options{known: &known{}, logins: &logins{}}
	subjects := o.subjects()
	cmd := &cobra.Command{
		Use:   "get URL...",
		Short: "Fetch files",
		Long: `Fetch files, one job each, and wait for them. A file appears under its name when it is whole, not before.

An existing file is never replaced without --force. Ctrl-C leaves the jobs running in the background; the same command again, or
bits wait, comes back to them. Faults of the network are retried; a fatal error, a certificate that cannot be trusted or one that is
declined ends the job and removes what it has fetched, unless --keep is given.`,
		Example: `  bits get https://example.com/file.iso
  bits get -d downloads -i urls.txt
  bits get --header @secret.txt https://example.com/private.zip`,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.giveUpGiven = cmd.Flags().Changed("give-up-after")
			return run(cmd.Context(), a, o, args)
		},
	}
	for _, s := range subjects {
		cmd.Flags().AddFlagSet(s.flags)
	}
	cmd.SetUsageFunc(usage(subjects))
	return cmd
}

// fetch is one run of get.
type fetch struct {
	*console.App
	options
	properties map[string]bits.RawMessage
	judge      *judge.Command // nil: the jobs need none
	silent     bool           // nothing is shown of the jobs
	attached   []*client.Validation
	jobs       []*bits.Job
	began      time.Time
	made       map[string]bool // the jobs that this run has made; the others were there
}

func run(ctx context.Context, a *console.App, o options, urls []string) error {
	if o.validator != "" && o.detach {
		return console.Usagef("--validator cannot go with --detach: nobody would be there to run the command; use: bits validate JOB -- COMMAND")
	}
	if o.then != "" && !o.detach {
		return console.Usagef("--notify goes with --detach: a command that waits has an exit code")
	}
	f := &fetch{App: a, options: o, began: time.Now(), made: map[string]bool{}}
	if o.validator != "" {
		f.judge = &judge.Command{Args: judge.Shell(o.validator), Err: a.Err, Note: a.Note}
	}
	wanted, err := f.find(ctx, targets.Command{URLs: urls, Output: o.output, Dir: o.dir, List: o.list, In: a.In, Force: o.force})
	if err != nil {
		return err
	}
	if o.dry {
		for _, t := range wanted {
			if spec, err := o.known.of(t); err != nil {
				return err
			} else if a.JSON {
				a.Print(spec)
			} else {
				fmt.Fprintf(a.Out, "%s -> %s\n", t.URL, progress.Clean(t.Path))
			}
		}
		return nil
	}
	var others map[string]*bits.Job
	if err = a.Connect(ctx); err == nil {
		others, err = f.others(ctx, wanted)
	}
	if err != nil && ctx.Err() != nil {
		f.interrupted(wanted)
	}
	if err != nil {
		return err
	}
	defer f.detachAll()
	var failed []error
	rest := wanted
	for ; len(rest) > 0 && ctx.Err() == nil; rest = rest[1:] {
		job, err := f.begin(ctx, rest[0], others[rest[0].Path])
		if err != nil {
			failed = append(failed, err)
			continue
		}
		if slices.ContainsFunc(f.jobs, func(j *bits.Job) bool { return j.ID == job.ID }) {
			continue // it fetches several of the files
		}
		f.jobs = append(f.jobs, job)
		if o.detach && a.JSON {
			a.Print(job)
		} else if o.detach {
			fmt.Fprintln(a.Out, job.ID)
		}
	}
	if o.detach && len(f.jobs) > 0 {
		a.Note("The service goes on in the background. After a reboot the next bits command starts it again.")
	}
	if !o.detach {
		failed = append(failed, f.follow(ctx)...)
	}
	if cause := context.Cause(ctx); cause != nil {
		for _, err := range failed {
			if !errors.Is(err, cause) {
				a.Report(err)
			}
		}
		f.interrupted(rest)
		return cause
	}
	return a.Several(failed, len(wanted))
}

// interrupted says how to come back.
// From now on nobody waits for the jobs, so they are background jobs with the patience of such.
func (f *fetch) interrupted(rest []targets.Target) {
	ctx, cancel := context.WithTimeout(context.Background(), farewell)
	defer cancel()
	alone := map[string]any{}
	if f.priority == "" {
		alone["priority"] = bits.Normal
	}
	if !f.giveUpGiven {
		alone["give_up_after"] = 0
	}
	for _, s := range f.set {
		name, _, _ := strings.Cut(s, "=")
		delete(alone, name)
	}
	for _, j := range f.jobs {
		if f.detach {
			break // they are what was asked for
		}
		err := f.Again(ctx, func() error {
			now, err := f.Client.Job(ctx, j.ID)
			if err != nil || client.Settled(now) {
				return cmp.Or(err, console.ErrEnough)
			}
			if !f.made[j.ID] && !now.AutoComplete {
				return nil
			}
			return f.Client.Set(ctx, j.ID, alone)
		})
		if errors.Is(err, console.ErrEnough) || errors.Is(err, bits.ErrNotFound) || errors.Is(err, bits.ErrInvalidState) {
			continue
		}
		f.Note("%s goes on in the background. Come back with: bits wait %s; drop it with: bits cancel %s", progress.Clean(j.DisplayName), j.ID[:8], j.ID[:8])
		if f.judge != nil {
			f.Note("It will stop at the next unknown certificate, unless you run: bits validate %s -- %s", j.ID[:8], judge.Typed(f.validator))
		}
	}
	for _, t := range rest {
		f.Note("not started: %s", t.URL)
	}
}

const (
	farewell = 10 * time.Second // for the calls after Ctrl-C
	calling  = time.Minute      // for the calls that begin a job
)

// others finds the jobs that fetch to the names of the targets already, by path.
// One that fetches another URL is in the way, and nothing is begun.
func (f *fetch) others(ctx context.Context, wanted []targets.Target) (map[string]*bits.Job, error) {
	jobs, err := f.Client.Jobs(ctx, nil)
	if err != nil {
		return nil, err
	}
	others, files := map[string]*bits.Job{}, map[string]bits.File{}
	for i := range jobs {
		for _, file := range jobs[i].Files {
			others[file.LocalName], files[file.LocalName] = &jobs[i], file
		}
	}
	for _, t := range wanted {
		if j := others[t.Path]; j != nil && files[t.Path].RemoteName != t.URL {
			return nil, bits.Errorf(hresult.ERROR_FILE_EXISTS, "cannot fetch %s: job %s fetches %s to %s", t.URL, j.ID, files[t.Path].RemoteName, t.Path).
				In(bits.ContextLocalFile).WithHint("bits wait %s; or bits cancel %s, and run the command again", j.ID[:8], j.ID[:8])
		} else if spec, err := f.known.of(t); j != nil && (err != nil || len(spec.Digests) > 0 && !maps.Equal(spec.Digests, files[t.Path].Digests)) {
			return nil, bits.Errorf(hresult.ERROR_FILE_EXISTS, "cannot fetch %s: job %s fetches it without the digests that are given now", t.URL, j.ID).
				In(bits.ContextLocalFile).WithHint("bits cancel %s, and run the command again", j.ID[:8])
		}
	}
	return others, nil
}

// begin makes and starts the job of one target, or joins the one that is there.
// With a validator it is started only when that is attached.
// It is not given up half-way, neither for Ctrl-C nor because the service goes away: the id is chosen here, so the call can be repeated,
// and no job is made that nobody knows of.
func (f *fetch) begin(ctx context.Context, t targets.Target, other *bits.Job) (job *bits.Job, err error) {
	ctx, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), calling, bits.Errorf(hresult.RPC_S_SERVER_UNAVAILABLE, "cannot reach the service: it has not answered for %s", calling))
	defer cancel()
	name := f.name
	if name == "" {
		name = filepath.Base(t.Path)
	}
	file, err := f.known.of(t)
	if err != nil {
		return nil, err
	}
	spec := bits.Spec{
		ID: bits.NewID(), DisplayName: progress.Cut(name, bits.MaxDisplayName), Properties: f.properties, Credentials: f.logins.credentials, Resume: f.judge == nil,
		Files: []bits.FileSpec{file},
	}
	if other != nil {
		what := "; following it"
		if f.detach {
			what = ""
		}
		f.Note("%s is already being fetched by job %s%s", progress.Clean(t.Path), other.ID[:8], what)
	} else {
		f.made[spec.ID] = true
	}
	err = f.Again(ctx, func() (err error) {
		if job = other; other != nil {
			err = f.join(ctx, other)
		} else {
			job, err = f.Client.Create(ctx, spec)
		}
		if err != nil || f.judge == nil {
			return err
		}
		if err = f.attach(ctx, job.ID); err == nil {
			err = f.Client.Resume(ctx, job.ID)
		}
		return err
	})
	if errors.Is(err, bits.ErrInvalidState) && job != nil && job.ID != "" {
		return job, nil // it has ended meanwhile: what became of it is seen when it is followed
	}
	if err != nil && other == nil {
		f.Client.Cancel(ctx, spec.ID)
	}
	return job, err
}

// join lets a job that is there go on as this run would have made it, if it is of the kind that get makes.
func (f *fetch) join(ctx context.Context, j *bits.Job) error {
	changes := map[string]any{}
	for name, value := range f.properties {
		if roots, err := json.Marshal(j.Roots); name != "roots" || err != nil || !bytes.Equal(roots, value) { // a change reconnects
			changes[name] = value
		}
	}
	if j.AutoComplete {
		if err := f.Client.Set(ctx, j.ID, changes); err != nil {
			return err
		}
		for _, c := range f.logins.credentials {
			if err := f.Client.SetCredentials(ctx, j.ID, c); err != nil {
				return err
			}
		}
	}
	if f.judge == nil && (j.State == bits.StateSuspended || j.State == bits.StateError || j.State == bits.StateTransientError) {
		return f.Client.Resume(ctx, j.ID)
	}
	return nil
}

func (f *fetch) attach(ctx context.Context, id string) error {
	v, err := f.Client.Attach(ctx, id, f.judge)
	if err == nil {
		f.attached = append(f.attached, v)
	}
	return err
}

// detachAll ends the registrations, and with them the commands that still judge.
func (f *fetch) detachAll() {
	for _, v := range f.attached {
		v.Close()
	}
	if f.judge != nil {
		f.judge.Wait()
	}
}

// follow waits for the jobs and returns what went wrong.
// A job that failed is cancelled, unless it is to be kept.
func (f *fetch) follow(ctx context.Context) (failed []error) {
	pending, only := map[string]bool{}, ""
	for _, j := range f.jobs {
		pending[j.ID] = true
		only = j.ID
	}
	if len(pending) == 0 {
		return nil
	} else if len(pending) > 1 {
		only = ""
	}
	var screen io.Writer
	if !f.Quiet && !f.JSON && !f.silent {
		screen = f.Err
	}
	bars := progress.New(screen, f.jobs)
	if bars.Drawn() {
		f.Bars.Store(bars)
	}
	defer func() {
		bars.Close()
		f.Bars.Store(nil)
		if bars.Drawn() && ctx.Err() != nil {
			fmt.Fprintln(f.Err) // after the ^C of the terminal
		}
	}()
	var ids []string
	for _, j := range f.jobs {
		ids = append(ids, j.ID)
	}
	defer f.Trace(ctx, f.began, ids...)()
	said := map[string]hresult.Code{}
	// look asks for a job, shows it, and strikes it off when it has ended.
	look := func(id string) error {
		job, err := f.Client.Job(ctx, id)
		if errors.Is(err, bits.ErrNotFound) {
			delete(pending, id)
			failed = append(failed, err)
			return nil
		} else if err != nil {
			return err
		}
		bars.Show(id, job.Progress)
		bars.Wait(job)
		over, fault := f.ended(ctx, job)
		if over {
			delete(pending, id)
			bars.Done(job, fault)
			if fault != nil {
				failed = append(failed, fault)
			}
		} else if e := job.Error; e != nil && job.State == bits.StateTransientError && said[id] != e.Code {
			said[id] = e.Code
			bars.Note("%s; %s", progress.Clean(e.Message), f.next(job))
		}
		return nil
	}
	since, streams := int64(client.Now), 0
	err := f.Events(ctx, &since, only, func(e client.Event) error {
		switch {
		case e.Kind == wire.KindNow: // what happened before the stream began is seen here
			streams++
			for id := range pending {
				if f.judge != nil && streams > 1 {
					f.attach(ctx, id) // that it could not is seen at the job
				}
				if err := look(id); err != nil {
					return err
				}
			}
		case !pending[e.Job]:
		case e.Kind == wire.KindProgress:
			var p bits.JobProgress
			if err := json.Unmarshal(e.Body, &p); err == nil {
				bars.Show(e.Job, p)
			}
		case e.N > 0:
			if err := look(e.Job); err != nil {
				return err
			}
		}
		if len(pending) == 0 {
			return console.ErrEnough
		}
		return nil
	})
	if err != nil {
		failed = append(failed, err)
	}
	return failed
}

// next says when a job is tried again, and how long that goes on.
func (f *fetch) next(j *bits.Job) string {
	text := fmt.Sprintf("trying again for up to %s without progress", f.giveUp)
	if j.NextRetry == nil {
		return text
	} else if in := time.Until(*j.NextRetry).Round(time.Second); in > time.Second {
		return fmt.Sprintf("next try in %s; %s", in, text)
	}
	return text
}

// ended reports whether the command waits no longer for the job, and what went wrong.
func (f *fetch) ended(ctx context.Context, job *bits.Job) (bool, error) {
	over := client.Settled(job)
	if e := job.Error; e != nil && job.State == bits.StateTransientError {
		// A certificate that was refused or declined is not asked about again and again at a prompt.
		over = e.Context == bits.ContextCertificateCallback || distrusted[e.Code]
	}
	if !over {
		return false, nil
	}
	fault := console.Outcome(job)
	if fault == nil {
		if job.State == bits.StateTransferred {
			f.Note("job %s has all its files; give them their names with: bits complete %s", job.ID[:8], job.ID[:8])
		}
		if f.JSON && !f.silent {
			return true, f.Print(job)
		}
		return true, nil
	}
	e := *bits.AsError(fault)
	switch {
	case job.State.Final() || job.State == bits.StateSuspended:
	case f.keep || !f.made[job.ID]:
		e.Hint = and(e.Hint, "the job is kept: bits resume "+job.ID[:8]+", or bits cancel "+job.ID[:8])
	default:
		code, err := f.Client.Cancel(context.WithoutCancel(ctx), job.ID)
		if e.Hint = strings.ReplaceAll(e.Hint, "resume the job", "run the command again"); ofJob.MatchString(e.Hint) {
			e.Hint = "run the command again"
		}
		if err != nil {
			return true, errors.Join(&e, err)
		}
		if code == hresult.BG_S_UNABLE_TO_DELETE_FILES {
			e.Hint = and(e.Hint, "remove what the service could not remove: "+console.Temporaries(job))
		}
	}
	return true, &e
}

// ofJob finds hints that speak of a job that is there.
var ofJob = regexp.MustCompile(`\bresume|attempt|bits (validate|suspend|add)`)

func and(hint, more string) string { return strings.TrimPrefix(hint+"; "+more, "; ") }

// distrusted are the codes of phase one.
var distrusted = map[hresult.Code]bool{
	hresult.ERROR_WINHTTP_SECURE_INVALID_CA:        true,
	hresult.ERROR_WINHTTP_SECURE_CERT_CN_INVALID:   true,
	hresult.ERROR_WINHTTP_SECURE_CERT_DATE_INVALID: true,
	hresult.ERROR_WINHTTP_SECURE_CERT_WRONG_USAGE:  true,
	hresult.ERROR_WINHTTP_SECURE_INVALID_CERT:      true,
	hresult.ERROR_WINHTTP_SECURE_FAILURE:           true,
}
