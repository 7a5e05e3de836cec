package client

import (
	"context"
	"net/url"

	"bits"
	"bits/hresult"
	"bits/internal/wire"
)

// Callback is told what happens to a job (IBackgroundCopyCallback).
//
// Nil is S_OK; an error is its HRESULT, E_FAIL for one that is no *bits.Error.
// Calls may come at the same time, and methods of the Client may be called from within.
// The context ends with the registration. After ten minutes a call has failed; with a panic the registration ends.
// JobTransferred, JobError and FileTransferred come at least once: what was not answered with success is told again, with the same
// number [bits.Notification] N.
type Callback interface {
	// JobTransferred: the job is TRANSFERRED, or, if it completes by itself, ACKNOWLEDGED.
	// After an error the notification command of the job runs, or, without one, the call is repeated.
	JobTransferred(ctx context.Context, job bits.Job) error
	// JobError: the job is ERROR, with this error. As JobTransferred.
	JobError(ctx context.Context, job bits.Job, e bits.JobError) error
	// JobModification: something else has changed. It may be left out when much happens, and come late.
	JobModification(ctx context.Context, job bits.Job) error
}

// Callback2 is told of each file besides (IBackgroundCopyCallback2).
type Callback2 interface {
	Callback
	// FileTransferred: one file of a download has arrived. They come one after another, each repeated until it succeeds, and all before
	// JobTransferred or JobError of the job, whose Files are not filled in here.
	FileTransferred(ctx context.Context, job bits.Job, file bits.File) error
}

// Callback3 is told besides which parts of a file have arrived (IBackgroundCopyCallback3).
type Callback3 interface {
	Callback2
	// FileRangesTransferred: these ranges are new on stable storage. It is not repeated.
	FileRangesTransferred(ctx context.Context, job bits.Job, file bits.File, ranges []bits.FileRange) error
}

// Notification is the registration of a callback that is told what happens.
// It ends as a [Validation] does, and when the last was told of a job that was completed or cancelled.
type Notification struct {
	// Registration names it towards the service.
	Registration string

	registration *registration
}

// Close ends the registration.
func (n *Notification) Close() { n.registration.close() }

// Done is closed when the registration has ended.
func (n *Notification) Done() <-chan struct{} { return n.registration.done }

// Err says why it ended, once Done is closed: [ErrReplaced], [ErrClosed], or that the service went away.
func (n *Notification) Err() error { return n.registration.why() }

// SetNotifyInterface is IBackgroundCopyJob::SetNotifyInterface: from now on the callback is told what the flags of the job ask for
// (the property notify_flags), also of what happened before.
//
// The callback implements [Callback], perhaps [Callback2] or [Callback3], else E_NOINTERFACE; nil removes the present one and returns
// nil. BG_E_INVALID_STATE for a job that was completed or cancelled.
// One callback is set on a job, the last one. It is not kept: an application sets it again when it starts, and is then told of all that
// the job is, what the callback before had taken included.
// The context is for the call, not for the registration.
func (c *Client) SetNotifyInterface(ctx context.Context, job string, callback any) (*Notification, error) {
	const what = "notify-interface"
	if callback == nil {
		return nil, c.Do(ctx, "DELETE", "/jobs/"+url.PathEscape(job)+"/"+what, nil, nil)
	}
	first, ok := callback.(Callback)
	if !ok {
		return nil, bits.Errorf(hresult.E_NOINTERFACE, "cannot set a %T as the notify interface of job %s: it does not implement Callback", callback, job)
	}
	second, _ := callback.(Callback2)
	third, _ := callback.(Callback3)
	implements := 1
	if second != nil {
		implements++
	}
	if third != nil {
		implements++
	}
	r, err := c.register(ctx, job, what, wire.SetNotify{Interfaces: wire.Callbacks[:implements]}, func(ctx context.Context, item wire.Item) (string, hresult.Code) {
		told := item.Notification
		if told == nil {
			return "", 0
		}
		var err error
		switch {
		case told.Kind == wire.JobTransferredCall:
			err = first.JobTransferred(ctx, told.Job)
		case told.Kind == wire.JobErrorCall && told.Error != nil:
			err = first.JobError(ctx, told.Job, *told.Error)
		case told.Kind == wire.JobModificationCall:
			err = first.JobModification(ctx, told.Job)
		case told.Kind == wire.FileTransferredCall && second != nil && told.File != nil:
			err = second.FileTransferred(ctx, told.Job, *told.File)
		case told.Kind == wire.FileRangesTransferredCall && third != nil && told.File != nil:
			err = third.FileRangesTransferred(ctx, told.Job, *told.File, told.Ranges)
		default:
			err = bits.Errorf(hresult.E_NOTIMPL, "cannot take %q", told.Kind)
		}
		return told.ID, returned(err)
	})
	if err != nil {
		return nil, err
	}
	return &Notification{r.id, r}, nil
}
