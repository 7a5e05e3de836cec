package notify_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"bits"
	"bits/hresult"
	"bits/internal/notify"
)

func code(err error) hresult.Code {
	if err == nil {
		return 0
	}
	return bits.AsError(err).Code
}

// Whatever the application does or fails to do, a question ends: with its verdict, or as "cannot be called".
func TestAsk(t *testing.T) {
	const cannot = hresult.BG_E_SERVER_CERT_VALIDATION_INTERFACE_REQUIRED
	for name, c := range map[string]struct {
		application func(h *notify.Hub, r *notify.Registration)
		want        hresult.Code
		after       time.Duration
	}{
		"accepts": {func(h *notify.Hub, r *notify.Registration) {
			q := (<-r.Calls).Question
			h.Answer("job", notify.Certificates, q.ID, r.ID, 0)
		}, 0, 0},
		"declines, after a while": {func(h *notify.Hub, r *notify.Registration) {
			q := (<-r.Calls).Question
			time.Sleep(29 * time.Second)
			h.Answer("job", notify.Certificates, q.ID, r.ID, 0x80041234)
		}, 0x80041234, 29 * time.Second},
		"declines with a success": {func(h *notify.Hub, r *notify.Registration) {
			q := (<-r.Calls).Question
			h.Answer("job", notify.Certificates, q.ID, r.ID, 1)
		}, hresult.E_FAIL, 0},
		"never reads":   {func(*notify.Hub, *notify.Registration) {}, cannot, 30 * time.Second},
		"never answers": {func(_ *notify.Hub, r *notify.Registration) { <-r.Calls }, cannot, 30 * time.Second},
		"dies": {func(h *notify.Hub, r *notify.Registration) {
			<-r.Calls
			time.Sleep(time.Second)
			h.Gone(r)
		}, cannot, time.Second},
		"is replaced": {func(h *notify.Hub, r *notify.Registration) {
			<-r.Calls
			h.Register("job", notify.Certificates, notify.Listener{})
		}, cannot, 0},
		"answers too late": {func(h *notify.Hub, r *notify.Registration) {
			q := (<-r.Calls).Question
			time.Sleep(31 * time.Second)
			if err := h.Answer("job", notify.Certificates, q.ID, r.ID, 0); code(err) != hresult.BG_E_INVALID_STATE {
				panic("a late verdict was taken")
			}
		}, cannot, 30 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := notify.New()
				r := h.Register("job", notify.Certificates, notify.Listener{})
				var application sync.WaitGroup
				application.Go(func() { c.application(h, r) })
				defer application.Wait()
				began := time.Now()
				err := h.Ask(context.Background(), bits.Question{Job: "job", Endpoint: "a:443"})
				if code(err) != c.want || time.Since(began) != c.after {
					t.Errorf("%v after %v, want %v after %v", err, time.Since(began), c.want, c.after)
				}
				if err != nil && bits.AsError(err).Context != bits.ContextCertificateCallback {
					t.Errorf("context %v", bits.AsError(err).Context)
				}
			})
		})
	}
}

func TestNobodyToAsk(t *testing.T) {
	err := notify.New().Ask(context.Background(), bits.Question{Job: "job"})
	if code(err) != hresult.BG_E_SERVER_CERT_VALIDATION_INTERFACE_REQUIRED {
		t.Error(err)
	}
}

func TestAskEndsWithItsContext(t *testing.T) {
	h := notify.New()
	h.Register("job", notify.Certificates, notify.Listener{})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := h.Ask(ctx, bits.Question{Job: "job"}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// Many questions at once, each gets its own answer.
func TestManyQuestions(t *testing.T) {
	h := notify.New()
	r := h.Register("job", notify.Certificates, notify.Listener{})
	go func() {
		for c := range r.Calls {
			q := c.Question
			h.Answer("job", notify.Certificates, q.ID, r.ID, hresult.Code(0x80040000+q.File))
		}
	}()
	var all sync.WaitGroup
	for i := range 50 {
		all.Go(func() {
			if err := h.Ask(context.Background(), bits.Question{Job: "job", File: i}); code(err) != hresult.Code(0x80040000+i) {
				t.Errorf("question %d: %v", i, err)
			}
		})
	}
	all.Wait()
}

func TestWake(t *testing.T) {
	h := notify.New()
	before := h.Changed()
	h.Wake()
	<-before
	select {
	case <-h.Changed():
		t.Error("woken twice")
	default:
	}
}

// An object that was removed is not called any more, though its stream may still be reading: what it would be told may be another's.
func TestNotifyAfterItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := notify.New()
		for range 50 {
			r := h.Register("job", notify.Notifications, notify.Listener{})
			ctx, cancel := context.WithCancel(context.Background())
			go func() {
				select {
				case <-r.Calls:
					t.Error("it was called")
				case <-ctx.Done():
				}
			}()
			synctest.Wait()
			h.Remove("job", notify.Notifications)
			if _, err := h.Notify(ctx, r, bits.Notification{}); !errors.Is(err, notify.ErrCannotBeCalled) {
				t.Error(err)
			}
			cancel()
		}
	})
}
