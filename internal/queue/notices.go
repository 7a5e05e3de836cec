package queue

import (
	"context"

	"bits"
	"bits/hresult"
	"bits/internal/contract"
	"bits/internal/notify"
	"bits/internal/store"
)

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
	c := &store.Change{Job: contract.Clone(e.job)}
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
