package queue

import (
	"fmt"

	"bits"
	"bits/internal/joblog"
)

// log adds a line to the log of a job.
func (q *Queue) log(j *bits.Job, text string) {
	q.store.Log(joblog.New(j, joblog.MaskOf(j), joblog.State, -1, text))
}

// Log adds a line to the log of the job, without what is secret in it; file is -1 if it is about none.
func (r *Run) Log(kind string, file int, format string, args ...any) {
	r.q.store.Log(joblog.New(r.job, *r.mask.Load(), kind, file, fmt.Sprintf(format, args...)))
}

// Hide hides secrets, which the run has found elsewhere than in its job, in the lines that come from now on.
func (r *Run) Hide(secrets ...string) {
	for old := r.mask.Load(); !r.mask.CompareAndSwap(old, new(old.With(secrets...))); old = r.mask.Load() {
	}
}
