// Package notify wakes those who follow events, and carries certificate questions to the application that registered for a job.
//
// It holds no events itself: a follower that is woken reads what is new from the store, so a slow one loses nothing and costs nothing.
package notify

import (
	"context"
	"crypto/rand"
	"errors"
	"sync"
	"time"

	"bits"
	"bits/hresult"
)

// AnswerTime is how long an application has for its verdict.
const AnswerTime = 30 * time.Second

// Hub is the meeting point of the service and those who listen.
type Hub struct {
	mu      sync.Mutex
	changed chan struct{}
	current map[string]*Registration // by job
}

// New returns a Hub.
func New() *Hub {
	return &Hub{changed: make(chan struct{}), current: map[string]*Registration{}}
}

// Wake wakes every follower.
func (h *Hub) Wake() {
	h.mu.Lock()
	defer h.mu.Unlock()
	close(h.changed)
	h.changed = make(chan struct{})
}

// Changed returns a channel that is closed at the next Wake.
// Take it before reading the state, and nothing is missed.
func (h *Hub) Changed() <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.changed
}

// Registration is one application attached to one job, for as long as its stream of questions is open.
type Registration struct {
	ID        string
	Job       string
	Questions chan bits.Question // read by the stream
	Replaced  chan struct{}      // closed when another application, or none, took its place

	gone    chan struct{} // closed when the application is gone
	pending map[string]pending
}

// pending is a question that waits for its verdict.
type pending struct {
	endpoint string
	verdict  chan hresult.Code
}

// Register makes the caller the application of the job.
// The one before gets no more questions.
func (h *Hub) Register(job string) *Registration {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.end(job)
	r := &Registration{
		ID: rand.Text(), Job: job,
		Questions: make(chan bits.Question), Replaced: make(chan struct{}),
		gone: make(chan struct{}), pending: map[string]pending{},
	}
	h.current[job] = r
	return r
}

// Remove ends the registration of the job, if there is one.
func (h *Hub) Remove(job string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.end(job)
}

func (h *Hub) end(job string) {
	if r := h.current[job]; r != nil {
		delete(h.current, job)
		close(r.Replaced)
		close(r.gone)
	}
}

// Gone tells that the application has ended or closed its stream.
// Its open questions are cannot-be-called, not declines.
func (h *Hub) Gone(r *Registration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.current[r.Job] == r {
		delete(h.current, r.Job)
		close(r.gone)
	}
}

// Attached reports whether an application is there to be asked for the job.
func (h *Hub) Attached(job string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.current[job] != nil
}

// Asking returns the server whose certificate the application of the job is judging now, or "".
func (h *Hub) Asking(job string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if r := h.current[job]; r != nil {
		for _, p := range r.pending {
			return p.endpoint
		}
	}
	return ""
}

// Count is the number of applications attached.
func (h *Hub) Count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.current)
}

// ErrCannotBeCalled is what errors.Is finds in every [CannotBeCalled].
// An application may decline with the same code, which is a decline.
var ErrCannotBeCalled = errors.New("the application cannot be called")

// CannotBeCalled is the error of a question that reached nobody, or got no answer.
func CannotBeCalled(endpoint, why string) *bits.Error {
	e := bits.Errorf(hresult.BG_E_SERVER_CERT_VALIDATION_INTERFACE_REQUIRED, "cannot ask about the certificate of %s: %s", endpoint, why)
	e.Err = ErrCannotBeCalled
	return e.In(bits.ContextCertificateCallback)
}

// Ask asks the application of the job and waits for its verdict.
// Nil accepts; a decline carries the application's own code; everything else is [CannotBeCalled].
// No lock is held while the application thinks.
func (h *Hub) Ask(ctx context.Context, q bits.Question) error {
	q.ID = rand.Text()
	q.Deadline = time.Now().Add(AnswerTime)
	answer := make(chan hresult.Code, 1)
	h.mu.Lock()
	r := h.current[q.Job]
	if r != nil {
		r.pending[q.ID] = pending{q.Endpoint, answer}
	}
	h.mu.Unlock()
	if r == nil {
		return CannotBeCalled(q.Endpoint, "the job needs an application to judge it, and none is attached")
	}
	defer func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(r.pending, q.ID)
	}()
	deadline := time.NewTimer(AnswerTime)
	defer deadline.Stop()
	questions := r.Questions
	for {
		select {
		case questions <- q:
			questions = nil
		case code := <-answer:
			return verdict(q.Endpoint, code)
		case <-r.gone:
			return CannotBeCalled(q.Endpoint, "the application that judges it is gone")
		case <-deadline.C:
			return CannotBeCalled(q.Endpoint, "the application did not answer within "+AnswerTime.String())
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func verdict(endpoint string, code hresult.Code) error {
	if code == hresult.S_OK {
		return nil
	}
	if !code.Failed() {
		code = hresult.E_FAIL
	}
	e := bits.Errorf(code, "cannot go on with %s: the application declined its certificate", endpoint).In(bits.ContextCertificateCallback)
	return e.WithHint("the application decides; it is asked again at the next attempt")
}

// Answer gives the verdict on a question.
// One that is late, foreign or of an earlier registration is refused with BG_E_INVALID_STATE and has no effect.
func (h *Hub) Answer(job, question, registration string, code hresult.Code) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := h.current[job]
	if r == nil || r.ID != registration {
		return bits.Errorf(hresult.BG_E_INVALID_STATE, "cannot take the verdict on question %s: its registration is not the current one", question).WithHint("only the application that set itself last may answer")
	}
	asked, ok := r.pending[question]
	if !ok {
		return bits.Errorf(hresult.BG_E_INVALID_STATE, "cannot take the verdict on question %s: it is not open", question).WithHint("it was answered, or its deadline has passed")
	}
	delete(r.pending, question)
	asked.verdict <- code
	return nil
}
