// Package notify wakes those who follow events, and carries calls to the application that registered for a job: certificate questions
// and notifications.
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

// CallTime is how long an application has for a notification: BITS waits without end, and so lets four hung calls silence a user.
const CallTime = 10 * time.Minute

// Hub is the meeting point of the service and those who listen.
type Hub struct {
	mu      sync.Mutex
	changed chan struct{}
	current map[key]*Registration
}

// Kind is what an application is attached for.
type Kind int

// The kinds.
const (
	Certificates  Kind = iota // SetServerCertificateValidationInterface
	Notifications             // SetNotifyInterface
)

type key struct {
	job  string
	kind Kind
}

// New returns a Hub.
func New() *Hub {
	return &Hub{changed: make(chan struct{}), current: map[key]*Registration{}}
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

// Registration is one application attached to one job, for as long as its stream of calls is open.
type Registration struct {
	ID string
	Listener
	Calls    chan Call     // read by the stream
	Replaced chan struct{} // closed when another application, or none, took its place

	key     key
	gone    chan struct{} // closed when the application is gone
	pending map[string]pending
}

// Listener is what an application is told, if it is there for notifications.
type Listener struct {
	Takes bits.NotifyFlags // what its object has methods for
	Since uint64           // the changes of the job before it came
}

// Call is one call of the application's object; one of the two is set.
type Call struct {
	Question     *bits.Question
	Notification *bits.Notification
}

// pending is a call that waits for its answer.
type pending struct {
	endpoint string
	answer   chan hresult.Code
}

// Register makes the caller the application of the job, of that kind.
// The one before gets no more calls.
func (h *Hub) Register(job string, kind Kind, l Listener) *Registration {
	h.mu.Lock()
	defer h.mu.Unlock()
	k := key{job, kind}
	h.end(k)
	r := &Registration{
		ID: rand.Text(), Listener: l, Calls: make(chan Call), Replaced: make(chan struct{}),
		key: k, gone: make(chan struct{}), pending: map[string]pending{},
	}
	h.current[k] = r
	return r
}

// Remove ends the registration of the job, if there is one.
func (h *Hub) Remove(job string, kind Kind) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.end(key{job, kind})
}

func (h *Hub) end(k key) {
	if r := h.current[k]; r != nil {
		delete(h.current, k)
		close(r.Replaced)
		close(r.gone)
	}
}

// Gone tells that the application has ended or closed its stream.
// Its open calls are cannot-be-called, not failures of its own.
func (h *Hub) Gone(r *Registration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.current[r.key] == r {
		delete(h.current, r.key)
		close(r.gone)
	}
}

// Attached returns the application that is there to be called for the job, nil if there is none.
func (h *Hub) Attached(job string, kind Kind) *Registration {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.current[key{job, kind}]
}

// Asking returns the server whose certificate the application of the job is judging now, or "".
func (h *Hub) Asking(job string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if r := h.current[key{job, Certificates}]; r != nil {
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
	code, err := h.call(ctx, h.Attached(q.Job, Certificates), q.ID, q.Endpoint, Call{Question: &q}, AnswerTime)
	switch {
	case err == errNobody:
		return CannotBeCalled(q.Endpoint, "the job needs an application to judge it, and none is attached")
	case err == errGone:
		return CannotBeCalled(q.Endpoint, "the application that judges it is gone")
	case err == errSilent:
		return CannotBeCalled(q.Endpoint, "the application did not answer within "+AnswerTime.String())
	case err != nil:
		return err
	}
	return verdict(q.Endpoint, code)
}

// Notify calls the object of an application and returns what that has returned: ERROR_TIMEOUT if it does not within [CallTime].
// An error is [ErrCannotBeCalled], or that of the context.
func (h *Hub) Notify(ctx context.Context, r *Registration, n bits.Notification) (hresult.Code, error) {
	n.ID = rand.Text()
	code, err := h.call(ctx, r, n.ID, "", Call{Notification: &n}, CallTime)
	switch err {
	case errSilent:
		return hresult.ERROR_TIMEOUT, nil
	case errNobody, errGone:
		return 0, ErrCannotBeCalled
	}
	return code, err
}

var (
	errNobody = errors.New("nobody is attached")
	errGone   = errors.New("the application is gone")
	errSilent = errors.New("the application does not answer")
)

func (h *Hub) call(ctx context.Context, r *Registration, id, endpoint string, c Call, patience time.Duration) (hresult.Code, error) {
	if r == nil {
		return 0, errNobody
	}
	select {
	case <-r.gone: // its stream may still be reading
		return 0, errGone
	default:
	}
	answer := make(chan hresult.Code, 1)
	h.mu.Lock()
	r.pending[id] = pending{endpoint, answer}
	h.mu.Unlock()
	defer func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(r.pending, id)
	}()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	calls := r.Calls
	for {
		select {
		case calls <- c:
			calls = nil
		case code := <-answer:
			return code, nil
		case <-r.gone:
			select {
			case code := <-answer: // it answered, and then ended
				return code, nil
			default:
				return 0, errGone
			}
		case <-deadline.C:
			return 0, errSilent
		case <-ctx.Done():
			return 0, ctx.Err()
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

// Answer says what the application returned from a call.
// An answer that is late, foreign or of an earlier registration is refused with BG_E_INVALID_STATE and has no effect.
func (h *Hub) Answer(job string, kind Kind, call, registration string, code hresult.Code) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := h.current[key{job, kind}]
	if r == nil || r.ID != registration {
		return bits.Errorf(hresult.BG_E_INVALID_STATE, "cannot take the answer to %s: its registration is not the current one", call).WithHint("only the application that set itself last may answer")
	}
	asked, ok := r.pending[call]
	if !ok {
		return bits.Errorf(hresult.BG_E_INVALID_STATE, "cannot take the answer to %s: it is not open", call).WithHint("it was answered, or its deadline has passed")
	}
	delete(r.pending, call)
	asked.answer <- code
	return nil
}
