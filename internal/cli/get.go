package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"bits"
	"bits/client"
	"bits/hresult"
	"bits/internal/progress"
	"bits/internal/wire"
)

// getOptions are the flags of get.
type getOptions struct {
	output, dir, list, cacert, priority, validator, name string
	headers, set                                         []string
	detach, keep, force                                  bool
	giveUp                                               time.Duration
}

func (a *app) getCommand() *cobra.Command {
	var o getOptions
	cmd := &cobra.Command{
		Use:   "get URL...",
		Short: "Fetch files",
		Long: `Fetch files, one job each, and wait for them. A file appears under its name when it is whole, not before.

An existing file is never replaced without --force. Ctrl-C leaves the jobs running in the background.
Faults of the network are retried; a fatal error, a certificate that cannot be trusted or one that is declined ends the job.`,
		Example: `  bits get https://example.com/file.iso
  bits get -d downloads -i urls.txt
  bits get --header @secret.txt https://example.com/private.zip`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.get(cmd.Context(), o, cmd.Flags().Changed("give-up-after"), args)
		},
	}
	f := cmd.Flags()
	f.StringVarP(&o.output, "output", "o", "", "name of the file; for one URL")
	f.StringVarP(&o.dir, "dir", "d", "", "folder for the files")
	f.StringVarP(&o.list, "input", "i", "", "file with one `URL [NAME]` a line; -: standard input")
	f.StringArrayVarP(&o.headers, "header", "H", nil, "a header \"Name: value\", or @FILE with one a line (so that secrets stay off the command line)")
	f.StringVar(&o.cacert, "cacert", "", "PEM `FILE` of the only authorities to trust")
	f.StringVar(&o.priority, "priority", "", "foreground (default while waiting), high, normal (default with --detach) or low")
	f.StringVar(&o.validator, "validator", "", "shell `COMMAND` that judges each new certificate: see bits validate")
	f.BoolVar(&o.detach, "detach", false, "print the ids and do not wait")
	f.BoolVar(&o.keep, "keep", false, "keep a job that failed, with what it has fetched")
	f.BoolVar(&o.force, "force", false, "replace existing files")
	f.DurationVar(&o.giveUp, "give-up-after", 5*time.Minute, "end after this time without progress; with --detach the default is 14 days")
	f.StringVar(&o.name, "job-name", "", "name of the jobs; default: that of the file")
	f.StringArrayVar(&o.set, "set", nil, "a property of the jobs, `NAME=JSON`, such as security_flags=1")
	return cmd
}

// target is one file to fetch.
type target struct{ url, path string }

func (a *app) get(ctx context.Context, o getOptions, giveUpGiven bool, urls []string) error {
	if o.validator != "" && o.detach {
		return usagef("--validator cannot go with --detach: nobody would be there to run the command; use: bits validate JOB -- COMMAND")
	}
	targets, err := a.targets(o, urls)
	if err != nil {
		return err
	}
	properties, err := a.properties(o, giveUpGiven)
	if err != nil {
		return err
	}
	if err := a.connect(ctx); err != nil {
		return err
	}
	var failed []error
	var jobs []*bits.Job
	for _, t := range targets {
		job, err := a.create(ctx, o, t, properties)
		if err != nil {
			failed = append(failed, err)
			continue
		}
		jobs = append(jobs, job)
	}
	if o.detach {
		for _, j := range jobs {
			if a.json {
				a.print(j)
			} else {
				fmt.Fprintln(a.Out, j.ID)
			}
		}
		if len(jobs) > 0 {
			a.note("The service goes on in the background. After a reboot the next bits command starts it again.")
		}
		return a.several(failed, len(targets))
	}
	failed = append(failed, a.follow(ctx, o, jobs)...)
	if cause := context.Cause(ctx); cause != nil {
		a.interrupted(o, jobs)
		return cause
	}
	return a.several(failed, len(targets))
}

// interrupted says how to come back.
func (a *app) interrupted(o getOptions, jobs []*bits.Job) {
	for _, j := range jobs {
		now, err := a.client.Job(context.Background(), j.ID)
		if err != nil || now.State.Final() {
			continue
		}
		a.note("\n%s goes on in the background. Come back with: bits wait %s; drop it with: bits cancel %s", progress.Clean(j.DisplayName), j.ID[:8], j.ID[:8])
		if o.validator != "" {
			a.note("It will stop at the next unknown certificate, unless you run: bits validate %s -- %s", j.ID[:8], o.validator)
		}
	}
}

// targets reads the URLs of the command line and of the list, and finds their files.
func (a *app) targets(o getOptions, urls []string) ([]target, error) {
	var all []target
	for _, u := range urls {
		all = append(all, target{url: u, path: o.output})
	}
	if o.list != "" {
		more, err := a.readList(o.list)
		if err != nil {
			return nil, err
		}
		all = append(all, more...)
	}
	switch {
	case len(all) == 0:
		return nil, usagef("give at least one URL, or a list with -i")
	case o.output != "" && len(all) > 1:
		return nil, usagef("-o names one file, and there are %d URLs; use -d", len(all))
	}
	seen := map[string]bool{}
	for i := range all {
		t := &all[i]
		if err := bits.CheckRemoteName(t.url); err != nil {
			return nil, err
		}
		if t.path == "" {
			t.path = fileName(t.url)
		}
		if o.dir != "" && !filepath.IsAbs(t.path) {
			t.path = filepath.Join(o.dir, t.path)
		}
		var err error
		if t.path, err = filepath.Abs(t.path); err != nil {
			return nil, err
		}
		if seen[t.path] {
			return nil, usagef("two URLs would be written to %s; give them names in a list with -i", t.path)
		}
		seen[t.path] = true
		if _, err := os.Lstat(t.path); err == nil && !o.force {
			return nil, bits.Errorf(hresult.ERROR_FILE_EXISTS, "cannot fetch %s: %s exists", t.url, t.path).In(bits.ContextLocalFile).WithHint("--force replaces it when the new one is whole; -o gives another name")
		}
	}
	return all, nil
}

// fileName is the last part of the path of a URL, made safe as a name.
func fileName(remote string) string {
	u, err := url.Parse(remote)
	if err != nil {
		return "index.html"
	}
	name := strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || strings.ContainsRune(`/\:`, r) {
			return '_'
		}
		return r
	}, path.Base(u.Path))
	if name == "." || name == ".." || name == "_" || name == "/" || strings.HasSuffix(u.Path, "/") {
		return "index.html"
	}
	return name
}

// readList reads lines "URL" or "URL NAME"; empty lines and those that begin with # are passed over.
func (a *app) readList(name string) (all []target, err error) {
	r := a.In
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, usagef("cannot read the list: %w", err)
		}
		defer f.Close()
		r = f
	}
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		u, file, _ := strings.Cut(line, " ")
		if err := bits.CheckRemoteName(u); err != nil {
			return nil, bits.Errorf(hresult.E_INVALIDARG, "cannot read line %d of the list: %w", n, err)
		}
		all = append(all, target{u, strings.TrimSpace(file)})
	}
	return all, lines.Err()
}

// properties makes the properties of the jobs from the flags.
func (a *app) properties(o getOptions, giveUpGiven bool) (map[string]bits.RawMessage, error) {
	values := map[string]any{
		"auto_complete": true,
		"no_replace":    !o.force,
		"backoff":       bits.Backoff{First: 1, Max: 60, Jitter: 0.5},
		"priority":      bits.Foreground,
	}
	if o.detach {
		values["priority"] = bits.Normal
	}
	if o.priority != "" {
		values["priority"] = strings.ToUpper(o.priority)
	}
	if !o.detach || giveUpGiven {
		if o.giveUp < time.Second {
			return nil, usagef("--give-up-after is at least 1s")
		}
		values["give_up_after"] = bits.Seconds(o.giveUp / time.Second)
	}
	if o.cacert != "" {
		pem, err := os.ReadFile(o.cacert)
		if err != nil {
			return nil, usagef("cannot read the authorities: %w", err)
		}
		values["roots"] = string(pem)
	}
	headers, err := a.headers(o.headers)
	if err != nil {
		return nil, err
	}
	if headers != "" {
		values["custom_headers"] = headers
	}
	raw := map[string]bits.RawMessage{}
	for name, v := range values {
		if raw[name], err = json.Marshal(v); err != nil {
			return nil, err
		}
	}
	for _, s := range o.set {
		name, value, ok := strings.Cut(s, "=")
		if !ok || !json.Valid([]byte(value)) {
			return nil, usagef("--set takes NAME=JSON, such as security_flags=1; %q is not", s)
		}
		raw[name] = bits.RawMessage(value)
	}
	return raw, nil
}

// headers reads the headers; a secret on the command line draws a warning.
func (a *app) headers(args []string) (string, error) {
	var all strings.Builder
	for _, arg := range args {
		if file, ok := strings.CutPrefix(arg, "@"); ok {
			text, err := os.ReadFile(file)
			if err != nil {
				return "", usagef("cannot read the headers: %w", err)
			}
			for line := range strings.Lines(string(text)) {
				if line = strings.TrimRight(line, "\r\n"); line != "" {
					all.WriteString(line + "\r\n")
				}
			}
			continue
		}
		name, _, _ := strings.Cut(arg, ":")
		for _, word := range []string{"auth", "cookie", "token", "key", "secret", "password"} {
			if strings.Contains(strings.ToLower(name), word) {
				a.note("bits: the header %s looks like a secret, and other users can see command lines; put it into a file and use -H @FILE", progress.Clean(name))
				break
			}
		}
		all.WriteString(arg + "\r\n")
	}
	return all.String(), nil
}

// create makes and starts the job of one target.
// With a validator it is started only when that is attached.
func (a *app) create(ctx context.Context, o getOptions, t target, properties map[string]bits.RawMessage) (*bits.Job, error) {
	name := o.name
	if name == "" {
		name = filepath.Base(t.path)
	}
	job, err := a.client.Create(ctx, bits.Spec{
		DisplayName: progress.Cut(name, bits.MaxDisplayName), Properties: properties, Resume: o.validator == "",
		Files: []bits.FileSpec{{RemoteName: t.url, LocalName: t.path}},
	})
	if err != nil || o.validator == "" {
		return job, err
	}
	if _, err = a.client.SetServerCertificateValidation(ctx, job.ID, a.shellJudge(o.validator)); err == nil {
		err = a.client.Resume(ctx, job.ID)
	}
	if err != nil {
		a.client.Cancel(context.WithoutCancel(ctx), job.ID)
	}
	return job, err
}

// follow waits for the jobs and returns what went wrong.
// A job that failed is cancelled, unless it is to be kept.
func (a *app) follow(ctx context.Context, o getOptions, jobs []*bits.Job) (failed []error) {
	pending := map[string]bool{}
	for _, j := range jobs {
		pending[j.ID] = true
	}
	var screen io.Writer
	if !a.quiet && !a.json {
		screen = a.Err
	}
	bars := progress.New(screen, jobs)
	defer bars.Close()
	said := map[string]hresult.Code{}
	// look asks for a job, shows it, and strikes it off when it has ended.
	look := func(id string) error {
		job, err := a.client.Job(ctx, id)
		if errors.Is(err, bits.ErrNotFound) {
			delete(pending, id)
			failed = append(failed, err)
			return nil
		} else if err != nil {
			return err
		}
		bars.Show(id, job.Progress)
		over, fault := a.ended(ctx, o, job)
		if over {
			delete(pending, id)
			bars.Done(job, fault)
			if fault != nil {
				failed = append(failed, fault)
			}
		} else if e := job.Error; e != nil && job.State == bits.StateTransientError && said[id] != e.Code {
			said[id] = e.Code
			bars.Note("%s; trying again until %s have passed without progress", progress.Clean(e.Message), o.giveUp)
		}
		return nil
	}
	for len(pending) > 0 && ctx.Err() == nil {
		err := a.events(ctx, jobs, func(e client.Event) error {
			switch {
			case e.Kind == wire.KindNow: // what happened before the stream began is seen here
				for id := range pending {
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
				return errEnough
			}
			return nil
		})
		switch {
		case errors.Is(err, errEnough) || ctx.Err() != nil:
		case errors.Is(err, client.ErrUnreachable):
			// The service went away: it is started again, and the jobs are still there.
			time.Sleep(50 * time.Millisecond)
			if err := a.connect(ctx); err != nil {
				return append(failed, err)
			}
			for id := range pending {
				if o.validator != "" {
					a.client.Attach(ctx, id, a.shellJudge(o.validator)) // that it could not is seen at the job
				}
			}
		case err != nil:
			return append(failed, err)
		}
	}
	return failed
}

var errEnough = errors.New("nothing more is to be heard")

// events hears the events of the jobs, the present states first, until the stream breaks or hear returns an error.
func (a *app) events(ctx context.Context, jobs []*bits.Job, hear func(client.Event) error) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	only := ""
	if len(jobs) == 1 {
		only = jobs[0].ID
	}
	for e, err := range a.client.Events(ctx, client.Now, only) {
		if err == nil {
			err = hear(e)
		}
		if err != nil {
			return err
		}
	}
	return context.Cause(ctx)
}

// ended reports whether the command waits no longer for the job, and what went wrong.
func (a *app) ended(ctx context.Context, o getOptions, job *bits.Job) (bool, error) {
	over := client.Settled(job)
	if e := job.Error; e != nil && job.State == bits.StateTransientError {
		// A certificate that was refused or declined is not asked about again and again at a prompt.
		over = e.Context == bits.ContextCertificateCallback || distrusted[e.Code]
	}
	if !over {
		return false, nil
	}
	if job.State == bits.StateAcknowledged {
		if a.json {
			return true, a.print(job)
		}
		return true, nil
	}
	fault := outcome(job)
	if fault == nil {
		fault = bits.Errorf(hresult.BG_E_INVALID_STATE, "cannot wait any longer for job %s: it is %s", job.ID, job.State)
	}
	if !o.keep && !job.State.Final() && job.State != bits.StateSuspended {
		if _, err := a.client.Cancel(context.WithoutCancel(ctx), job.ID); err != nil {
			fault = errors.Join(fault, err)
		}
	} else if o.keep && !job.State.Final() {
		e := *bits.AsError(fault)
		e.Hint = strings.TrimPrefix(e.Hint+"; the job is kept: bits resume "+job.ID[:8], "; ")
		fault = &e
	}
	return true, fault
}

// distrusted are the codes of phase one.
var distrusted = map[hresult.Code]bool{
	hresult.ERROR_WINHTTP_SECURE_INVALID_CA:        true,
	hresult.ERROR_WINHTTP_SECURE_CERT_CN_INVALID:   true,
	hresult.ERROR_WINHTTP_SECURE_CERT_DATE_INVALID: true,
	hresult.ERROR_WINHTTP_SECURE_CERT_WRONG_USAGE:  true,
	hresult.ERROR_WINHTTP_SECURE_INVALID_CERT:      true,
	hresult.ERROR_WINHTTP_SECURE_FAILURE:           true,
}
