package bitsadmin

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"

	"bits"
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
		if err != nil && !errors.Is(err, bits.ErrAccessDenied) { // who may not see those of others has none but his own
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

// done confirms a call that went well, and tells of a code that is no plain success.
func (r *run) done(code hresult.Code, err error, format string, args ...any) error {
	switch {
	case err != nil:
		return err
	case code == hresult.S_FALSE:
		r.say("Nothing had to be changed.")
		return nil
	}
	r.say(format, args...)
	if code != hresult.S_OK {
		r.say("%s: %s", code, code.Message())
	}
	return nil
}

// ofJob is what all switches of a job do: the operands behind the job are read, the job is found, and something is done with both.
func ofJob[T any](read func([]string) (T, error), do func(context.Context, *run, *bits.Job, T) error) action {
	return func(ctx context.Context, r *run, words []string) error {
		v, err := read(words[1:])
		if err != nil {
			return err
		}
		j, err := r.job(ctx, words[0])
		if err != nil {
			return err
		}
		return do(ctx, r, j, v)
	}
}

// none reads no operands.
func none([]string) (any, error) { return nil, nil }

// get prints a property of a job.
func get[T any](property string, show func(T) answer) action {
	return ofJob(none, func(ctx context.Context, r *run, j *bits.Job, _ any) error {
		var v T
		if _, err := r.Client.Property(ctx, j.ID, property, &v); err != nil {
			return err
		}
		return r.print(show(v))
	})
}

// getFile prints a property of a file, by its number.
func getFile[T any](property string, show func(T) answer) action {
	return ofJob(parseIndex, func(ctx context.Context, r *run, j *bits.Job, file int) error {
		var v T
		if _, err := r.Client.FileProperty(ctx, j.ID, file, property, &v); err != nil {
			return err
		}
		return r.print(show(v))
	})
}

// set sets a property of a job to what the operands behind it say.
func set(property string, value func([]string) (any, error)) action {
	return ofJob(value, func(ctx context.Context, r *run, j *bits.Job, v any) error {
		err := r.Client.Set(ctx, j.ID, map[string]any{property: v})
		return r.done(0, err, "Set the %s of %s.", strings.ReplaceAll(property, "_", " "), guid(j.ID))
	})
}

// call makes a call with the operands behind the job as its parameters: an operation, or an action of the life cycle.
func call(operation, done string, parameters func([]string) (any, error)) action {
	return ofJob(parameters, func(ctx context.Context, r *run, j *bits.Job, v any) error {
		code, err := r.Client.Call(ctx, j.ID, operation, v)
		return r.done(code, err, "%s", strings.ReplaceAll(done, "{job}", guid(j.ID)))
	})
}

// add adds the files that the operands behind the job name.
func add(find func([]string) ([]bits.FileSpec, error)) action {
	return ofJob(find, func(ctx context.Context, r *run, j *bits.Job, files []bits.FileSpec) error {
		if err := r.Client.Add(ctx, j.ID, files...); err != nil {
			return err
		}
		for _, f := range files {
			r.say("Added %s -> %s to job.", f.RemoteName, f.LocalName)
		}
		return nil
	})
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
func (r *run) jobType() (t bits.JobType, err error) {
	given := 0
	for _, other := range []bits.JobType{bits.Download, bits.Upload, bits.UploadReply} {
		if r.has(typeName(other)) {
			given, t = given+1, other
		}
	}
	if given > 1 {
		err = misusef("A job has one type.")
	}
	return t, err
}

func create(ctx context.Context, r *run, words []string) error {
	t, err := r.jobType()
	if err == nil {
		err = r.Connect(ctx)
	}
	if err != nil {
		return err
	}
	j, err := r.Client.Create(ctx, bits.Spec{Type: t, DisplayName: words[0]})
	if err != nil {
		return err
	}
	return r.print(answer{guid(j.ID), []string{"Created job " + guid(j.ID) + "."}})
}

// jobs returns the jobs that /LIST, /MONITOR and /RESET are about.
func (r *run) jobs(ctx context.Context) ([]bits.Job, error) {
	if err := r.Connect(ctx); err != nil {
		return nil, err
	}
	filter := url.Values{}
	if r.has("ALLUSERS") {
		filter.Set("all", "true")
	}
	return r.Client.Jobs(ctx, filter)
}

func list(ctx context.Context, r *run, _ []string) error {
	jobs, err := r.jobs(ctx)
	if err != nil {
		return err
	}
	for i := range jobs {
		if err := info(ctx, r, &jobs[i], nil); err != nil {
			return err
		}
	}
	r.say("Listed %d job(s).", len(jobs))
	return nil
}

func listFiles(_ context.Context, r *run, j *bits.Job, _ any) error {
	for i := range j.Files {
		r.line("\t%s", fileLine(&j.Files[i]))
	}
	return nil
}

// getError prints the error of a job; the property decides whether there is one.
func getError(ctx context.Context, r *run, j *bits.Job, _ any) error {
	var e bits.JobError
	if _, err := r.Client.Property(ctx, j.ID, "error", &e); err != nil {
		return err
	}
	j.Error = &e
	return r.print(answer{e.Code.String(), errorLines(j)})
}

// verdict is a file, by its number, and what its owner says of its content.
type verdict struct {
	file int
	body map[string]any
}

func setValidation(ctx context.Context, r *run, j *bits.Job, v verdict) error {
	code, err := r.Client.FileCall(ctx, j.ID, v.file, "set-validation-state", v.body)
	return r.done(code, err, "Set the validation state of file %d of %s.", v.file, guid(j.ID))
}

// reset cancels every job; one that fails does not stop the rest.
func reset(ctx context.Context, r *run, _ []string) error {
	jobs, err := r.jobs(ctx)
	if err != nil {
		return err
	}
	canceled, first := 0, Exit(0)
	for i := range jobs {
		_, err := r.Client.Cancel(ctx, jobs[i].ID)
		switch {
		case err == nil:
			canceled++
			r.say("%s canceled.", guid(jobs[i].ID))
			continue
		case ctx.Err() != nil:
			return err
		case first == 0:
			first = exit(bits.AsError(err))
		}
		r.report("cancel "+guid(jobs[i].ID), bits.AsError(err))
	}
	r.say("%d out of %d jobs canceled.", canceled, len(jobs))
	if first == 0 {
		return nil
	} else if canceled > 0 && first > 0 { // an HRESULT stays as it is
		first = exitSomeFailed
	}
	return first
}

// off is the answer of a call to something that is turned off, or is not there.
func off(code hresult.Code, why string) action {
	return func(context.Context, *run, []string) error { return bits.Errorf(code, "%s", why) }
}

func help(family string) action {
	return func(_ context.Context, r *run, _ []string) error {
		usage(r.out, r.table, family)
		return nil
	}
}

// value is an answer that is the value itself.
func value[T any](v T) answer { return one(fmt.Sprint(v)) }
