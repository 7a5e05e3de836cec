package queue

import (
	"context"

	"bits"
	"bits/hresult"
	"bits/internal/notify"
	"bits/internal/store"
)

// notices numbers what the application of a job must be told of after a change: files that have arrived, then that the job is
// TRANSFERRED or ERROR.
// It is recorded with the change itself, so a crash between the two is not possible.
func notices(old, j *bits.Job, files []*bits.File) {
	next := func() *bits.Notice {
		j.Notices++
		return &bits.Notice{N: j.Notices}
	}
	for _, f := range files {
		switch {
		case !f.Finished || j.Type != bits.Download:
			f.Notice = nil
		case f.Notice == nil:
			f.Notice = next()
		}
	}
	switch {
	case j.State == bits.StateAcknowledged && j.AutoComplete && old.State != bits.StateError: // it is told when the files have their names
	case j.State != bits.StateTransferred && j.State != bits.StateError:
		j.Notice = nil
	case j.Notice == nil || arrived(old, j):
		j.Notice = next()
	}
}

// arrived reports whether a change is the entry into TRANSFERRED or ERROR, or another error: it has a call of its own.
func arrived(old, j *bits.Job) bool {
	return (j.State == bits.StateTransferred || j.State == bits.StateError) && (j.State != old.State || j.Error != old.Error)
}

// SetNotify is SetNotifyInterface: the caller becomes the application that is notified of the job, of what takes says; without it
// nobody is.
// What was told to another object, or happened before, is told to this one.
// The registration ends with the application.
func (q *Queue) SetNotify(id string, takes bits.NotifyFlags) (*notify.Registration, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	err := q.locked(id, func(j *bits.Job, c *store.Change) error {
		if j.State.Final() || j.Completing {
			return bits.Errorf(hresult.BG_E_INVALID_STATE, "cannot set the notify interface of job %s: it is %s", id, j.State)
		}
		if takes == 0 {
			return nil
		}
		if j.Notice != nil && j.Notice.Taken {
			j.Notice = &bits.Notice{N: j.Notice.N}
		}
		for i := range j.Files {
			if f := &j.Files[i]; f.Notice != nil && f.Notice.Taken {
				f.Notice = &bits.Notice{N: f.Notice.N}
				c.Files = append(c.Files, f)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	defer q.hub.Wake()
	if takes == 0 {
		q.hub.Remove(id, notify.Notifications)
		return nil, nil
	}
	return q.hub.Register(id, notify.Notifications, notify.Listener{Takes: takes, Since: q.jobs[id].changes}), nil
}

// Taken records that somebody has taken a notice of the job: the application by, or, with nil, a command.
// It is no change of the job: no timer begins anew. If it cannot be recorded, it is told again after a restart.
func (q *Queue) Taken(id string, n int64, by *notify.Registration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	e := q.jobs[id]
	if e == nil {
		return
	}
	if now := q.hub.Attached(id, notify.Notifications); by != nil && now != nil && now != by {
		return // another object was set meanwhile, and must be told itself
	}
	c := &store.Change{Job: e.job.Clone()}
	taken := &bits.Notice{N: n, Taken: true}
	if j := c.Job; j.Notice != nil && j.Notice.N == n {
		j.Notice = taken
	}
	for i := range c.Job.Files {
		if f := &c.Job.Files[i]; f.Notice != nil && f.Notice.N == n {
			f.Notice, c.Files = taken, []*bits.File{f}
		}
	}
	q.store.Save(context.Background(), c)
	e.job = c.Job
	q.hub.Wake()
}
