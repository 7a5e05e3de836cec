package queue

import (
	"cmp"
	"fmt"
	"slices"
	"sync"

	"bits"
	"bits/hresult"
	"bits/internal/contract"
	"bits/internal/notify"
)

// Get returns a job as it is now.
func (q *Queue) Get(id string) (*bits.Job, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	e := q.jobs[id]
	if e == nil {
		return nil, notFound(id)
	}
	return q.live(e), nil
}

// List returns the jobs for which keep is true, oldest first.
func (q *Queue) List(keep func(*bits.Job) bool) (jobs []*bits.Job) {
	q.mu.Lock()
	defer q.mu.Unlock()
	ahead := sync.OnceValue(q.ahead)
	for _, e := range q.jobs {
		if keep(e.job) {
			jobs = append(jobs, q.shown(e, ahead))
		}
	}
	slices.SortFunc(jobs, func(a, b *bits.Job) int { return a.Created.Compare(b.Created) })
	return jobs
}

// Progress returns the progress of the jobs for which keep is true, and copies nothing else.
func (q *Queue) Progress(keep func(*bits.Job) bool) map[string]bits.JobProgress {
	q.mu.Lock()
	defer q.mu.Unlock()
	all := map[string]bits.JobProgress{}
	for id, e := range q.jobs {
		if keep(e.job) {
			all[id] = e.progress()
		}
	}
	return all
}

// progress counts what has arrived besides what is promised.
func (e *entry) progress() bits.JobProgress {
	p := contract.Progress(e.job)
	if n, received := e.underWay(); n >= 0 {
		p.BytesReceived += received - e.job.Files[n].TransferredBytes()
	}
	return p
}

// underWay returns the file that is being transferred, and how much of it has arrived; -1: none.
func (e *entry) underWay() (file int, received int64) {
	if e.run == nil {
		return -1, 0
	}
	n := int(e.run.file.Load())
	if n >= len(e.job.Files) {
		return -1, 0
	}
	return n, max(e.run.received.Load(), e.job.Files[n].TransferredBytes())
}

// View is what the scheduler sees of a job.
type View struct {
	Job  *bits.Job // not to be changed; its files change while they are transferred, and are not to be read
	Run  *Run
	Turn uint64

	Changes uint64 // grows with each change that JobModification is for
}

// Snapshot returns all jobs, without the live parts.
func (q *Queue) Snapshot() []View { return q.Inspect(func(*bits.Job) bool { return false }) }

// Inspect is [Queue.Snapshot], in which the files of the jobs that are named may be read: they are copies.
func (q *Queue) Inspect(files func(*bits.Job) bool) []View {
	q.mu.Lock()
	defer q.mu.Unlock()
	views := make([]View, 0, len(q.jobs))
	for _, e := range q.jobs {
		job := e.job
		if files(job) {
			job = contract.Clone(job)
		}
		views = append(views, View{job, e.run, e.turn, e.changes})
	}
	return views
}

// Changed returns a channel that is closed at the next change of any job.
func (q *Queue) Changed() <-chan struct{} { return q.hub.Changed() }

// live returns a copy with the fields that are not stored.
func (q *Queue) live(e *entry) *bits.Job { return q.shown(e, q.ahead) }

func (q *Queue) shown(e *entry, ahead func() map[*entry]int) *bits.Job {
	j := contract.Clone(e.job)
	for i := range j.Files {
		j.Files[i].Received = j.Files[i].TransferredBytes()
	}
	if n, received := e.underWay(); n >= 0 {
		j.Files[n].Received = received
	}
	j.Progress = e.progress()
	j.ValidatorAttached = q.hub.Attached(j.ID, notify.Certificates) != nil
	j.NotifyAttached = q.hub.Attached(j.ID, notify.Notifications) != nil
	j.HeaderNames = contract.HeaderNames(j)
	j.Waiting = q.waiting(e, ahead)
	return j
}

// waiting says why the job does not move.
func (q *Queue) waiting(e *entry, ahead func() map[*entry]int) *bits.Waiting {
	j := e.job
	switch j.State {
	case bits.StateSuspended:
		if len(j.Files) == 0 {
			return &bits.Waiting{Code: hresult.BG_E_EMPTY, Reason: "it has no files yet"}
		}
		return &bits.Waiting{Reason: "its owner has not resumed it"}
	case bits.StateConnecting:
		if endpoint := q.hub.Asking(j.ID); endpoint != "" {
			return &bits.Waiting{Reason: "it waits for the application's verdict on the certificate of " + endpoint}
		}
	case bits.StateQueued:
		return &bits.Waiting{Reason: fmt.Sprintf("it waits for its turn; jobs before it: %d", ahead()[e])}
	case bits.StateTransientError:
		if j.Error.Code == hresult.BG_E_NETWORK_DISCONNECTED {
			return &bits.Waiting{Code: j.Error.Code, Reason: "it waits for a network: " + j.Error.Message} // and not for a time
		}
		return &bits.Waiting{Code: j.Error.Code, Reason: j.Error.Message, Until: j.NextRetry}
	case bits.StateError:
		return &bits.Waiting{Code: j.Error.Code, Reason: j.Error.Message}
	case bits.StateTransferred:
		return &bits.Waiting{Reason: "all files are there; its owner has not completed it"}
	}
	return nil
}

// ahead counts for each job the jobs of its owner that run or come before it; FOREGROUND jobs and others do not wait for each other.
func (q *Queue) ahead() map[*entry]int {
	place := func(e *entry) bits.Priority { // what runs is before what waits
		if e.job.State.Running() {
			return -1
		}
		return e.job.Priority
	}
	var line []*entry
	for _, e := range q.jobs {
		if e.job.State.Running() || e.job.State == bits.StateQueued {
			line = append(line, e)
		}
	}
	slices.SortFunc(line, func(a, b *entry) int { return cmp.Or(cmp.Compare(place(a), place(b)), cmp.Compare(a.turn, b.turn)) })
	type of struct {
		owner      string
		foreground bool
	}
	before, counts := map[of]int{}, make(map[*entry]int, len(line))
	for _, e := range line {
		of := of{e.job.Owner, e.job.Priority == bits.Foreground}
		counts[e] = before[of]
		before[of]++
	}
	return counts
}
