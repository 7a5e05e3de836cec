package scheduler_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"bits"
	"bits/hresult"
	"bits/internal/contract"
	"bits/internal/ipc"
	"bits/internal/queue"
	"bits/internal/scheduler"
)

// everyday is the back-off of the everyday commands.
var everyday = bits.Backoff{First: 1, Max: 60, Jitter: 0.5}

// Back-off doubles and has jitter; what a job shows of it is what happens: how often it failed in a row, when it is tried next.
func TestRetriesAreVisible(t *testing.T) {
	for name, c := range map[string]struct {
		set   map[string]any
		first time.Duration
		most  time.Duration
	}{
		"everyday commands": {map[string]any{"backoff": everyday}, time.Second, 60 * time.Second},
		"contract":          {map[string]any{"minimum_retry_delay": 60}, 60 * time.Second, 60 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, scheduler.Settings{}, func(r *rig) {
				r.move = fail
				job := r.job("a", c.set)
				delay, jitters := c.first, map[time.Duration]bool{}
				for n := 1; n <= 10; n++ {
					now := r.want(job, bits.StateTransientError)
					if now.Failures != n || now.NextRetry == nil || now.Error == nil || !now.Error.At.Equal(time.Now()) || now.Waiting == nil || now.Waiting.Until == nil || !now.Waiting.Until.Equal(*now.NextRetry) {
						t.Fatalf("after failure %d: %d, next %v, %+v, %+v", n, now.Failures, now.NextRetry, now.Error, now.Waiting)
					}
					wait := time.Until(*now.NextRetry)
					most := delay + delay/2
					if c.set["backoff"] == nil {
						most = delay + delay/10
					}
					if wait < delay || wait > most {
						t.Errorf("failure %d is followed by %s, want %s to %s", n, wait, delay, most)
					}
					jitters[wait-delay] = true
					log, _ := r.ran()
					time.Sleep(wait - time.Nanosecond)
					if early, _ := r.ran(); len(early) != len(log) {
						t.Errorf("try %d is early", n+1)
					}
					time.Sleep(time.Nanosecond)
					if at, _ := r.ran(); len(at) != len(log)+2 {
						t.Errorf("try %d is not when it was said", n+1)
					}
					if c.set["backoff"] != nil {
						delay = min(2*delay, c.most)
					}
				}
				if len(jitters) < 3 {
					t.Errorf("there is no jitter: %v", jitters)
				}
			})
		})
	}
}

// Progress begins the back-off and the count anew; an answer without a byte more than ever is none.
func TestProgressResetsTheRetries(t *testing.T) {
	inBubble(t, scheduler.Settings{}, func(r *rig) {
		got := []int64{0, 0, 0, 5, 5, 3, 9}
		n := 0
		r.move = func(_ context.Context, run *queue.Run) error {
			have := got[min(n, len(got)-1)]
			n++
			if have > 0 {
				if err := errors.Join(run.Contact(bits.File{RemoteName: "http://origin/a"}, true), run.Checkpoint(0, bits.Ranges{{Start: 0, End: have}}, nil, 0, false)); err != nil {
					return err
				}
			}
			return broken
		}
		job := r.job("a", map[string]any{"backoff": bits.Backoff{First: 1, Max: 60}})
		for i, failures := range []int{1, 2, 3, 1, 2, 3, 1} {
			now := r.want(job, bits.StateTransientError)
			if now.Failures != failures || !now.NextRetry.Equal(time.Now().Add(time.Second<<(failures-1))) {
				t.Errorf("after try %d: %d failures, next in %s", i+1, now.Failures, time.Until(*now.NextRetry))
			}
			time.Sleep(time.Until(*now.NextRetry))
		}
	})
}

// What is final ends both kinds of retries, at once; and no next try is said to be beyond the patience of the job.
func TestRetriesEnd(t *testing.T) {
	fatal := bits.Errorf(hresult.FromHTTPStatus(404), "cannot fetch it").In(bits.ContextRemoteFile)
	for name, set := range map[string]map[string]any{"everyday commands": {"backoff": everyday, "give_up_after": 300}, "contract": {"minimum_retry_delay": 5, "no_progress_timeout": 300}} {
		inBubble(t, scheduler.Settings{}, func(r *rig) {
			n := 0
			r.move = func(context.Context, *queue.Run) error {
				if n++; n == 3 {
					return fatal
				}
				return broken
			}
			job := r.job("final", set)
			for range 2 {
				time.Sleep(time.Until(*r.want(job, bits.StateTransientError).NextRetry))
			}
			now := r.want(job, bits.StateError)
			if now.NextRetry != nil || now.Error.Code != fatal.Code || now.Failures != 3 || now.Waiting.Until != nil {
				t.Errorf("%s: %+v", name, now)
			}
			time.Sleep(24 * time.Hour)
			if log, _ := r.ran(); len(log) != 6 {
				t.Errorf("%s: it was tried again: %v", name, log)
			}

			r.move = fail
			job = r.job("patience", set)
			began := time.Now()
			for {
				now = r.want(job, bits.StateTransientError)
				if now.NextRetry.After(began.Add(300 * time.Second)) {
					t.Errorf("%s: the next try is said to be after %s", name, now.NextRetry.Sub(began))
				}
				if time.Sleep(time.Until(*now.NextRetry)); time.Since(began) == 300*time.Second {
					break
				}
			}
			if now = r.want(job, bits.StateError); now.Error.Code != broken.Code || now.NextRetry != nil {
				t.Errorf("%s: %+v", name, now)
			}
		})
	}
}

// The log of a job tells of each failure and of what follows, also after the job.
func TestRetriesInTheLog(t *testing.T) {
	inBubble(t, scheduler.Settings{}, func(r *rig) {
		n := 0
		r.move = func(context.Context, *queue.Run) error {
			if n++; n < 3 {
				return broken
			}
			return bits.Errorf(hresult.FromHTTPStatus(404), "cannot fetch http://origin/a?sig=s3cr3t: no").In(bits.ContextRemoteFile)
		}
		job, err := r.Create(contract.Caller{Owner: ipc.Self().Owner}, bits.Spec{Resume: true, Files: []bits.FileSpec{{RemoteName: "http://origin/a", LocalName: r.dir + "/a"}},
			Properties: map[string]bits.RawMessage{"backoff": bits.RawMessage(`{"first":1,"max":2,"jitter":0}`)}})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if _, err := r.Act(job.ID, bits.Cancel); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * queue.Kept)
		if _, err := r.Get(job.ID); !errors.Is(err, bits.ErrNotFound) {
			t.Fatal(err)
		}
		lines, err := r.store.LogOf(context.Background(), job.Owner, job.ID, 0)
		if err != nil {
			t.Fatal(err)
		}
		var text []string
		for _, l := range lines {
			text = append(text, l.Kind+" "+l.Text)
		}
		all := strings.Join(text, "\n")
		for _, want := range []string{
			"state created\nstate QUEUED\nstate CONNECTING\nrun begins: 0 of unknown bytes, 0 of 1 files\nrun ends after 0s",
			"failure 1 in a row; next try in 1s", "failure 2 in a row; next try in 2s", "failures in a row before it: 2",
			"state ERROR: cannot fetch http://origin/a?sig=***: no (0x80190194 BG_E_HTTP_ERROR_404, BG_ERROR_CONTEXT_REMOTE_FILE)\nstate CANCELLED",
		} {
			if !strings.Contains(all, want) {
				t.Errorf("there is no %q in:\n%s", want, all)
			}
		}
		time.Sleep(7 * 24 * time.Hour)
		if lines, err = r.store.LogOf(context.Background(), job.Owner, job.ID, 0); err != nil || len(lines) != 0 {
			t.Errorf("after a week there are %d lines, %v", len(lines), err)
		}
	})
}
