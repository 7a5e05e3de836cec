package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
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

// Validation is the registration of a callback.
// It ends when another application sets itself on the job, when it is closed, when this process ends, or with the service.
type Validation struct {
	// Registration names it towards the service.
	Registration string

	client *Client
	job    string
	cancel context.CancelCauseFunc
	done   chan struct{}
	err    error
}

// Ends of a registration, as returned by [Validation.Err].
var (
	ErrReplaced = errors.New("another application, or none, was set to judge the certificates of this job")
	ErrClosed   = errors.New("the registration was closed")
)

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
	return c.register(ctx, job, callback, false)
}

// Attach sets the callback on a job in any state but a final one: it does in one step what Suspend, SetServerCertificateValidation
// and Resume do, so that an application that dies in it leaves no job SUSPENDED.
// A job that was SUSPENDED or TRANSFERRED stays so; any other is QUEUED.
// It is the route for an application that comes back.
func (c *Client) Attach(ctx context.Context, job string, callback ServerCertificateValidationCallback) (*Validation, error) {
	return c.register(ctx, job, callback, true)
}

func (c *Client) register(ctx context.Context, job string, callback any, attach bool) (*Validation, error) {
	judge, ok := callback.(ServerCertificateValidationCallback)
	if !ok {
		return nil, bits.Errorf(hresult.E_NOINTERFACE, "cannot set a %T as the validator of job %s: it does not implement ServerCertificateValidationCallback", callback, job)
	}
	path := "/jobs/" + url.PathEscape(job) + "/certificate-validation"
	body := wire.SetValidation{Interface: bits.ValidationCallback, Attach: attach}
	life, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { cancel(context.Cause(ctx)) })
	resp, err := c.open(life, "POST", path, body)
	if err != nil {
		cancel(nil)
		return nil, err
	}
	dec := json.NewDecoder(resp.Body)
	var first wire.ValidationItem
	err = dec.Decode(&first)
	if !stop() || err != nil || first.Registration == "" {
		cancel(nil)
		resp.Body.Close()
		return nil, c.unreachable(errors.Join(errors.New("the stream of questions did not begin"), err))
	}
	v := &Validation{Registration: first.Registration, client: c, job: job, cancel: cancel, done: make(chan struct{})}
	go v.serve(life, resp, dec, judge)
	return v, nil
}

func (v *Validation) serve(life context.Context, resp *http.Response, dec *json.Decoder, judge ServerCertificateValidationCallback) {
	defer close(v.done)
	defer resp.Body.Close()
	defer v.cancel(nil)
	for {
		var item wire.ValidationItem
		if err := dec.Decode(&item); err != nil {
			if v.err = context.Cause(life); v.err == nil {
				v.err = v.client.unreachable(fmt.Errorf("the stream of questions ended: %w", err))
			}
			return
		}
		switch {
		case item.Replaced:
			v.err = ErrReplaced
			return
		case item.Question != nil:
			go v.answer(life, *item.Question, judge)
		}
	}
}

// answer asks the callback and sends its verdict.
// A panic closes the registration: the callback could not be called.
func (v *Validation) answer(ctx context.Context, q bits.Question, judge ServerCertificateValidationCallback) {
	defer func() {
		if p := recover(); p != nil {
			v.cancel(fmt.Errorf("the callback panicked: %v", p))
		}
	}()
	code := hresult.S_OK
	if err := judge.ValidateServerCertificate(ctx, q); err != nil {
		if code = bits.AsError(err).Code; !code.Failed() {
			code = hresult.E_FAIL
		}
	}
	if ctx.Err() != nil || time.Now().After(q.Deadline) {
		return // it could not be called: what it says now is no verdict
	}
	verdict := wire.Verdict{Registration: v.Registration, Code: &code}
	v.client.Do(ctx, "POST", "/jobs/"+url.PathEscape(v.job)+"/certificate-validation/"+url.PathEscape(q.ID), verdict, nil)
}

// Close ends the registration; the requirement stays.
func (v *Validation) Close() {
	v.cancel(ErrClosed)
	<-v.done
}

// Done is closed when the registration has ended.
func (v *Validation) Done() <-chan struct{} { return v.done }

// Err says why it ended, once Done is closed: [ErrReplaced], [ErrClosed], or that the service went away.
func (v *Validation) Err() error {
	<-v.done
	return v.err
}
