package console

import (
	"context"
	"errors"
	"net/url"
	"os"
	"strings"
	"time"

	"bits"
	"bits/client"
	"bits/hresult"
	"bits/internal/contract"
	"bits/internal/launch"
	"bits/internal/progress"
	"bits/internal/wire"
)

// Resolve finds the job that a word names: an id, perhaps in braces as bitsadmin prints it, a unique prefix of at least four characters, or a unique display name.
// A job of another user, which an administrator can name, needs its whole id: anybody can choose a name and the begin of an id.
func (a *App) Resolve(ctx context.Context, word string) (*bits.Job, error) {
	jobs, err := a.Client.Jobs(ctx, url.Values{"final": {"true"}})
	if err != nil {
		return nil, err
	}
	id := strings.ToLower(word)
	if whole, ok := contract.ParseGUID(word); ok {
		id = whole
	}
	// A name may have been used before: what is at work now is meant first.
	var found []*bits.Job
	for _, final := range []bool{false, true} {
		for i := range jobs {
			j := &jobs[i]
			if j.ID == id {
				return j, nil
			}
			if j.State.Final() == final && (len(id) >= 4 && strings.HasPrefix(j.ID, id) || j.DisplayName == word && word != "") {
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
		return nil, bits.Errorf(hresult.BG_E_NOT_FOUND, "cannot tell which job %q means: it fits %s", word, strings.Join(names, ", ")).WithHint("give one of these ids")
	case len(id) == len(bits.NewID()) && !strings.ContainsAny(id, "/ "):
		return a.Client.Job(ctx, id)
	case len(word) < 4:
		return nil, bits.Errorf(hresult.BG_E_NOT_FOUND, "cannot find job %q: no job has that name, and a prefix of an id has at least four characters", word).WithHint("bits list --all shows the jobs")
	}
	return nil, bits.Errorf(hresult.BG_E_NOT_FOUND, "cannot find job %q", word).WithHint("bits list --all shows the jobs")
}

// Each does something with every job named, reports every failure, and fails if one did.
func (a *App) Each(ctx context.Context, words []string, do func(*bits.Job) error) error {
	if err := a.Connect(ctx); err != nil {
		return err
	}
	var failed []error
	for _, word := range words {
		j, err := a.Resolve(ctx, word)
		if err == nil {
			err = do(j)
		}
		if err != nil {
			failed = append(failed, err)
		}
	}
	return a.Several(failed, len(words))
}

// Several reports the failures among n operands and makes the exit code of them: that of the first, or "some failed".
func (a *App) Several(failed []error, n int) error {
	if len(failed) == 0 || n == 1 {
		return errors.Join(failed...)
	}
	code := 0
	for _, err := range failed {
		if c := a.Report(err); code == 0 {
			code = c
		}
	}
	if len(failed) < n && code != ExitStillRuns {
		code = ExitSomeFailed
	}
	return Status(code)
}

// Settled waits until nothing more happens to the job by itself.
func (a *App) Settled(ctx context.Context, id string) (job *bits.Job, err error) {
	since := int64(client.Now)
	return job, a.Events(ctx, &since, id, func(e client.Event) (err error) {
		if e.Kind != wire.KindState {
			return nil
		}
		if job, err = a.Client.Job(ctx, id); err == nil && client.Settled(job) {
			return ErrEnough
		}
		return err
	})
}

var ErrEnough = errors.New("nothing more is to be heard")

// Events hears the events of the jobs, or of one, after the number since, or the present states first, until hear returns an error;
// ErrEnough is none.
// A service that goes away is started again.
func (a *App) Events(ctx context.Context, since *int64, only string, hear func(client.Event) error) error {
	for {
		for e, err := range a.Client.Events(ctx, *since, only) {
			if err == nil {
				err = hear(e)
			}
			switch {
			case errors.Is(err, ErrEnough):
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
		if err := a.Connect(ctx); err != nil {
			return err
		}
	}
}

// Outcome is nil for a job that has what it was made for.
func Outcome(j *bits.Job) error {
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

// Connect makes sure that a service of this build answers.
func (a *App) Connect(ctx context.Context) error {
	return launch.Service{Client: &a.Client, Note: a.Note}.Connect(ctx)
}

// Again repeats a call whose service goes away in it; the service is started again.
func (a *App) Again(ctx context.Context, call func() error) error {
	for n := 1; ; n++ {
		err := call()
		if !errors.Is(err, client.ErrUnreachable) || n == attempts || ctx.Err() != nil {
			return err
		}
		if err := a.Connect(ctx); err != nil {
			return err
		}
	}
}

// Temporaries are the files of a job that have not got their names.
func Temporaries(j *bits.Job) string {
	var names []string
	for _, f := range j.Files {
		if _, err := os.Lstat(f.Temporary); err == nil {
			names = append(names, f.Temporary)
		}
	}
	return strings.Join(names, ", ")
}

// attempts are made at a call whose service goes away in it.
const attempts = 5
