package scheduler_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"bits"
	"bits/hresult"
	"bits/internal/contract"
	"bits/internal/ipc"
	"bits/internal/notify"
	"bits/internal/queue"
	"bits/internal/scheduler"
	"bits/internal/store"
)

// rig is a queue with a scheduler in virtual time, and a mover that does what the test says.
type rig struct {
	*queue.Queue
	t   *testing.T
	dir string

	store *store.Store
	move  func(ctx context.Context, run *queue.Run) error

	mu    sync.Mutex
	log   []string // "NAME+" and "NAME-" with the second at which runs begin and end
	began time.Time
	most  int
	now   int
}

func inBubble(t *testing.T, settings scheduler.Settings, test func(*rig)) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		s, err := store.Open(ctx, filepath.Join(dir, "state"))
		if err != nil {
			t.Fatal(err)
		}
		q, err := queue.Open(ctx, s, notify.New())
		if err != nil {
			t.Fatal(err)
		}
		r := &rig{Queue: q, t: t, dir: dir, store: s, began: time.Now()}
		done := make(chan bool)
		go func() {
			scheduler.New(q, r.run, settings).Run(ctx)
			close(done)
		}()
		defer func() {
			cancel()
			<-done
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}()
		test(r)
	})
}

func (r *rig) run(ctx context.Context, run *queue.Run) (int, error) {
	job, err := run.Job()
	if err != nil {
		return -1, err
	}
	r.note(job.DisplayName+"+", 1)
	defer r.note(job.DisplayName+"-", -1)
	return 0, r.move(ctx, run)
}

func (r *rig) note(what string, by int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now += by
	r.most = max(r.most, r.now)
	r.log = append(r.log, fmt.Sprintf("%s%d", what, int(time.Since(r.began)/time.Second)))
}

// ran returns the log so far, and how many runs there were at once at the most.
func (r *rig) ran() (log []string, most int) {
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.log), r.most
}

func (r *rig) job(name string, properties map[string]any) *bits.Job {
	r.t.Helper()
	spec := bits.Spec{DisplayName: name, Resume: true, Properties: map[string]bits.RawMessage{}, Files: []bits.FileSpec{{RemoteName: "http://origin/" + name, LocalName: filepath.Join(r.dir, name)}}}
	for k, v := range properties {
		spec.Properties[k], _ = json.Marshal(v)
	}
	job, err := r.Create(contract.Caller{Owner: ipc.Self().Owner}, spec)
	if err != nil {
		r.t.Fatal(err)
	}
	return job
}

func (r *rig) want(job *bits.Job, state bits.State) *bits.Job {
	r.t.Helper()
	synctest.Wait()
	now, err := r.Get(job.ID)
	if err != nil || now.State != state {
		r.t.Fatalf("%s is %v (%v), want %v", job.DisplayName, now.State, err, state)
	}
	return now
}

var broken = bits.Errorf(hresult.ERROR_WINHTTP_TIMEOUT, "cannot fetch it: broken").In(bits.ContextRemoteFile)

func fail(context.Context, *queue.Run) error { return broken }

// forever moves nothing until it is stopped.
func forever(ctx context.Context, run *queue.Run) error {
	if err := run.Contact(bits.File{RemoteName: "http://origin/x"}, true); err != nil {
		return err
	}
	<-ctx.Done()
	return context.Cause(ctx)
}

func seconds(log []string, prefix string) (at []int) {
	for _, line := range log {
		var n int
		if _, err := fmt.Sscanf(line, prefix+"%d", &n); err == nil {
			at = append(at, n)
		}
	}
	return at
}

// The fixed delay of BITS: 600 s by default, lengthened by up to a tenth.
func TestRetryDelay(t *testing.T) {
	for name, c := range map[string]struct {
		set  map[string]any
		want [][2]int // of each wait in turn: at least, at most
	}{
		"default":  {nil, [][2]int{{600, 661}, {600, 661}, {600, 661}}},
		"set":      {map[string]any{"minimum_retry_delay": 60}, [][2]int{{60, 67}, {60, 67}}},
		"floor":    {map[string]any{"minimum_retry_delay": 0}, [][2]int{{5, 6}, {5, 6}}},
		"back-off": {map[string]any{"backoff": bits.Backoff{First: 1, Max: 10}}, [][2]int{{1, 2}, {2, 3}, {4, 5}, {8, 9}, {10, 11}, {10, 11}}},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, scheduler.Settings{}, func(r *rig) {
				r.move = fail
				job, all := r.job("a", c.set), 0
				for _, w := range c.want {
					all += w[1]
				}
				time.Sleep(time.Duration(all) * time.Second)
				now := r.want(job, bits.StateTransientError)
				log, _ := r.ran()
				if now.Error.Code != hresult.ERROR_WINHTTP_TIMEOUT || int(now.ErrorCount) != len(log)/2 {
					t.Errorf("error %v, %d errors in %d runs", now.Error.Code, now.ErrorCount, len(log)/2)
				}
				at := seconds(log, "a+")
				for i, w := range c.want {
					if d := at[i+1] - at[i]; d < w[0] || d > w[1] {
						t.Errorf("wait %d is %d s, want %v", i, d, w)
					}
				}
			})
		})
	}
}

// What a server asks for with Retry-After is waited for, up to an hour, but no shorter than the job waits anyway, and not beyond its
// patience. 429 is fatal for a strict job alone.
func TestRetryAfter(t *testing.T) {
	quick := map[string]any{"backoff": bits.Backoff{First: 1, Max: 1}}
	strict := map[string]any{"backoff": bits.Backoff{First: 1, Max: 1}, "strict": true}
	for name, c := range map[string]struct {
		status int
		after  bits.Seconds
		set    map[string]any
		want   int // seconds of each wait
		state  bits.State
	}{
		"longer":                {503, 120, quick, 120, bits.StateTransientError},
		"429":                   {429, 120, quick, 120, bits.StateTransientError},
		"429 without":           {429, 0, quick, 1, bits.StateTransientError},
		"429 of a strict job":   {429, 120, strict, 0, bits.StateError},
		"503 of a strict job":   {503, 120, strict, 120, bits.StateTransientError},
		"shorter":               {503, 10, map[string]any{"backoff": bits.Backoff{First: 60, Max: 60}}, 60, bits.StateTransientError},
		"for ever":              {503, 4_000_000_000, quick, 3600, bits.StateTransientError},
		"beyond all patience":   {503, 3600, map[string]any{"backoff": bits.Backoff{First: 1, Max: 1}, "give_up_after": 30}, 0, bits.StateError},
		"beyond, after a while": {503, 40, map[string]any{"backoff": bits.Backoff{First: 1, Max: 1}, "give_up_after": 100}, 40, bits.StateError},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, scheduler.Settings{}, func(r *rig) {
				r.move = func(context.Context, *queue.Run) error {
					err := bits.Errorf(hresult.FromHTTPStatus(c.status), "cannot fetch").In(bits.ContextRemoteFile)
					err.After = c.after
					return err
				}
				job := r.job("a", c.set)
				time.Sleep(3 * time.Duration(max(c.want, 40)) * time.Second)
				if now := r.want(job, c.state); now.Error.RetryAfter != c.after {
					t.Errorf("recorded: %+v", now.Error)
				}
				log, _ := r.ran()
				at := seconds(log, "a+")
				for i := 1; i < len(at); i++ {
					if d := at[i] - at[i-1]; d < c.want || d > c.want+1 {
						t.Fatalf("wait %d is %d s, want %d", i, d, c.want)
					}
				}
				if len(at) < 2 && c.want > 0 {
					t.Error("it was never tried again")
				}
			})
		})
	}
}

// However often it fails and however long its delays are, no job is tried without a pause.
func TestBackoffNeverOverflows(t *testing.T) {
	for _, b := range []bits.Backoff{{First: 10_000, Max: 10_000}, {First: 1, Max: 4_000_000_000}, {First: 9_000, Max: 4_000_000_000}} {
		inBubble(t, scheduler.Settings{}, func(r *rig) {
			r.move = fail
			r.job("a", map[string]any{"backoff": b, "no_progress_timeout": 4_000_000_000})
			time.Sleep(time.Duration(b.First) * time.Second * 40)
			log, _ := r.ran()
			at := seconds(log, "a+")
			for i := 1; i < len(at); i++ {
				if d := at[i] - at[i-1]; d < int(b.First) {
					t.Fatalf("%+v: try %d after %d s", b, i, d)
				}
			}
			if len(at) < 5 {
				t.Errorf("%+v: only %d tries", b, len(at))
			}
		})
	}
}

// The no-progress timeout counts from the first transient error, and ends the waiting also between two tries.
func TestNoProgressTimeout(t *testing.T) {
	for name, c := range map[string]struct {
		set    map[string]any
		within time.Duration // still TRANSIENT_ERROR
		after  time.Duration // ERROR
	}{
		"default":                    {map[string]any{"minimum_retry_delay": 8 * 3600}, 14*24*time.Hour - time.Minute, 14*24*time.Hour + time.Minute},
		"an hour":                    {map[string]any{"no_progress_timeout": 3600}, 3590 * time.Second, 3601 * time.Second},
		"zero: every error is fatal": {map[string]any{"no_progress_timeout": 0}, 0, time.Second},
		"shorter than the delay":     {map[string]any{"no_progress_timeout": 500}, 0, time.Second},
		"give up earlier":            {map[string]any{"give_up_after": 30, "backoff": bits.Backoff{First: 1, Max: 60}}, 29 * time.Second, 31 * time.Second},
		"between two tries":          {map[string]any{"no_progress_timeout": 900}, 890 * time.Second, 901 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, scheduler.Settings{}, func(r *rig) {
				r.move = fail
				job := r.job("a", c.set)
				if c.within > 0 {
					time.Sleep(c.within)
					r.want(job, bits.StateTransientError)
				}
				time.Sleep(c.after - c.within)
				if now := r.want(job, bits.StateError); now.Error.Code != hresult.ERROR_WINHTTP_TIMEOUT || now.Error.Context != bits.ContextRemoteFile {
					t.Errorf("the error is %+v", now.Error)
				}
			})
		})
	}
}

// Progress begins the no-progress timeout anew.
func TestProgressResetsTheTimeout(t *testing.T) {
	inBubble(t, scheduler.Settings{}, func(r *rig) {
		n := int64(0)
		r.move = func(_ context.Context, run *queue.Run) error {
			if n++; n == 5 {
				if err := errors.Join(run.Contact(bits.File{RemoteName: "http://origin/a"}, true), run.Checkpoint(0, bits.Ranges{{Start: 0, End: n}}, nil, 0, false)); err != nil {
					return err
				}
			}
			return broken
		}
		job := r.job("a", map[string]any{"no_progress_timeout": 3600})
		time.Sleep(time.Hour + 30*time.Minute) // the fifth try was after 40 to 44 minutes
		r.want(job, bits.StateTransientError)
		time.Sleep(20 * time.Minute)
		r.want(job, bits.StateError)
	})
}

// Resume begins the no-progress timeout anew after ERROR and SUSPENDED, and goes on with it in TRANSIENT_ERROR.
func TestResumeAndTheTimeout(t *testing.T) {
	for first, anew := range map[bits.Action]bool{bits.Resume: false, bits.Suspend: true} {
		inBubble(t, scheduler.Settings{}, func(r *rig) {
			r.move = fail
			job := r.job("a", map[string]any{"no_progress_timeout": 3600})
			time.Sleep(50 * time.Minute)
			for _, a := range []bits.Action{first, bits.Resume} {
				if _, err := r.Act(job.ID, a); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(15 * time.Minute)
			if anew {
				r.want(job, bits.StateTransientError)
				time.Sleep(time.Hour)
			}
			r.want(job, bits.StateError)
			if _, err := r.Act(job.ID, bits.Resume); err != nil {
				t.Fatal(err)
			}
			time.Sleep(50 * time.Minute)
			r.want(job, bits.StateTransientError)
		})
	}
}

func TestNoMaximumDownloadTime(t *testing.T) {
	inBubble(t, scheduler.Settings{}, func(r *rig) {
		r.move = forever
		job := r.job("a", map[string]any{"maximum_download_time": 0})
		time.Sleep(80 * 24 * time.Hour)
		r.want(job, bits.StateTransferring)
	})
}

func TestMaximumDownloadTime(t *testing.T) {
	inBubble(t, scheduler.Settings{}, func(r *rig) {
		r.move = forever
		job := r.job("a", map[string]any{"maximum_download_time": 100})
		time.Sleep(99 * time.Second)
		r.want(job, bits.StateTransferring)
		time.Sleep(2 * time.Second)
		if now := r.want(job, bits.StateError); now.Error.Code != hresult.BG_E_MAXDOWNLOAD_TIMEOUT {
			t.Errorf("the error is %+v", now.Error)
		}
		if _, err := r.Act(job.ID, bits.Resume); err != nil {
			t.Fatal(err)
		}
		time.Sleep(99 * time.Second) // Resume begins it anew
		r.want(job, bits.StateTransferring)
	})
}

// Only the time in CONNECTING and TRANSFERRING counts.
func TestMaximumDownloadTimeCountsRunsOnly(t *testing.T) {
	inBubble(t, scheduler.Settings{}, func(r *rig) {
		r.move = func(ctx context.Context, run *queue.Run) error {
			time.Sleep(10 * time.Second)
			return broken
		}
		job := r.job("a", map[string]any{"maximum_download_time": 35})
		time.Sleep(1500 * time.Second) // three runs of ten seconds
		r.want(job, bits.StateTransientError)
		time.Sleep(700 * time.Second)
		if now := r.want(job, bits.StateError); now.Error.Code != hresult.BG_E_MAXDOWNLOAD_TIMEOUT {
			t.Errorf("the error is %+v", now.Error)
		}
	})
}

// A job without activity for 90 days is cancelled when it has been seen so for a day; a final one is forgotten after a day.
func TestInactivity(t *testing.T) {
	inBubble(t, scheduler.Settings{}, func(r *rig) {
		r.move = fail
		job := r.job("a", nil)
		if _, err := r.Act(job.ID, bits.Suspend); err != nil {
			t.Fatal(err)
		}
		time.Sleep(90*24*time.Hour - time.Minute)
		r.want(job, bits.StateSuspended)
		time.Sleep(24 * time.Hour)
		r.want(job, bits.StateSuspended)
		time.Sleep(2 * time.Minute)
		r.want(job, bits.StateCancelled)
		time.Sleep(25 * time.Hour)
		if _, err := r.Get(job.ID); !errors.Is(err, bits.ErrNotFound) {
			t.Errorf("after another day: %v", err)
		}
	})
}

// One background job at a time; the others take turns of five minutes.
func TestRoundRobin(t *testing.T) {
	inBubble(t, scheduler.Settings{}, func(r *rig) {
		r.move = forever
		for _, name := range []string{"a", "b", "c"} {
			r.job(name, nil)
			time.Sleep(time.Second)
		}
		time.Sleep(31 * time.Minute)
		want := []string{"a+0", "a-300", "b+300", "b-600", "c+600", "c-900", "a+900", "a-1200", "b+1200", "b-1500", "c+1500", "c-1800", "a+1800"}
		if log, most := r.ran(); !slices.Equal(log, want) || most != 1 {
			t.Errorf("%v, %d at once; want %v", log, most, want)
		}
	})
}

// A slice does not end in a file that would start over, but it does after it.
func TestSliceEndsWithTheFile(t *testing.T) {
	inBubble(t, scheduler.Settings{}, func(r *rig) {
		r.move = func(ctx context.Context, run *queue.Run) error {
			if err := run.Contact(bits.File{RemoteName: "http://origin/x"}, false); err != nil {
				return err
			}
			time.Sleep(7 * time.Minute)
			if err := run.Contact(bits.File{RemoteName: "http://origin/x"}, true); err != nil {
				return err
			}
			<-ctx.Done()
			return context.Cause(ctx)
		}
		r.job("a", nil)
		time.Sleep(time.Second)
		r.job("b", nil)
		time.Sleep(8 * time.Minute)
		want := []string{"a+0", "a-420", "b+420"}
		if log, _ := r.ran(); !slices.Equal(log, want) {
			t.Errorf("%v, want %v", log, want)
		}
	})
}

// A job alone is not interrupted at the end of its slice.
func TestSliceOfOne(t *testing.T) {
	inBubble(t, scheduler.Settings{}, func(r *rig) {
		r.move = forever
		r.job("a", nil)
		time.Sleep(time.Hour)
		if log, _ := r.ran(); len(log) != 1 {
			t.Errorf("%v", log)
		}
	})
}

// A better job takes the place of a lower one at once; a lower one waits for every better one.
func TestPriorities(t *testing.T) {
	inBubble(t, scheduler.Settings{}, func(r *rig) {
		r.move = forever
		low := r.job("low", map[string]any{"priority": "LOW"})
		time.Sleep(10 * time.Second)
		normal := r.job("normal", nil)
		time.Sleep(10 * time.Second)
		high := r.job("high", map[string]any{"priority": "HIGH"})
		time.Sleep(time.Hour)
		r.want(low, bits.StateQueued)
		r.want(normal, bits.StateQueued)
		r.want(high, bits.StateTransferring)
		if _, err := r.Act(high.ID, bits.Cancel); err != nil {
			t.Fatal(err)
		}
		r.want(normal, bits.StateTransferring)
		want := []string{"low+0", "low-10", "normal+10", "normal-20", "high+20", "high-3620", "normal+3620"}
		if log, _ := r.ran(); !slices.Equal(log, want) {
			t.Errorf("%v, want %v", log, want)
		}
	})
}

// FOREGROUND jobs run side by side, beside the one background job; their number has a limit that can be set.
func TestForeground(t *testing.T) {
	for limit, want := range map[int]int{0: 17, 3: 4, -1: 21} {
		inBubble(t, scheduler.Settings{Foreground: limit}, func(r *rig) {
			r.move = forever
			r.job("background", nil)
			for i := range 20 {
				r.job(fmt.Sprint(i), map[string]any{"priority": "FOREGROUND"})
			}
			time.Sleep(time.Hour)
			if _, most := r.ran(); most != want {
				t.Errorf("limit %d: %d at once, want %d", limit, most, want)
			}
		})
	}
}

func TestSeveralBackgroundJobs(t *testing.T) {
	inBubble(t, scheduler.Settings{Background: 2, Slice: time.Minute}, func(r *rig) {
		r.move = forever
		for _, name := range []string{"a", "b", "c"} {
			r.job(name, nil)
		}
		time.Sleep(10 * time.Minute)
		if log, most := r.ran(); most != 2 || len(seconds(log, "c+")) == 0 {
			t.Errorf("%d at once: %v", most, log)
		}
	})
}

// A job whose priority is lowered while it runs beside another makes room.
func TestPriorityChangedWhileRunning(t *testing.T) {
	inBubble(t, scheduler.Settings{}, func(r *rig) {
		r.move = forever
		a := r.job("a", nil)
		b := r.job("b", map[string]any{"priority": "FOREGROUND"})
		r.want(a, bits.StateTransferring)
		r.want(b, bits.StateTransferring)
		if _, err := r.Do(b.ID, contract.SetCall(map[string]bits.RawMessage{"priority": bits.RawMessage(`"LOW"`)}), contract.Caller{Owner: "me"}); err != nil {
			t.Fatal(err)
		}
		r.want(a, bits.StateTransferring)
		r.want(b, bits.StateQueued)
	})
}

// Suspend, Cancel and Complete return when nothing of the job is under way.
func TestOwnerWaitsForTheRun(t *testing.T) {
	for _, action := range []bits.Action{bits.Suspend, bits.Cancel, bits.Complete} {
		inBubble(t, scheduler.Settings{}, func(r *rig) {
			ended := false
			r.move = func(ctx context.Context, run *queue.Run) error {
				<-ctx.Done()
				time.Sleep(3 * time.Second)
				ended = true
				return context.Cause(ctx)
			}
			job := r.job("a", nil)
			r.want(job, bits.StateConnecting)
			if _, err := r.Act(job.ID, action); err != nil {
				t.Fatal(err)
			}
			if !ended {
				t.Errorf("%v returned while the run was under way", action)
			}
		})
	}
}

// A job that completes by itself does so, and becomes ERROR where that would replace a file it must not replace.
func TestAutoComplete(t *testing.T) {
	inBubble(t, scheduler.Settings{}, func(r *rig) {
		r.move = func(_ context.Context, run *queue.Run) error {
			job, err := run.Job()
			if err != nil {
				return err
			}
			if err := os.WriteFile(job.Files[0].Temporary, []byte("x"), 0o600); err != nil {
				return err
			}
			return errors.Join(run.Contact(job.Files[0], true), run.Checkpoint(0, bits.Ranges{{Start: 0, End: 1}}, nil, 1, true))
		}
		job := r.job("a", map[string]any{"auto_complete": true})
		time.Sleep(time.Minute)
		r.want(job, bits.StateAcknowledged)
		if there, err := os.ReadFile(filepath.Join(r.dir, "a")); err != nil || string(there) != "x" {
			t.Errorf("%q, %v", there, err)
		}
		// The name is taken: the job becomes ERROR, and nothing is replaced.
		if err := os.WriteFile(filepath.Join(r.dir, "b"), []byte("mine"), 0o600); err != nil {
			t.Fatal(err)
		}
		job = r.job("b", map[string]any{"auto_complete": true, "no_replace": true})
		time.Sleep(time.Minute)
		if now := r.want(job, bits.StateError); now.Error.Code != hresult.ERROR_FILE_EXISTS || now.Error.Context != bits.ContextLocalFile {
			t.Errorf("the error is %+v", now.Error)
		}
		if there, err := os.ReadFile(filepath.Join(r.dir, "b")); err != nil || string(there) != "mine" {
			t.Errorf("%q, %v", there, err)
		}
	})
}
