package queue

import (
	"fmt"
	"time"

	"bits"
	"bits/internal/contract"
	"bits/internal/joblog"
)

// log adds a line to the log of a job.
func (q *Queue) log(j *bits.Job, text string) {
	q.store.Log(joblog.New(j, joblog.MaskOf(j), joblog.State, -1, text))
}

// Log adds a line to the log of the job, without what is secret in it; file is -1 if it is about none.
func (r *Run) Log(kind string, file int, format string, args ...any) {
	r.q.store.Log(joblog.New(r.job, r.mask, kind, file, fmt.Sprintf(format, args...)))
}

func (r *Run) ended(j *bits.Job, err error) {
	r.Log(joblog.Run, -1, "%s", joblog.EndText(contract.Progress(j), time.Since(r.Started), err))
}
