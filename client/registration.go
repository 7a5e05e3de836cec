package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"bits"
	"bits/hresult"
	"bits/internal/wire"
)

// registration is a callback object that is set on a job, for as long as its stream of calls is open.
type registration struct {
	id string // towards the service

	client *Client
	path   string
	cancel context.CancelCauseFunc
	done   chan struct{}
	err    error
}

// Ends of a registration, as returned by Err.
var (
	ErrReplaced = errors.New("another application, or none, was set in the place of this one, or the job has left the queue")
	ErrClosed   = errors.New("the registration was closed")
)

// answerer calls the object and returns the id of the call with what it returned; an empty id is no answer.
type answerer func(ctx context.Context, item wire.Item) (id string, code hresult.Code)

// register opens the stream and answers its calls beside all else.
func (c *Client) register(ctx context.Context, job, what string, body any, answer answerer) (*registration, error) {
	r := &registration{client: c, path: "/jobs/" + url.PathEscape(job) + "/" + what, done: make(chan struct{})}
	life, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { cancel(context.Cause(ctx)) })
	resp, err := c.open(life, "POST", r.path, body)
	if err != nil {
		cancel(nil)
		return nil, err
	}
	dec := json.NewDecoder(resp.Body)
	var first wire.Item
	err = dec.Decode(&first)
	if !stop() || err != nil || first.Registration == "" {
		cancel(nil)
		resp.Body.Close()
		return nil, c.unreachable(errors.Join(errors.New("the stream of calls did not begin"), err))
	}
	r.id, r.cancel = first.Registration, cancel
	go r.serve(life, resp, dec, answer)
	return r, nil
}

func (r *registration) serve(life context.Context, resp *http.Response, dec *json.Decoder, answer answerer) {
	defer close(r.done)
	defer resp.Body.Close()
	defer r.cancel(nil)
	for {
		var item wire.Item
		if err := dec.Decode(&item); err != nil {
			if r.err = context.Cause(life); r.err == nil {
				r.err = r.client.unreachable(fmt.Errorf("the stream of calls ended: %w", err))
			}
			return
		}
		if item.Replaced {
			r.err = ErrReplaced
			return
		}
		go r.answer(life, item, answer)
	}
}

// answer calls the object and sends what it returned.
// A panic closes the registration: the object could not be called, and cannot be any more.
func (r *registration) answer(ctx context.Context, item wire.Item, answer answerer) {
	defer func() {
		if p := recover(); p != nil {
			r.cancel(fmt.Errorf("the callback panicked: %v", p))
		}
	}()
	id, code := answer(ctx, item)
	if id == "" || ctx.Err() != nil {
		return
	}
	r.client.Do(ctx, "POST", r.path+"/"+url.PathEscape(id), wire.Verdict{Registration: r.id, Code: &code}, nil)
}

// returned is the HRESULT of what a callback returned.
func returned(err error) hresult.Code {
	if err == nil {
		return hresult.S_OK
	}
	if code := bits.AsError(err).Code; code.Failed() {
		return code
	}
	return hresult.E_FAIL
}

func (r *registration) close() {
	r.cancel(ErrClosed)
	<-r.done
}

func (r *registration) why() error {
	<-r.done
	return r.err
}
