package queue

import "bits"

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
	p := e.job.Count()
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
