// Package queue owns the jobs: it is the only place that changes them.
//
// Every change is one pure step of the life cycle and one commit to the store, under one lock; then those who follow are woken.
// The lock is never held for work on the network or on a user's file.
// A job that was handed out is never changed again: a change makes a new one.
package queue

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"time"

	"bits"
	"bits/hresult"
	"bits/internal/access"
	"bits/internal/contract"
	"bits/internal/ipc"
	"bits/internal/joblog"
	"bits/internal/notify"
	"bits/internal/retry"
	"bits/internal/store"
	"bits/internal/tempfile"
	"bits/internal/wire"
)

// Kept is how long a final job can still be looked at by its id.
const Kept = 24 * time.Hour

// Queue is the transfer queue.
type Queue struct {
	*shared
	owner string // whose jobs alone this one changes; empty: everybody's
}

type shared struct {
	store *store.Store
	hub   *notify.Hub

	mu   sync.Mutex
	jobs map[string]*entry
	turn uint64

	pruned time.Time // when old events were last removed; used by Expire alone
}

type entry struct {
	job  *bits.Job
	run  *Run
	turn uint64 // grows with each entry into QUEUED: the round robin
	held int    // no run begins while it is above zero

	changes uint64 // that JobModification is for
}

// Open loads the jobs from the store.
// One that was running is QUEUED again.
func Open(ctx context.Context, s *store.Store, hub *notify.Hub) (*Queue, error) {
	jobs, err := s.Jobs(ctx)
	if err != nil {
		return nil, err
	}
	q := &Queue{shared: &shared{store: s, hub: hub, jobs: map[string]*entry{}}}
	now := time.Now()
	for _, j := range jobs {
		q.turn++
		j.HTTPMethod = cmp.Or(j.HTTPMethod, contract.DefaultMethod(j.Type)) // there was none to choose in older versions
		// A time that a wrong clock has put far ahead is not waited for.
		if j.TransientSince != nil && j.TransientSince.After(now) {
			j.TransientSince = &now
		}
		if at := now.Add(retry.Delay(j)); j.NextRetry != nil && j.NextRetry.After(at) {
			j.NextRetry = &at
		}
		notify.Number(j, j, all(j.Files)) // of an older program, which kept none
		// A program that knew but one owner has not recorded this.
		if self := ipc.Self(); j.OwnerIntegrity == 0 && j.Owner == self.Owner {
			j.OwnerElevated, j.OwnerIntegrity = self.Admin, self.Integrity
		}
		q.jobs[j.ID] = &entry{job: j, turn: q.turn}
		if j.State.Running() {
			if err := q.change(j.ID, func(j *bits.Job, _ *store.Change) error { return move(j, bits.Yield) }); err != nil {
				return nil, err
			}
		}
	}
	return q, nil
}

// For is the same queue for one owner: it changes no job of another, but says BG_E_NOT_FOUND.
// So a job that is taken over in the middle of a call of its owner before is not changed by him any more.
func (q *Queue) For(owner string) *Queue { return &Queue{q.shared, owner} }

// Recover finds what a crash interrupted: files of completed jobs that have no name yet, and temporary files of final ones.
// It is called before the queue is used; the function that it returns finishes them, and may run beside all else.
func (q *Queue) Recover() (finish func()) {
	interrupted := q.Snapshot()
	return func() {
		for _, v := range interrupted {
			switch {
			case v.Job.Completing:
				if _, err := q.rename(v.Job.ID, true); err != nil {
					q.refuse(v.Job.ID, err)
				}
			case v.Job.State.Final():
				clean(v.Job)
			}
		}
	}
}

func notFound(id string) error {
	return bits.Errorf(hresult.BG_E_NOT_FOUND, "cannot find job %s", id).WithHint("bits list shows the jobs")
}

// Create records a new job of the caller, SUSPENDED, or QUEUED if the Spec says so.
// When it returns, the job survives a power cut.
// An id that the owner used before returns that job, so a call can be repeated.
func (q *Queue) Create(by contract.Caller, spec bits.Spec) (*bits.Job, error) {
	if spec.ID == "" {
		spec.ID = bits.NewID()
	} else if id, ok := contract.ParseGUID(spec.ID); ok {
		spec.ID = id
	} else {
		return nil, bits.Errorf(hresult.E_INVALIDARG, "cannot use %q as the id of a job: it is no GUID", spec.ID)
	}
	if old, err := q.Get(spec.ID); err == nil {
		if old.Owner != by.Owner {
			return nil, notFound(spec.ID)
		}
		return old, nil
	}
	j, err := contract.NewJob(spec, by)
	if err != nil {
		return nil, err
	}
	j.OwnerElevated, j.OwnerIntegrity = by.Admin, by.Integrity
	j.Created = time.Now()
	if err := access.Check(j, contract.AddCall(spec.Type, spec.Files)); err != nil {
		return nil, err
	}
	if err := access.Check(j, contract.SetCall(spec.Properties)); err != nil {
		return nil, err
	}
	name(j)
	q.mu.Lock()
	defer q.mu.Unlock()
	if e := q.jobs[j.ID]; e != nil && e.job.Owner == by.Owner {
		return q.live(e), nil // the same call came twice at once
	} else if e != nil {
		return nil, notFound(j.ID)
	}
	if err := by.MoreJobs(q.count(by.Owner)); err != nil {
		return nil, err
	}
	q.jobs[j.ID] = &entry{job: j}
	q.log(j, "created")
	err = q.locked(j.ID, func(j *bits.Job, c *store.Change) error {
		c.Files = all(j.Files)
		c.Events = append(c.Events, stateEvent(j))
		if spec.Resume {
			return resume(j, c)
		}
		return nil
	})
	if err != nil {
		delete(q.jobs, j.ID)
		return nil, err
	}
	return q.live(q.jobs[j.ID]), nil
}

// count is the number of jobs in the queue: those of one owner, and all.
func (q *Queue) count(owner string) (mine, all int) {
	for _, e := range q.jobs {
		if !e.job.State.Final() {
			all++
			if e.job.Owner == owner {
				mine++
			}
		}
	}
	return mine, all
}

// name gives every file its temporary name; a high-performance job writes to the final one.
func name(j *bits.Job) {
	for i := range j.Files {
		if f := &j.Files[i]; f.Temporary == "" && j.Type == bits.Download {
			if f.Temporary = f.LocalName; !j.HighPerformance {
				f.Temporary = tempfile.Name(f.LocalName, fmt.Sprintf("%s-%d", j.ID, f.Number))
			}
		}
	}
}

func all(files []bits.File) (list []*bits.File) {
	for i := range files {
		list = append(list, &files[i])
	}
	return list
}

// Do carries out a call on a job.
// Where the rules of its connections change, no request is sent under the old ones after Do has returned.
func (q *Queue) Do(id string, call contract.Call, by contract.Caller) (contract.Outcome, error) {
	var done contract.Outcome
	j, err := q.Get(id)
	if err == nil {
		err = access.Check(j, call)
	}
	if err != nil {
		return done, err
	}
	q.mu.Lock()
	err = q.locked(id, func(j *bits.Job, c *store.Change) (err error) {
		before := q.jobs[id].job
		if done, err = call.Apply(j, by); err != nil {
			return err
		}
		name(j)
		for i := range j.Files {
			if i >= len(before.Files) || !reflect.DeepEqual(before.Files[i], j.Files[i]) {
				c.Files = append(c.Files, &j.Files[i])
			}
		}
		return nil
	})
	// What the run reports from here on would be of what was before the change.
	if run := q.running(id); err == nil && run != nil && done.Effect == contract.EffectReconnect {
		run.Stop()
	}
	q.mu.Unlock()
	if err == nil && done.Effect == contract.EffectReconnect {
		q.halt(id)
	}
	return done, err
}

// change makes one step: f works on a copy, the copy is written, then it takes the place of the old one.
func (q *Queue) change(id string, f func(*bits.Job, *store.Change) error) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.locked(id, f)
}

func (q *Queue) locked(id string, f func(*bits.Job, *store.Change) error) error {
	e := q.jobs[id]
	if e == nil || q.owner != "" && e.job.Owner != q.owner {
		return notFound(id)
	}
	c, err := e.changed(f)
	if err != nil {
		return err
	}
	return q.save(e, c)
}

// save records a change, and installs it.
func (q *Queue) save(e *entry, c *store.Change) error {
	// A commit that was begun is finished, whatever becomes of the caller.
	if e.run != nil {
		c.Accepted = e.run.accepted
	}
	if err := q.store.Save(context.Background(), c); err != nil {
		return err
	}
	if e.run != nil {
		e.run.accepted = nil
	}
	q.install(e, c.Job)
	return nil
}

// changed applies f to a copy of the job.
func (e *entry) changed(f func(*bits.Job, *store.Change) error) (*store.Change, error) {
	j := contract.Clone(e.job)
	c := &store.Change{Job: j}
	if err := f(j, c); err != nil {
		return nil, err
	}
	return e.stamped(c), nil
}

// stamped adds to a change what goes with every one.
func (e *entry) stamped(c *store.Change) *store.Change {
	notify.Number(e.job, c.Job, c.Files)
	c.Job.Modified, c.Job.Expiring = time.Now(), nil
	if c.Job.State != e.job.State {
		c.Events = append(c.Events, stateEvent(c.Job))
	}
	return c
}

// report is change for what a run tells of one file: that file alone is copied, so that the other files of its job cost nothing.
// The list of files is shared with the job before; so nobody reads it without the lock.
func (q *Queue) report(e *entry, number int, f func(*bits.Job, *bits.File) error) error {
	j, file := *e.job, e.job.Files[number]
	if err := f(&j, &file); err != nil {
		return err
	}
	c := e.stamped(&store.Change{Job: &j, Files: []*bits.File{&file}})
	if err := q.save(e, c); err != nil {
		return err
	}
	j.Files[number] = file
	return nil
}

func (q *Queue) install(e *entry, j *bits.Job) {
	if j.State == bits.StateQueued && e.job.State != bits.StateQueued {
		q.turn++
		e.turn = q.turn
	}
	if !notify.Arrived(e.job, j) {
		e.changes++
	}
	if j.State != e.job.State {
		q.log(j, joblog.StateText(j))
	}
	e.job = j
	q.hub.Wake()
}

// observe is change for what the service sees happen, and not for what somebody asks: if the store cannot be written, the job goes on
// in memory, and at the next start from its last record.
func (q *Queue) observe(id string, f func(*bits.Job, *store.Change) error) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.observed(id, f)
}

func (q *Queue) observed(id string, f func(*bits.Job, *store.Change) error) error {
	err := q.locked(id, f)
	if e := q.jobs[id]; e != nil && errors.Is(err, store.ErrNotWritten) {
		var c *store.Change
		if c, err = e.changed(f); err == nil {
			q.install(e, c.Job)
		}
	}
	return err
}

func stateEvent(j *bits.Job) store.Event {
	body, err := json.Marshal(wire.StateOf(j))
	if err != nil {
		panic(err) // strings and numbers only
	}
	return store.Event{At: time.Now(), Job: j.ID, Owner: j.Owner, Kind: "state", Body: body}
}

// move applies an action of the life cycle.
func move(j *bits.Job, a bits.Action) error {
	next, err := j.After(a)
	if err == nil && j.Completing && a < bits.Begin {
		err = bits.Errorf(hresult.BG_E_INVALID_STATE, "cannot %s job %s: it is being completed", a, j.ID)
	}
	if err == nil {
		j.State = next
	}
	return err
}

// patience is how long a job must have been seen without activity for too long: a clock that is wrong for some hours cancels nothing.
const patience = 24 * time.Hour

// Expire cancels the jobs without activity for 90 days, and forgets the final ones after a day, and events that are too old.
// It returns the time of the next one.
func (q *Queue) Expire() (next time.Time) {
	now := time.Now()
	later := func(at time.Time) {
		if next.IsZero() || at.Before(next) {
			next = at
		}
	}
	for _, v := range q.Snapshot() {
		j, after := v.Job, bits.InactivityTimeout
		if j.State.Final() {
			after = Kept
		}
		switch due := j.Modified.Add(after); {
		case due.After(now):
			later(due)
		case j.State.Final():
			q.forget(j.ID)
		case j.Expiring == nil || j.Expiring.After(now):
			q.expiring(j, now)
			later(now.Add(patience))
		case now.Sub(*j.Expiring) < patience:
			later(j.Expiring.Add(patience))
		default:
			q.end(j.ID, bits.Expire)
		}
	}
	if now.Sub(q.pruned) > time.Hour {
		q.pruned = now
		q.store.PruneEvents(context.Background(), now.Add(-bits.InactivityTimeout), 100_000)
		q.store.PruneLogs(context.Background(), now.Add(-joblog.Kept), joblog.MaxTotal)
	}
	return next
}

// expiring records that a job was seen to be without activity for too long, which is no activity.
func (q *Queue) expiring(seen *bits.Job, at time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	e := q.jobs[seen.ID]
	if e == nil || e.job != seen {
		return
	}
	j := contract.Clone(seen)
	j.Expiring = &at
	q.store.Save(context.Background(), &store.Change{Job: j}) // if it cannot be written, it is seen again at the next start
	e.job = j
}

func (q *Queue) forget(id string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if e := q.jobs[id]; e != nil && q.store.Save(context.Background(), &store.Change{Job: e.job, Delete: true}) == nil {
		delete(q.jobs, id)
	}
}
