package bits

// Callbacks are the names of the interfaces that an application can implement to be notified, each an extension of the one before.
// The local API takes them in the place of the pointer.
var Callbacks = []string{"IBackgroundCopyCallback", "IBackgroundCopyCallback2", "IBackgroundCopyCallback3"}

// The calls of the callback interfaces, as the field Kind of a Notification has them.
const (
	JobTransferredCall        = "JobTransferred"        // flag 0x01; kept until S_OK
	JobErrorCall              = "JobError"              // flag 0x02; kept until S_OK
	JobModificationCall       = "JobModification"       // flag 0x08; not kept
	FileTransferredCall       = "FileTransferred"       // flag 0x10; IBackgroundCopyCallback2; kept until a success
	FileRangesTransferredCall = "FileRangesTransferred" // flag 0x20; IBackgroundCopyCallback3; not kept
)

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
