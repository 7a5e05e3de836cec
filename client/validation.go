package client

import (
	"context"
	"net/url"
	"time"

	"bits"
	"bits/hresult"
	"bits/internal/wire"
)

// ServerCertificateValidationCallback judges the certificates of a job's servers
// (IBackgroundCopyServerCertificateValidationCallback).
type ServerCertificateValidationCallback interface {
	// ValidateServerCertificate is called in the middle of a TLS handshake, before a byte of the request is sent, when the checks of
	// the platform have passed and the job has not accepted this certificate at this endpoint before.
	//
	// Nil accepts. An error declines: a *bits.Error with its code, any other error with E_FAIL. The job becomes TRANSIENT_ERROR, and
	// the callback is asked again at the next attempt.
	// It has 30 seconds; later, or with a panic, it could not be called, and the job becomes ERROR with
	// BG_E_SERVER_CERT_VALIDATION_INTERFACE_REQUIRED.
	// The context ends with the registration. Methods of the Client may be called from within.
	ValidateServerCertificate(ctx context.Context, q bits.Question) error
}

// Validation is the registration of a callback that judges certificates.
// It ends when another application sets itself on the job, when it is closed, when this process ends, or with the service.
type Validation struct {
	// Registration names it towards the service.
	Registration string

	registration *registration
}

// Close ends the registration; the requirement stays.
func (v *Validation) Close() { v.registration.close() }

// Done is closed when the registration has ended.
func (v *Validation) Done() <-chan struct{} { return v.registration.done }

// Err says why it ended, once Done is closed: [ErrReplaced], [ErrClosed], or that the service went away.
func (v *Validation) Err() error { return v.registration.why() }

// SetServerCertificateValidation is SetServerCertificateValidationInterface: from now on the callback judges the certificates of
// the job's servers.
//
// The callback must implement [ServerCertificateValidationCallback], else E_NOINTERFACE; nil removes the present one and returns nil.
// Allowed while the job is SUSPENDED, ERROR or TRANSFERRED, else BG_E_READ_ONLY_WHEN_JOB_ACTIVE.
// The memory of accepted certificates is emptied.
// The requirement survives everything; the registration ends with this process, see [Client.NeedingValidation].
// The context is for the call, not for the registration.
func (c *Client) SetServerCertificateValidation(ctx context.Context, job string, callback any) (*Validation, error) {
	if callback == nil {
		return nil, c.Do(ctx, "DELETE", "/jobs/"+url.PathEscape(job)+"/certificate-validation", nil, nil)
	}
	return c.judge(ctx, job, callback, false)
}

// Attach sets the callback on a job in any state but a final one: it does in one step what Suspend, SetServerCertificateValidation
// and Resume do, so that an application that dies in it leaves no job SUSPENDED.
// A job that was SUSPENDED or TRANSFERRED stays so; any other is QUEUED.
// It is the route for an application that comes back.
func (c *Client) Attach(ctx context.Context, job string, callback ServerCertificateValidationCallback) (*Validation, error) {
	return c.judge(ctx, job, callback, true)
}

func (c *Client) judge(ctx context.Context, job string, callback any, attach bool) (*Validation, error) {
	callee, ok := callback.(ServerCertificateValidationCallback)
	if !ok {
		return nil, bits.Errorf(hresult.E_NOINTERFACE, "cannot set a %T as the validator of job %s: it does not implement ServerCertificateValidationCallback", callback, job)
	}
	body := wire.SetValidation{Interface: bits.ValidationCallback, Attach: attach}
	r, err := c.register(ctx, job, "certificate-validation", body, func(ctx context.Context, item wire.Item) (string, hresult.Code) {
		q := item.Question
		if q == nil {
			return "", 0
		}
		code := returned(callee.ValidateServerCertificate(ctx, *q))
		if time.Now().After(q.Deadline) {
			return "", 0 // it could not be called: what it says now is no verdict
		}
		return q.ID, code
	})
	if err != nil {
		return nil, err
	}
	return &Validation{r.id, r}, nil
}
