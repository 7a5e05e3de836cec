package notify

import "bits"

// Number numbers what the application of a job must be told of after a change: files that have arrived, then that the job is
// TRANSFERRED or ERROR.
// It is recorded with the change itself, so a crash between the two is not possible.
func Number(old, j *bits.Job, files []*bits.File) {
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
	case j.Notice == nil || Arrived(old, j):
		j.Notice = next()
	}
}

// Arrived reports whether a change is the entry into TRANSFERRED or ERROR, or another error: it has a call of its own.
func Arrived(old, j *bits.Job) bool {
	return (j.State == bits.StateTransferred || j.State == bits.StateError) && (j.State != old.State || j.Error != old.Error)
}
