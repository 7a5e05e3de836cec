package bitsadmin

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"

	"bits"
	"bits/client"
	"bits/hresult"
	"bits/internal/contract"
	"bits/internal/tempfile"
)

// job finds the job that a word names: the GUID of one, else the display name of one that is at work, the caller's before those of
// others.
// None and more than one are BG_E_NOT_FOUND.
func (r *run) job(ctx context.Context, word string) (*bits.Job, error) {
	if err := r.Connect(ctx); err != nil {
		return nil, err
	}
	if id, ok := contract.ParseGUID(word); ok {
		if j, err := r.Client.Job(ctx, id); !errors.Is(err, bits.ErrNotFound) {
			return j, err
		}
	}
	var found []*bits.Job
	for _, filter := range []url.Values{nil, {"all": {"true"}}} {
		jobs, err := r.Client.Jobs(ctx, filter)
		if errors.Is(err, bits.ErrAccessDenied) {
			break // he has none but his own
		} else if err != nil {
			return nil, err
		}
		for i := range jobs {
			if jobs[i].DisplayName == word {
				found = append(found, &jobs[i])
			}
		}
		if len(found) > 0 {
			break
		}
	}
	switch len(found) {
	case 0:
		return nil, bits.Errorf(hresult.BG_E_NOT_FOUND, "cannot find job %q", word).WithHint("bitsadmin /LIST shows the jobs")
	case 1:
		return found[0], nil
	}
	var ids []string
	for _, j := range found {
		ids = append(ids, guid(j.ID))
	}
	return nil, bits.Errorf(hresult.BG_E_NOT_FOUND, "cannot tell which job %q means: it is the name of %s", word, strings.Join(ids, " and of ")).WithHint("repeat the command with one of these GUIDs")
}

// print prints an answer: bare, or for people.
func (r *run) print(a answer) error {
	if r.raw {
		r.out.WriteString(a.raw)
		return nil
	}
	for _, line := range a.lines {
		r.say("%s", line)
	}
	return nil
}

// done confirms a call, and tells of a code that is no plain success.
func (r *run) done(code hresult.Code, format string, args ...any) error {
	if code == hresult.S_FALSE {
		r.say("Nothing had to be changed.")
		return nil
	}
	r.say(format, args...)
	if code != hresult.S_OK {
		r.say("%s: %s", code, code.Message())
	}
	return nil
}

// get prints a property of a job.
func get[T any](property string, show func(T) answer) action {
	return func(ctx context.Context, r *run, o operands) error {
		j, err := r.job(ctx, o.words[0])
		if err != nil {
			return err
		}
		var v T
		if _, err = r.Client.Property(ctx, j.ID, property, &v); err != nil {
			return err
		}
		return r.print(show(v))
	}
}

// getFile prints a property of a file, by its number.
func getFile[T any](property string, show func(T) answer) action {
	return func(ctx context.Context, r *run, o operands) error {
		file, err := parseIndex(o.words[1])
		if err != nil {
			return err
		}
		j, err := r.job(ctx, o.words[0])
		if err != nil {
			return err
		}
		var v T
		if _, err = r.Client.FileProperty(ctx, j.ID, file, property, &v); err != nil {
			return err
		}
		return r.print(show(v))
	}
}

// set sets a property of a job to what the operands behind it say.
func set(property string, value func([]string) (any, error)) action {
	return func(ctx context.Context, r *run, o operands) error {
		v, err := value(o.words[1:])
		if err != nil {
			return err
		}
		j, err := r.job(ctx, o.words[0])
		if err != nil {
			return err
		}
		if err := r.Client.Set(ctx, j.ID, map[string]any{property: v}); err != nil {
			return err
		}
		return r.done(0, "Set the %s of %s.", strings.ReplaceAll(property, "_", " "), guid(j.ID))
	}
}

// call makes a call with the operands behind the job as its parameters; nil: it has none.
func call(operation, done string, parameters func([]string) (any, error)) action {
	return func(ctx context.Context, r *run, o operands) (err error) {
		var v any
		if parameters != nil {
			if v, err = parameters(o.words[1:]); err != nil {
				return err
			}
		}
		j, err := r.job(ctx, o.words[0])
		if err != nil {
			return err
		}
		code, err := r.Client.Call(ctx, j.ID, operation, v)
		if err != nil {
			return err
		}
		return r.done(code, "%s %s.", done, guid(j.ID))
	}
}

// callFile makes a call that is of one file.
func callFile(operation, done string, parameters func([]string) (any, error)) action {
	return func(ctx context.Context, r *run, o operands) error {
		file, err := parseIndex(o.words[1])
		if err != nil {
			return err
		}
		v, err := parameters(o.words[2:])
		if err != nil {
			return err
		}
		j, err := r.job(ctx, o.words[0])
		if err != nil {
			return err
		}
		code, err := r.Client.FileCall(ctx, j.ID, file, operation, v)
		if err != nil {
			return err
		}
		return r.done(code, "%s of file %d of %s.", done, file, guid(j.ID))
	}
}

// act moves a job through its life cycle.
func act(done string, move func(*client.Client, context.Context, string) (hresult.Code, error)) action {
	return func(ctx context.Context, r *run, o operands) error {
		j, err := r.job(ctx, o.words[0])
		if err != nil {
			return err
		}
		code, err := move(r.Client, ctx, j.ID)
		if err != nil {
			return err
		}
		return r.done(code, "Job %s.", done)
	}
}

func own(c *client.Client, ctx context.Context, id string) (hresult.Code, error) {
	return 0, c.Do(ctx, "POST", "/jobs/"+id+"/own", nil, nil)
}

func plainly(move func(*client.Client, context.Context, string) error) func(*client.Client, context.Context, string) (hresult.Code, error) {
	return func(c *client.Client, ctx context.Context, id string) (hresult.Code, error) {
		return 0, move(c, ctx, id)
	}
}

// add adds files to a job; find makes them of the operands behind it.
func add(find func([]string) ([]bits.FileSpec, error)) action {
	return func(ctx context.Context, r *run, o operands) error {
		files, err := find(o.words[1:])
		if err != nil {
			return err
		}
		j, err := r.job(ctx, o.words[0])
		if err != nil {
			return err
		}
		if err := r.Client.Add(ctx, j.ID, files...); err != nil {
			return err
		}
		for _, f := range files {
			r.say("Added %s -> %s to job.", f.RemoteName, f.LocalName)
		}
		return nil
	}
}

// fileSet reads a file set to its end before anything is added.
func fileSet(o []string) ([]bits.FileSpec, error) {
	f, err := os.Open(o[0])
	if err != nil {
		return nil, tempfile.Error(err, "read", o[0])
	}
	defer f.Close()
	return parseFileSet(f)
}

func fileWithRanges(o []string) ([]bits.FileSpec, error) {
	ranges, err := parseRanges(o[2])
	if err != nil {
		return nil, err
	}
	f, err := parseFile(o[0], o[1])
	f.Ranges = ranges
	return []bits.FileSpec{f}, err
}

// jobType is the type that a flag names.
func jobType(o operands) (bits.JobType, error) {
	given, found := bits.Download, 0
	for name, t := range map[string]bits.JobType{"DOWNLOAD": bits.Download, "UPLOAD": bits.Upload, "UPLOAD-REPLY": bits.UploadReply} {
		if o.has(name) {
			given = t
			found++
		}
	}
	if found > 1 {
		return 0, misusef("A job has one type.")
	}
	return given, nil
}

func create(ctx context.Context, r *run, o operands) error {
	t, err := jobType(o)
	if err != nil {
		return err
	}
	if err := r.Connect(ctx); err != nil {
		return err
	}
	j, err := r.Client.Create(ctx, bits.Spec{Type: t, DisplayName: o.words[0]})
	if err != nil {
		return err
	}
	return r.print(answer{guid(j.ID), []string{"Created job " + guid(j.ID) + "."}})
}

// jobs returns the jobs that /LIST, /MONITOR and /RESET are about.
func (r *run) jobs(ctx context.Context, o operands) ([]bits.Job, error) {
	if err := r.Connect(ctx); err != nil {
		return nil, err
	}
	filter := url.Values{}
	if o.has("ALLUSERS") {
		filter.Set("all", "true")
	}
	return r.Client.Jobs(ctx, filter)
}

func list(ctx context.Context, r *run, o operands) error {
	jobs, err := r.jobs(ctx, o)
	if err != nil {
		return err
	}
	for i := range jobs {
		if err := r.show(ctx, &jobs[i], o.has("VERBOSE")); err != nil {
			return err
		}
	}
	r.say("Listed %d job(s).", len(jobs))
	return nil
}

func info(ctx context.Context, r *run, o operands) error {
	j, err := r.job(ctx, o.words[0])
	if err != nil {
		return err
	}
	return r.show(ctx, j, o.has("VERBOSE"))
}

func listFiles(ctx context.Context, r *run, o operands) error {
	j, err := r.job(ctx, o.words[0])
	if err != nil {
		return err
	}
	for i := range j.Files {
		r.line("\t%s", fileLine(&j.Files[i]))
	}
	return nil
}

// getError prints the error of a job; the property decides whether there is one.
func getError(ctx context.Context, r *run, o operands) error {
	j, err := r.job(ctx, o.words[0])
	if err != nil {
		return err
	}
	var e bits.JobError
	if _, err := r.Client.Property(ctx, j.ID, "error", &e); err != nil {
		return err
	}
	j.Error = &e
	return r.print(answer{e.Code.String(), errorLines(j)})
}

// setToken lends the identity of the caller; that of another account is not to be had.
func setToken(ctx context.Context, r *run, o operands) error {
	if len(o.words) > 1 {
		return bits.Errorf(hresult.E_NOTIMPL, "cannot lend the identity of another account: only that of the caller").WithHint("call bitsadmin as that user")
	}
	return call("set-helper-token", "Lent the identity of the caller to", nil)(ctx, r, o)
}

// reset cancels every job; one that fails does not stop the rest.
func reset(ctx context.Context, r *run, o operands) error {
	jobs, err := r.jobs(ctx, o)
	if err != nil {
		return err
	}
	cancelled, first := 0, error(nil)
	for i := range jobs {
		if _, err := r.Client.Cancel(ctx, jobs[i].ID); err == nil {
			cancelled++
			r.say("%s canceled.", guid(jobs[i].ID))
		} else if ctx.Err() != nil {
			return err
		} else {
			r.report("cancel "+guid(jobs[i].ID), bits.AsError(err))
			if first == nil {
				first = exit(bits.AsError(err))
			}
		}
	}
	r.say("%d out of %d jobs canceled.", cancelled, len(jobs))
	if first != nil && cancelled > 0 && first.(Exit) > 0 { // an HRESULT stays as it is
		return exitSomeFailed
	}
	return first
}

// off is the answer of a call to something that is turned off.
func off(code hresult.Code, why string) action {
	return func(context.Context, *run, operands) error { return bits.Errorf(code, "%s", why) }
}

func help(family string) action {
	return func(_ context.Context, r *run, _ operands) error {
		usage(r.out, r.table, family)
		return nil
	}
}

// peerFlags sets the flags of peer caching of the machine: it is off, and can be left so.
func peerFlags(_ context.Context, r *run, o operands) error {
	switch flags, err := parseNumber(o.words[0]); {
	case err != nil:
		return err
	case flags != 0:
		return bits.Errorf(hresult.BG_E_PEERCACHING_DISABLED, "cannot turn peer caching on: this service has none")
	}
	r.say("Peer caching is off.")
	return nil
}

func getPeerFlags(_ context.Context, r *run, _ operands) error { return r.print(peerAnswer(0)) }

// value is an answer that is the value itself.
func value[T any](v T) answer { return one(fmt.Sprint(v)) }
