package queue

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"bits"
	"bits/hresult"
	"bits/internal/contract"
	"bits/internal/joblog"
	"bits/internal/notify"
	"bits/internal/remotename"
	"bits/internal/retry"
	"bits/internal/store"
)

// Run is one stay of a job in CONNECTING and TRANSFERRING.
// Whoever carries it out reports through it, and ends it with End.
// After the owner has suspended, cancelled or completed the job, its reports change nothing.
type Run struct {
	ID      string
	Started time.Time

	q        *Queue
	job      *bits.Job // as it was when the run began, and what the log hides of it
	mask     atomic.Pointer[joblog.Mask]
	before   bits.Seconds // that the job has run since Resume, before this run
	ctx      context.Context
	cancel   context.CancelCauseFunc
	done     chan struct{}
	accepted []store.Accepted // certificates that the next record of the job writes
	next     int              // the files before it are done with
	answered string           // the headers of the answer that is the error
	version  *bits.Validator  // of the file under way, as Next gave it and Contact recorded it
	file     atomic.Int64     // the file under way
	received atomic.Int64     // its bytes that have arrived
	whole    atomic.Bool      // it would start over if it were interrupted
	best     atomic.Int64     // the most of it that has ever arrived
	moved    atomic.Int64     // when more than ever has arrived, since Started
}

// ErrYield is the cause of a run that was stopped without a fault: the job is QUEUED again.
var ErrYield = errors.New("the transfer was stopped")

// Begin starts a run of a QUEUED job.
func (q *Queue) Begin(ctx context.Context, id string) (*Run, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if e := q.jobs[id]; e != nil && (e.held > 0 || e.job.Completing) {
		return nil, ErrYield
	}
	if err := q.observed(id, func(j *bits.Job, _ *store.Change) error {
		j.NextRetry = nil
		return move(j, bits.Begin)
	}); err != nil {
		return nil, err
	}
	job := q.jobs[id].job
	r := &Run{ID: id, Started: time.Now(), q: q, job: job, before: job.Active, done: make(chan struct{})}
	r.mask.Store(new(joblog.MaskOf(job)))
	if job.TransientSince != nil {
		r.moved.Store(int64(job.TransientSince.Sub(r.Started)))
	}
	r.ctx, r.cancel = context.WithCancelCause(ctx)
	r.Log(joblog.Run, -1, "%s", joblog.BeginText(job, contract.Progress(job)))
	q.jobs[id].run = r
	return r, nil
}

// Context ends when the run must stop.
func (r *Run) Context() context.Context { return r.ctx }

// Stop asks the run to end; the job is QUEUED again unless its owner decided otherwise.
func (r *Run) Stop() { r.cancel(ErrYield) }

// Abort asks the run to end with an error.
func (r *Run) Abort(err error) { r.cancel(err) }

// Job returns the job as it is now.
func (r *Run) Job() (*bits.Job, error) { return r.q.Get(r.ID) }

// Next returns the next file that there is something to fetch of; ok is false if there is none.
// Files are looked at in the order added, and each but once: what would bring an earlier one back stops the run.
func (r *Run) Next(wants func(*bits.File) bool) (f bits.File, ok bool) {
	r.q.mu.Lock()
	defer r.q.mu.Unlock()
	e := r.q.jobs[r.ID]
	if e == nil {
		return f, false
	}
	for ; r.next < len(e.job.Files); r.next++ {
		if f := &e.job.Files[r.next]; wants(f) {
			r.version = f.Validator
			return *f, true
		}
	}
	return f, false
}

// Received counts bytes of a file that have arrived; it is shown, and promised to nobody.
func (r *Run) Received(file int, n int64) {
	r.file.Store(int64(file))
	r.received.Store(n)
	if n > r.best.Load() {
		r.best.Store(n)
		r.moved.Store(int64(time.Since(r.Started)))
	}
}

// Moved is when there was progress last, or when the job began to wait for it.
func (r *Run) Moved() time.Time { return r.Started.Add(time.Duration(r.moved.Load())) }

// Before is how long it had been before this run.
func (r *Run) Before() bits.Seconds { return r.before }

// Active is how long the job has been CONNECTING and TRANSFERRING since Resume; a second that has begun counts.
func (r *Run) Active() bits.Seconds {
	return r.before + bits.Seconds((time.Since(r.Started)+time.Second-1)/time.Second)
}

// current returns nil while the run is the one that counts: nobody has stopped it.
func (r *Run) current() error {
	e := r.q.jobs[r.ID]
	if e == nil || e.run != r || !e.job.State.Running() || e.job.Completing || r.ctx.Err() != nil {
		return ErrYield
	}
	return nil
}

// Answered keeps the headers of an answer that is no content, for the record of the error that follows.
func (r *Run) Answered(headers string) {
	r.q.mu.Lock()
	defer r.q.mu.Unlock()
	r.answered = headers
}

// Resumable reports whether the file under way goes on where it was, if the run is stopped.
func (r *Run) Resumable() bool { return !r.whole.Load() }

// Contact tells that the server answered for a file: the job is TRANSFERRING, and its error is forgotten.
// The file is recorded as it is given: the size (nil: unknown), the validator, the remote name after redirects, and the stretches that
// still count, which are none if the file starts over. Whatever its owner changes of it stops the run before.
func (r *Run) Contact(f bits.File, resumable bool) error {
	r.q.mu.Lock()
	defer r.q.mu.Unlock()
	if err := r.current(); err != nil {
		return err
	}
	r.version = f.Validator
	r.whole.Store(!resumable)
	return r.q.report(r.q.jobs[r.ID], f.Number, func(j *bits.Job, old *bits.File) error {
		j.Error = nil
		f.Best = old.Best
		*old = f
		r.best.Store(old.Best)
		return move(j, bits.Contact)
	})
}

// Checkpoint records that the stretches are on stable storage; with finished that the file is whole.
// Hashing is the state of the digests of its first bytes, none of which is missing in the stretches.
// The caller has synced the data before.
// It also counts when the run was stopped or the job suspended meanwhile, but not when the file has been started over since.
func (r *Run) Checkpoint(file int, done bits.Ranges, hashing []byte, size int64, finished bool) error {
	r.q.mu.Lock()
	defer r.q.mu.Unlock()
	e := r.q.jobs[r.ID]
	if e == nil || e.run != r || e.job.State.Final() || e.job.Completing || e.job.Files[file].Validator != r.version {
		return ErrYield
	}
	return r.q.report(e, file, func(j *bits.Job, f *bits.File) error {
		if done.Len() > f.Best || finished {
			j.Failures, j.TransientSince = 0, nil
		}
		f.Best = max(f.Best, done.Len())
		j.Active = r.Active()
		f.Done, f.Hashing, f.Finished = done, hashing, finished
		if finished {
			f.Size = &size
		}
		return nil
	})
}

// Accept remembers a certificate that the application of the job accepted, if the run is still the current one: an answer that
// comes after the rules were changed counts for nothing.
// It is written with the next record of the job, which the first answer of the server brings: a crash before that costs a question.
func (r *Run) Accept(_ context.Context, endpoint string, sha256 [32]byte) error {
	r.q.mu.Lock()
	defer r.q.mu.Unlock()
	if err := r.current(); err != nil {
		return err
	}
	r.accepted = append(r.accepted, store.Accepted{Endpoint: endpoint, SHA256: sha256, At: time.Now()})
	return nil
}

// Accepted reports whether the application of the job accepted the certificate before.
func (r *Run) Accepted(ctx context.Context, endpoint string, sha256 [32]byte) (bool, error) {
	r.q.mu.Lock()
	fresh := slices.ContainsFunc(r.accepted, func(a store.Accepted) bool { return a.Endpoint == endpoint && a.SHA256 == sha256 })
	r.q.mu.Unlock()
	if fresh {
		return true, nil
	}
	return r.q.store.Accepted(ctx, r.ID, endpoint, sha256)
}

// End ends the run.
// Nil means that every file is there, or in on-demand mode everything that was requested; a context's end or ErrYield that the run was stopped; all else is a fault of the file given
// (-1: of none).
func (r *Run) End(err error, file int) {
	q := r.q
	q.mu.Lock()
	defer q.mu.Unlock()
	defer close(r.done)
	stopped := context.Cause(r.ctx)
	r.cancel(ErrYield)
	e := q.jobs[r.ID]
	if e == nil || e.run != r {
		return
	}
	defer func() {
		e.run = nil
		q.hub.Wake()
	}()
	counts := e.job.State.Running() && !e.job.Completing       // else its owner has decided what becomes of the job
	if stopped != nil && (err != nil || !allFinished(e.job)) { // what is whole waits for nothing
		var fault *bits.Error // of Abort
		if err = ErrYield; errors.As(stopped, &fault) {
			err = fault
		}
	}
	r.Log(joblog.Run, -1, "%s", joblog.EndText(contract.Progress(e.job), time.Since(r.Started), err))
	if !counts && len(r.accepted) == 0 {
		return
	}
	q.observed(r.ID, func(j *bits.Job, c *store.Change) error {
		j.Active = r.Active()
		switch {
		case !counts:
			return nil
		case err == nil && allFinished(j):
			now := time.Now()
			j.Transferred, j.Error, j.TransientSince, j.Failures = &now, nil, nil, 0
			return move(j, bits.Finish)
		case err == nil && j.OnDemand:
			return move(j, bits.Satisfy)
		case err == nil || errors.Is(err, ErrYield):
			return move(j, bits.Yield)
		}
		if file >= 0 {
			f := &j.Files[file]
			f.ResponseHeaders = cmp.Or(r.answered, f.ResponseHeaders)
			c.Files = []*bits.File{f}
		}
		return failed(j, jobError(j, err, file), err)
	})
}

// jobError makes the error object of a job.
func jobError(j *bits.Job, err error, file int) *bits.JobError {
	e := bits.AsError(err)
	if e.Context == bits.ContextNone { // the error of a job always has a place
		e = e.In(cmp.Or(bits.ErrorContext(e.Code.Context()), bits.ContextUnknown))
	}
	je := &bits.JobError{Code: e.Code, Name: e.Code.Name(), Context: e.Context, Message: e.Message, Hint: cmp.Or(e.Hint, e.Code.Hint()), At: time.Now(), RetryAfter: e.After}
	if file >= 0 && file < len(j.Files) && e.Context != bits.ContextQueueManager {
		je.File, je.URL = &file, j.Files[file].RemoteName
	}
	switch e.Context {
	case bits.ContextRemoteFile, bits.ContextGeneralTransport, bits.ContextRemoteApplication, bits.ContextCertificateCallback:
		je.Protocol = "http"
		if remotename.IsFile(je.URL) {
			je.Protocol = "file"
		}
	}
	return je
}

// failed moves a running job to TRANSIENT_ERROR or ERROR.
func failed(j *bits.Job, e *bits.JobError, err error) error {
	now := time.Now()
	j.Error = e
	j.Failures++
	if e.Code != hresult.BG_E_NETWORK_DISCONNECTED {
		j.ErrorCount++
	}
	fault := retry.Fault{Err: err, Code: e.Code}
	switch {
	case j.HTTPMethod != contract.DefaultMethod(j.Type):
		fault.Final = true // nothing can be continued, and what another method does is not done again unasked
	case e.Code == hresult.FromHTTPStatus(http.StatusTooManyRequests) && !j.Strict:
		fault.Again = true // BITS gives up
	case errors.Is(err, store.ErrNotWritten):
		fault.Again = true // the disk of the store may get room again
	case e.Context == bits.ContextCertificateCallback:
		// A decline is asked again, whatever code the application chose.
		fault.Final = errors.Is(err, notify.ErrCannotBeCalled)
		fault.Again = !fault.Final
	}
	next, again := retry.Next(j, fault, now)
	if !again {
		return move(j, bits.FailFatal)
	}
	j.NextRetry = &next
	return move(j, bits.FailTransient)
}
