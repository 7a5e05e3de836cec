package tests

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"bits"
	"bits/client"
	"bits/client/bitstest"
	"bits/hresult"
	"bits/internal/wire"
)

// listener implements all callback interfaces; what it was told is in told.
type listener struct {
	told   chan string
	answer func(kind string, job bits.Job) error // nil: S_OK
}

func newListener(answer func(kind string, job bits.Job) error) *listener {
	return &listener{make(chan string, 1000), answer}
}

func (l *listener) tell(kind string, job bits.Job, rest string) error {
	l.told <- strings.TrimSpace(kind + " " + rest)
	if l.answer == nil {
		return nil
	}
	return l.answer(kind, job)
}

func (l *listener) JobTransferred(_ context.Context, job bits.Job) error {
	return l.tell(wire.JobTransferredCall, job, job.State.String())
}

func (l *listener) JobError(_ context.Context, job bits.Job, e bits.JobError) error {
	return l.tell(wire.JobErrorCall, job, e.Code.Name())
}

func (l *listener) JobModification(_ context.Context, job bits.Job) error {
	return l.tell(wire.JobModificationCall, job, "")
}

func (l *listener) FileTransferred(_ context.Context, job bits.Job, file bits.File) error {
	return l.tell(wire.FileTransferredCall, job, filepath.Base(file.LocalName))
}

func (l *listener) FileRangesTransferred(_ context.Context, job bits.Job, file bits.File, ranges []bits.FileRange) error {
	return l.tell(wire.FileRangesTransferredCall, job, fmt.Sprint(filepath.Base(file.LocalName), ranges))
}

// next is what is told next, but for modifications.
func (l *listener) next(t *testing.T) string {
	t.Helper()
	patience := time.After(30 * time.Second)
	for {
		select {
		case what := <-l.told:
			if what != wire.JobModificationCall {
				return what
			}
		case <-patience:
			t.Fatal("nothing is told")
		}
	}
}

func (l *listener) want(t *testing.T, all ...string) {
	t.Helper()
	for _, want := range all {
		if got := l.next(t); got != want {
			t.Fatalf("told %q, want %q", got, want)
		}
	}
}

func setListener(t *testing.T, s *bitstest.Service, job string, callback any) *client.Notification {
	t.Helper()
	n, err := s.SetNotifyInterface(ctx, job, callback)
	bitstest.Must(t, err)
	return n
}

// All callbacks of a job, each with what it is about; the last may complete the job, and the registration ends with it.
func TestNotify(t *testing.T) {
	t.Parallel()
	s, o := bitstest.Start(t), bitstest.NewOrigin(t)
	o.File("/a", bitstest.Content(1, 1000))
	o.File("/b", bitstest.Content(2, 2000))
	job := s.NewJob(map[string]any{"notify_flags": 0x3b, "minimum_notification_interval": 0}, o.Plain+"/a", o.Plain+"/b")
	modified := false
	l := newListener(func(kind string, j bits.Job) error {
		if j.ID != job.ID {
			t.Errorf("told of job %s", j.ID)
		}
		if kind == wire.JobTransferredCall {
			_, err := s.Complete(ctx, j.ID)
			return err
		}
		return nil
	})
	n := setListener(t, s, job.ID, l)
	if attached, code := notified(t, s, job.ID); !attached || code != hresult.S_OK {
		t.Errorf("GetNotifyInterface: %v, %v", attached, code)
	}
	bitstest.Must(t, s.Resume(ctx, job.ID))
	<-n.Done()
	if !errors.Is(n.Err(), client.ErrReplaced) {
		t.Error(n.Err())
	}
	close(l.told)
	var kept, ranges []string
	for what := range l.told {
		switch kind, rest, _ := strings.Cut(what, " "); kind {
		case wire.JobModificationCall:
			modified = true
		case wire.FileRangesTransferredCall:
			ranges = append(ranges, rest)
		default:
			kept = append(kept, what)
		}
	}
	slices.Sort(ranges)
	if want := []string{"FileTransferred a", "FileTransferred b", "JobTransferred TRANSFERRED"}; !slices.Equal(kept, want) || !modified {
		t.Errorf("told %v (modified: %v)", kept, modified)
	}
	if want := []string{"a[{0 1000}]", "b[{0 2000}]"}; !slices.Equal(ranges, want) {
		t.Errorf("ranges %v", ranges)
	}
	wantState(t, s, job.ID, bits.StateAcknowledged)
}

func notified(t *testing.T, s *bitstest.Service, job string) (attached bool, code hresult.Code) {
	t.Helper()
	code, err := s.Property(ctx, job, "notify_interface", &attached)
	bitstest.Must(t, err)
	return attached, code
}

// An error is told with its error object; what the callback fails to take is told again.
func TestNotifyError(t *testing.T) {
	t.Parallel()
	s, o := bitstest.Start(t), bitstest.NewOrigin(t)
	job := s.NewJob(nil, o.Plain+"/missing")
	first := true
	l := newListener(func(kind string, j bits.Job) error {
		if first = !first; !first {
			return errors.New("not now")
		}
		return nil
	})
	n := setListener(t, s, job.ID, l)
	bitstest.Must(t, s.Resume(ctx, job.ID))
	began := time.Now()
	l.want(t, "JobError BG_E_HTTP_ERROR_404")
	l.want(t, "JobError BG_E_HTTP_ERROR_404")
	if after := time.Since(began); after < 900*time.Millisecond {
		t.Errorf("told again after %v", after)
	}
	s.Until(job.ID, func(j *bits.Job) bool { return j.Notice != nil && j.Notice.Taken })
	n.Close()
	s.Until(job.ID, func(j *bits.Job) bool { return !j.NotifyAttached })
	again := newListener(nil)
	defer setListener(t, s, job.ID, again).Close()
	again.want(t, "JobError BG_E_HTTP_ERROR_404")
}

// SetNotifyInterface is allowed in every state but the final ones; the last one counts, and null removes it.
func TestSetNotifyByState(t *testing.T) {
	t.Parallel()
	for state := bits.StateQueued; state <= bits.StateCancelled; state++ {
		t.Run(state.String(), func(t *testing.T) {
			t.Parallel()
			s, o := bitstest.Start(t), bitstest.NewOrigin(t)
			job := inState(t, s, o, state)
			first, err := s.SetNotifyInterface(ctx, job.ID, newListener(nil))
			if state.Final() {
				_, null := s.SetNotifyInterface(ctx, job.ID, nil)
				if !errors.Is(err, bits.ErrInvalidState) || !errors.Is(null, bits.ErrInvalidState) {
					t.Errorf("%v, and null %v", err, null)
				}
				return
			}
			bitstest.Must(t, err)
			second := setListener(t, s, job.ID, newListener(nil))
			if <-first.Done(); !errors.Is(first.Err(), client.ErrReplaced) {
				t.Error(first.Err())
			}
			if attached, _ := notified(t, s, job.ID); !attached {
				t.Error("GetNotifyInterface: none")
			}
			_, err = s.SetNotifyInterface(ctx, job.ID, nil)
			bitstest.Must(t, err)
			if <-second.Done(); !errors.Is(second.Err(), client.ErrReplaced) {
				t.Error(second.Err())
			}
			if attached, _ := notified(t, s, job.ID); attached {
				t.Error("GetNotifyInterface: there is one after null")
			}
		})
	}
}

// only implements IBackgroundCopyCallback alone.
type only struct{ client.Callback }

func TestNotifyInterfaces(t *testing.T) {
	t.Parallel()
	s, o := bitstest.Start(t), bitstest.NewOrigin(t)
	o.File("/a", []byte("a"))
	job := s.NewJob(map[string]any{"notify_flags": 0x33}, o.Plain+"/a")
	if _, err := s.SetNotifyInterface(ctx, job.ID, "not a callback"); !errors.Is(err, bits.ErrNoInterface) {
		t.Errorf("in Go: %v", err)
	}
	for _, names := range [][]string{nil, {"IUnknown"}, {wire.Callbacks[1]}, {wire.Callbacks[0], "IUnknown"}} {
		if err := s.Do(ctx, "POST", "/jobs/"+job.ID+"/notify-interface", wire.SetNotify{Interfaces: names}, nil); !errors.Is(err, bits.ErrNoInterface) {
			t.Errorf("%v: %v", names, err)
		}
	}
	l := newListener(nil)
	defer setListener(t, s, job.ID, only{l}).Close()
	bitstest.Must(t, s.Resume(ctx, job.ID))
	l.want(t, "JobTransferred TRANSFERRED") // files are not for it
}

// A callback that panics ends its registration: it is an object that cannot be called any more.
func TestNotifyPanic(t *testing.T) {
	t.Parallel()
	s, o := bitstest.Start(t), bitstest.NewOrigin(t)
	o.File("/a", []byte("a"))
	job := s.NewJob(nil, o.Plain+"/a")
	n := setListener(t, s, job.ID, newListener(func(string, bits.Job) error { panic("oops") }))
	bitstest.Must(t, s.Resume(ctx, job.ID))
	if <-n.Done(); n.Err() == nil || !strings.Contains(n.Err().Error(), "oops") {
		t.Error(n.Err())
	}
	l := newListener(nil)
	defer setListener(t, s, job.ID, l).Close()
	l.want(t, "JobTransferred TRANSFERRED")
}

// stream opens the stream of notifications as a program without our client does.
func stream(t *testing.T, s *bitstest.Service, job string) (next func() wire.Item, end func()) {
	t.Helper()
	life, cancel := context.WithCancel(ctx)
	t.Cleanup(cancel)
	lines := make(chan wire.Item)
	r, w := io.Pipe()
	go s.Stream(life, "POST", "/jobs/"+job+"/notify-interface", wire.SetNotify{Interfaces: wire.Callbacks}, w)
	go func() {
		for scan := bufio.NewScanner(r); scan.Scan(); {
			var item wire.Item
			if json.Unmarshal(scan.Bytes(), &item) == nil {
				lines <- item
			}
		}
	}()
	return func() wire.Item {
		t.Helper()
		select {
		case item := <-lines:
			return item
		case <-time.After(30 * time.Second):
			t.Fatal("no line")
		}
		return wire.Item{}
	}, cancel
}

// The answer to a call counts once, from the present registration, with a code.
func TestNotifyAnswers(t *testing.T) {
	t.Parallel()
	s, o := bitstest.Start(t), bitstest.NewOrigin(t)
	o.File("/a", []byte("a"))
	job := s.NewJob(nil, o.Plain+"/a")
	next, end := stream(t, s, job.ID)
	registration := next().Registration
	bitstest.Must(t, s.Resume(ctx, job.ID))
	n := next().Notification
	if n == nil || n.Kind != wire.JobTransferredCall || n.N == 0 || n.Job.ID != job.ID || n.Job.State != bits.StateTransferred {
		t.Fatalf("%+v", n)
	}
	say := func(id, registration string, code *hresult.Code) error {
		return s.Do(ctx, "POST", "/jobs/"+job.ID+"/notify-interface/"+id, wire.Verdict{Registration: registration, Code: code}, nil)
	}
	ok := hresult.S_OK
	for name, err := range map[string]error{"foreign registration": say(n.ID, "FOREIGN", &ok), "no such call": say("NONE", registration, &ok)} {
		if !errors.Is(err, bits.ErrInvalidState) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := say(n.ID, registration, nil); !errors.Is(err, bits.ErrInvalidArg) {
		t.Errorf("without a code: %v", err)
	}
	// The number of a question is none of a notification.
	if err := s.Do(ctx, "POST", "/jobs/"+job.ID+"/certificate-validation/"+n.ID, wire.Verdict{Registration: registration, Code: &ok}, nil); !errors.Is(err, bits.ErrInvalidState) {
		t.Errorf("as a verdict: %v", err)
	}
	end()
	again, _ := stream(t, s, job.ID)
	registration = again().Registration
	m := again().Notification
	if m == nil || m.N != n.N || m.ID == n.ID {
		t.Errorf("told again as %+v, first as %+v", m, n)
	}
	bitstest.Must(t, say(m.ID, registration, &ok))
	if err := say(m.ID, registration, &ok); !errors.Is(err, bits.ErrInvalidState) {
		t.Errorf("twice: %v", err)
	}
}

// Many jobs at once: each is told of its own, at most four at a time.
func TestNotifyManyJobs(t *testing.T) {
	t.Parallel()
	s, o := bitstest.Start(t), bitstest.NewOrigin(t)
	o.Page("/", func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("x")) })
	var mu sync.Mutex
	now, most := 0, 0
	told := map[string]int{}
	var all sync.WaitGroup
	for i := range 20 {
		job := s.NewJob(map[string]any{"priority": "FOREGROUND"}, fmt.Sprintf("%s/%d", o.Plain, i))
		n := setListener(t, s, job.ID, newListener(func(_ string, j bits.Job) error {
			mu.Lock()
			now++
			most = max(most, now)
			told[j.ID]++
			mu.Unlock()
			time.Sleep(10 * time.Millisecond)
			mu.Lock()
			now--
			mu.Unlock()
			_, err := s.Complete(ctx, j.ID)
			return err
		}))
		bitstest.Must(t, s.Resume(ctx, job.ID))
		all.Go(func() { <-n.Done() })
	}
	all.Wait()
	if most > 4 || len(told) != 20 {
		t.Errorf("%d at once, %d jobs", most, len(told))
	}
}
