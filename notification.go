package bits

// Notification is one call of the callback object of a job.
type Notification struct {
	ID     string      `json:"id"`               // of this call: the answer names it
	N      int64       `json:"n,omitempty"`      // of what happened, counted in the job; the same when it is told again; 0: it is not kept
	Kind   string      `json:"kind"`             // the name of the method
	Job    Job         `json:"job"`              // as it is now; without its files in the two calls about a file
	File   *File       `json:"file,omitempty"`   // of the two calls about a file
	Ranges []FileRange `json:"ranges,omitempty"` // of FileRangesTransferred: what is new on stable storage
	Error  *JobError   `json:"error,omitempty"`  // of JobError
}

// Notice is what must be told to the application of a job: that the job is TRANSFERRED or ERROR, or that a file has arrived.
// It is kept with the job until somebody has taken it.
type Notice struct {
	N     int64 `json:"n"`               // counted in the job, from 1
	Taken bool  `json:"taken,omitempty"` // a callback returned success, or a command ended with 0
}
