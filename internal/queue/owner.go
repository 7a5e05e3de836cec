package queue

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"bits"
	"bits/hresult"
	"bits/internal/access"
	"bits/internal/content"
	"bits/internal/notify"
	"bits/internal/retry"
	"bits/internal/store"
	"bits/internal/tempfile"
)

// Act does what the owner asks: Resume, Suspend, Complete or Cancel.
// When Suspend, Complete or Cancel has returned, nothing of the job is under way any more.
// The code is S_OK, BG_S_PARTIAL_COMPLETE or BG_S_UNABLE_TO_DELETE_FILES.
func (q *Queue) Act(id string, a bits.Action) (hresult.Code, error) {
	switch a {
	case bits.Resume:
		return hresult.S_OK, q.change(id, resume)
	case bits.Suspend:
		err := q.change(id, func(j *bits.Job, _ *store.Change) error { return move(j, a) })
		if err == nil {
			q.halt(id)
		}
		return hresult.S_OK, err
	case bits.Complete:
		if err := q.change(id, intend); err != nil {
			return 0, err
		}
		q.halt(id)
		return q.rename(id, false)
	case bits.Cancel:
		return q.end(id, a)
	}
	return 0, bits.Errorf(hresult.E_NOTIMPL, "cannot %s a job: that is no action of its owner", a)
}

// intend makes a job one that is to be completed; the state follows when every file has its name.
func intend(j *bits.Job, _ *store.Change) error {
	before := j.State
	err := move(j, bits.Complete)
	j.State, j.Completing = before, true
	return err
}

func resume(j *bits.Job, c *store.Change) error {
	before := j.State
	if err := move(j, bits.Resume); err != nil || j.State != bits.StateQueued || before == bits.StateQueued {
		return err
	}
	j.Resumed, j.Active, j.NextRetry = true, 0, nil
	if j.Type == bits.UploadReply && j.ReplyFileName == "" { // SetReplyFileName: a name is made at the first Resume
		j.ReplyFileName = j.Files[0].LocalName + "." + j.ID[:8] + ".reply"
	}
	if before != bits.StateTransientError {
		j.TransientSince, j.Failures = nil, 0
	}
	for i := range j.Files {
		if before == bits.StateError && content.Forgive(&j.Files[i]) {
			c.Files = append(c.Files, &j.Files[i])
		}
	}
	return nil
}

func allFinished(j *bits.Job) bool {
	for i := range j.Files {
		if !j.Files[i].Finished {
			return false
		}
	}
	return len(j.Files) > 0
}

// rename gives the finished files of a job their names, removes the others, and makes the job ACKNOWLEDGED.
// If one cannot be renamed, the others are all the same; the job is then TRANSFERRED if it was, else SUSPENDED, and Complete can be
// called again.
// When it goes on after a crash, a file may have its name already.
func (q *Queue) rename(id string, afterCrash bool) (hresult.Code, error) {
	j, err := q.Get(id)
	if err != nil {
		return 0, err
	}
	// A job whose files the service may not touch has none that is finished, unless another version or user has fetched it.
	access := access.Files(j)
	code := hresult.S_OK
	if len(j.Files) == 0 {
		code = hresult.BG_S_PARTIAL_COMPLETE
	}
	var named, gone []int
	var failed error
	folders := map[string]bool{}
	for i := range j.Files {
		f := &j.Files[i]
		if f.Completed {
			continue
		}
		if !f.Finished {
			code = hresult.BG_S_PARTIAL_COMPLETE
			continue
		}
		if access != nil {
			failed = access
			continue
		}
		err := renameOne(j, f, afterCrash)
		_, missing := os.Lstat(f.Temporary)
		switch {
		case errors.Is(err, errGone):
			gone = append(gone, i)
		case err != nil && bits.AsError(err).Code == hresult.BG_E_VOLUME_CHANGED: // it is on the other disk
		case err == nil || errors.Is(missing, fs.ErrNotExist): // the name is there, though perhaps not on stable storage
			named = append(named, i)
			folders[filepath.Dir(f.LocalName)] = true
		}
		failed = cmp.Or(failed, err)
	}
	for folder := range folders { // once for all files in it
		failed = cmp.Or(failed, tempfile.Settle(folder))
	}
	err = q.observe(id, func(j *bits.Job, c *store.Change) error {
		j.Completing = false
		for _, i := range named {
			j.Files[i].Completed, j.Files[i].Valid = true, true // Complete validates implicitly
			c.Files = append(c.Files, &j.Files[i])
		}
		for _, i := range gone {
			j.Files[i].Reset() // Resume fetches it again
			c.Files = append(c.Files, &j.Files[i])
		}
		if failed == nil {
			return move(j, bits.Complete)
		}
		if j.State != bits.StateTransferred {
			j.State = bits.StateSuspended
		}
		return nil
	})
	if failed != nil || err != nil {
		return 0, cmp.Or(failed, err)
	}
	q.hub.Remove(id, notify.Certificates)
	if j, err = q.Get(id); err == nil && code == hresult.BG_S_PARTIAL_COMPLETE && !clean(j) {
		code = hresult.BG_S_UNABLE_TO_DELETE_FILES
	}
	return code, nil
}

var errGone = errors.New("its temporary file is gone")

func renameOne(j *bits.Job, f *bits.File, afterCrash bool) error {
	if _, err := os.Lstat(f.Temporary); errors.Is(err, fs.ErrNotExist) {
		// The crash came between the rename and its record.
		if info, err := os.Lstat(f.LocalName); err == nil && afterCrash && info.Size() == *f.Size {
			return nil
		}
		if err := tempfile.SameVolume(f.Temporary, f.Volume); err != nil {
			return err
		}
		return bits.Errorf(hresult.ERROR_FILE_NOT_FOUND, "cannot complete %s (%s): %w", f.LocalName, f.Temporary, errGone).
			In(bits.ContextLocalFile).WithHint("somebody removed it; resume the job to fetch it again")
	}
	if f.Temporary == f.LocalName { // of a high-performance job
		return nil
	}
	if j.NoReplace {
		return tempfile.RenameNew(f.Temporary, f.LocalName)
	}
	return tempfile.Rename(f.Temporary, f.LocalName)
}

// clean removes the temporary files of a final job and reports whether that worked.
// What a high-performance job has under the final name is its owner's to remove.
func clean(j *bits.Job) bool {
	if access.Files(j) != nil {
		return !begun(j)
	}
	ok := true
	for i := range j.Files {
		if f := &j.Files[i]; !f.Completed && f.Temporary != f.LocalName && tempfile.Remove(f.Temporary) != nil {
			ok = false
		}
	}
	return ok
}

// end drops a job: by its owner, or after 90 days.
func (q *Queue) end(id string, a bits.Action) (hresult.Code, error) {
	err := q.change(id, func(j *bits.Job, _ *store.Change) error { return move(j, a) })
	if err != nil {
		return 0, err
	}
	q.halt(id)
	q.hub.Remove(id, notify.Certificates)
	j, err := q.Get(id)
	if err == nil && !clean(j) {
		return hresult.BG_S_UNABLE_TO_DELETE_FILES, nil
	}
	return hresult.S_OK, err
}

func (q *Queue) running(id string) *Run {
	if e := q.jobs[id]; e != nil {
		return e.run
	}
	return nil
}

// halt stops the run of the job, if there is one, and returns when it has ended.
func (q *Queue) halt(id string) {
	q.mu.Lock()
	run := q.running(id)
	q.mu.Unlock()
	if run != nil {
		run.Stop()
		<-run.done
	}
}

// SetValidator is SetServerCertificateValidationInterface: with on the caller becomes the application that judges the job's
// certificates, without it nobody does.
// Either way the memory of accepted certificates is emptied.
// Allowed in SUSPENDED, ERROR and TRANSFERRED, else BG_E_READ_ONLY_WHEN_JOB_ACTIVE; a refused call changes nothing.
// The requirement survives a restart; the registration ends with the application.
func (q *Queue) SetValidator(id string, on bool) (*notify.Registration, error) {
	if j, err := q.Get(id); err == nil && j.State.Paused() {
		defer q.hold(id)() // a run that is just ending must be over before the rules change
	}
	return q.setValidator(id, on, func(j *bits.Job, _ *store.Change) error {
		if !j.State.Paused() {
			return bits.Errorf(hresult.BG_E_READ_ONLY_WHEN_JOB_ACTIVE, "cannot set the validator of job %s while it is %s", id, j.State).WithHint("suspend the job first: bits suspend %s", id)
		}
		return nil
	})
}

// Attach does in one step what an application does that comes back to a job in any state: Suspend, SetValidator, Resume.
// A job that is SUSPENDED or TRANSFERRED stays so.
// As it is one step, an application or a service that dies in it leaves no job SUSPENDED.
func (q *Queue) Attach(id string) (*notify.Registration, error) {
	defer q.hold(id)()
	return q.setValidator(id, true, func(j *bits.Job, c *store.Change) error {
		if j.State == bits.StateError || j.State == bits.StateTransientError {
			return resume(j, c)
		}
		return nil
	})
}

// hold stops the run of the job, and keeps the scheduler from beginning another until release is called.
func (q *Queue) hold(id string) (release func()) {
	add := func(by int) {
		q.mu.Lock()
		defer q.mu.Unlock()
		if e := q.jobs[id]; e != nil {
			e.held += by
		}
	}
	add(1)
	q.halt(id)
	return func() {
		add(-1)
		q.hub.Wake()
	}
}

func (q *Queue) setValidator(id string, on bool, allowed func(*bits.Job, *store.Change) error) (*notify.Registration, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	err := q.locked(id, func(j *bits.Job, c *store.Change) error {
		if j.State.Final() || j.Completing {
			return bits.Errorf(hresult.BG_E_INVALID_STATE, "cannot set the validator of job %s: it is %s", id, j.State)
		}
		j.ValidatorRequired, c.ForgetAccepted = on, true
		return allowed(j, c)
	})
	if err != nil {
		return nil, err
	}
	if !on {
		q.hub.Remove(id, notify.Certificates)
		return nil, nil
	}
	return q.hub.Register(id, notify.Certificates, notify.Listener{}), nil
}

// refuse makes a job whose Complete failed by itself an ERROR that its owner can see.
func (q *Queue) refuse(id string, err error) {
	q.observe(id, func(j *bits.Job, _ *store.Change) error {
		j.Error = jobError(j, err, -1)
		j.ErrorCount++
		if j.State == bits.StateSuspended {
			j.State = bits.StateError
			return nil
		}
		return move(j, bits.FailFatal)
	})
}

// Completable returns the jobs that complete by themselves and have all of their files; that they are to be completed is recorded.
// The caller completes each with [Queue.Finish].
// An error says that one could not be recorded, and is to be tried again.
func (q *Queue) Completable() (ids []string, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for id, e := range q.jobs {
		if j := e.job; !j.AutoComplete || j.State != bits.StateTransferred || j.Completing || e.run != nil || !allFinished(j) {
			continue
		}
		if ierr := q.locked(id, intend); ierr == nil {
			ids = append(ids, id)
		} else if errors.Is(ierr, store.ErrNotWritten) {
			err = ierr
		}
	}
	return ids, err
}

// Finish completes a job that is to be completed.
// One that cannot be becomes ERROR.
func (q *Queue) Finish(id string) {
	if _, err := q.rename(id, false); err != nil {
		q.refuse(id, err)
	}
}

// Arrived queues the jobs in TRANSIENT_ERROR whose error is one of these, without waiting for their timers: a network has come
// (BG_JOB_STATE_TRANSIENT_ERROR). The back-off of those that had got no answer begins anew. A server that has asked for time gets it.
func (q *Queue) Arrived(is func(*bits.JobError) bool) {
	now := time.Now()
	for _, v := range q.Snapshot() {
		if v.Job.State != bits.StateTransientError || v.Job.Completing || retry.Asked(v.Job.Error, now) || !is(v.Job.Error) {
			continue
		}
		q.observe(v.Job.ID, func(j *bits.Job, _ *store.Change) error {
			if retry.Unanswered(j.Error) {
				j.Failures = 0
			}
			j.NextRetry = nil
			return move(j, bits.Retry)
		})
	}
}

// Due moves the jobs whose time has come: TRANSIENT_ERROR to QUEUED after the retry delay, or to ERROR after the no-progress timeout.
// It returns the time of the next one, zero if there is none.
func (q *Queue) Due() (next time.Time) {
	now := time.Now()
	for _, v := range q.Snapshot() {
		j := v.Job
		if j.State != bits.StateTransientError || j.Completing {
			continue
		}
		limit := retry.Deadline(j)
		at := limit
		if j.NextRetry != nil && j.NextRetry.Before(limit) {
			at = *j.NextRetry
		}
		if at.After(now) {
			if next.IsZero() || at.Before(next) {
				next = at
			}
			continue
		}
		q.observe(j.ID, func(j *bits.Job, _ *store.Change) error {
			if j.State != bits.StateTransientError {
				return nil
			}
			if !retry.Deadline(j).After(now) {
				j.NextRetry = nil
				return move(j, bits.FailFatal)
			}
			return move(j, bits.Retry)
		})
	}
	return next
}
