// Package scheduler decides which job runs now.
//
// All FOREGROUND jobs run side by side; beside them a fixed number of background jobs, one in BITS, HIGH before NORMAL before LOW,
// round robin within a level.
// It holds no state of its own: each step looks at the queue, acts, and says when to look again.
package scheduler

import (
	"cmp"
	"context"
	"errors"
	"math"
	"slices"
	"sync"
	"time"

	"bits"
	"bits/hresult"
	"bits/internal/queue"
	"bits/internal/retry"
	"bits/internal/store"
)

// Settings are the numbers of the scheduler; zero means the default.
type Settings struct {
	Background int           // jobs that run at once below FOREGROUND; default 1, as BITS
	Foreground int           // FOREGROUND jobs that run at once; default 16, negative: no limit, as BITS
	Slice      time.Duration // after which a job makes room for another of its level; default 5 minutes
}

// Mover carries out a run: it moves the files of the job.
// It returns the number of the file that an error concerns, -1 if none.
type Mover func(ctx context.Context, run *queue.Run) (file int, err error)

// Scheduler runs the jobs of a queue.
type Scheduler struct {
	queue    *queue.Queue
	move     Mover
	settings Settings
	runs     sync.WaitGroup
}

// New returns a Scheduler.
func New(q *queue.Queue, move Mover, s Settings) *Scheduler {
	s.Background = cmp.Or(max(s.Background, 0), 1)
	s.Foreground = cmp.Or(s.Foreground, 16)
	if s.Foreground < 0 {
		s.Foreground = math.MaxInt
	}
	s.Slice = cmp.Or(s.Slice, 5*time.Minute)
	return &Scheduler{queue: q, move: move, settings: s}
}

const (
	// longest is how long the scheduler sleeps at the most: times that are of the wall clock are looked at again when that was set.
	longest = 5 * time.Minute
	// again is when it looks again after the store could not be written.
	again = 5 * time.Second
	// wholeSlices are the slices of a file that would start over.
	wholeSlices = 12
)

// Run schedules until the context ends.
// Then every run is stopped at a checkpoint, its job QUEUED, and Run returns when the last one has ended.
func (s *Scheduler) Run(ctx context.Context) {
	defer s.runs.Wait()
	for {
		changed := s.queue.Changed()
		wait := longest
		if next := s.step(ctx); !next.IsZero() {
			wait = min(wait, max(time.Until(next), time.Millisecond))
		}
		timer := time.NewTimer(wait)
		select {
		case <-changed:
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
		timer.Stop()
	}
}

func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// step starts and stops what must be, and returns when to look again without a change.
func (s *Scheduler) step(ctx context.Context) (next time.Time) {
	if ctx.Err() != nil {
		return next
	}
	next = earlier(s.queue.Expire(), s.queue.Due())
	ids, err := s.queue.Completable()
	if err != nil {
		next = earlier(next, time.Now().Add(again))
	}
	for _, id := range ids {
		s.runs.Go(func() { s.queue.Finish(id) }) // renames may be slow
	}
	var running, waiting [2][]queue.View // foreground, background
	for _, v := range s.queue.Snapshot() {
		class := 0
		if v.Job.Priority != bits.Foreground {
			class = 1
		}
		switch {
		case v.Run != nil:
			running[class] = append(running[class], v)
			next = earlier(next, s.limit(v))
		case v.Job.State == bits.StateQueued && !v.Job.Completing:
			waiting[class] = append(waiting[class], v)
		}
	}
	for class, room := range []int{s.settings.Foreground, s.settings.Background} {
		run, wait := running[class], waiting[class]
		slices.SortFunc(wait, order)
		slices.SortFunc(run, order)
		for free := room - len(run); free != 0; {
			if free > 0 && len(wait) > 0 {
				if err := s.start(ctx, wait[0].Job.ID); errors.Is(err, store.ErrNotWritten) {
					next = earlier(next, time.Now().Add(again))
				}
				wait, free = wait[1:], free-1
			} else if free < 0 {
				run[len(run)-1].Run.Stop() // it became a background job beside another
				run, free = run[:len(run)-1], free+1
			} else {
				break
			}
		}
		if class == 1 && len(wait) > 0 && len(run) > 0 {
			next = earlier(next, s.makeRoom(run, wait[0]))
		}
	}
	return next
}

// order sorts by level, then by turn.
func order(a, b queue.View) int {
	return cmp.Or(cmp.Compare(a.Job.Priority, b.Job.Priority), cmp.Compare(a.Turn, b.Turn))
}

// makeRoom stops the last of the running jobs if a better one waits, or one of the same level and the slice is over.
// A file that would start over has more of them: on a server without ranges it might never arrive.
func (s *Scheduler) makeRoom(run []queue.View, best queue.View) (next time.Time) {
	last := run[len(run)-1]
	if best.Job.Priority < last.Job.Priority {
		last.Run.Stop()
		return next
	}
	for _, r := range run {
		if r.Job.Priority != best.Job.Priority {
			continue
		}
		slice := s.settings.Slice
		if !r.Run.Resumable() {
			slice *= wholeSlices
		}
		end := r.Run.Started.Add(slice)
		if !end.After(time.Now()) {
			r.Run.Stop()
			return next
		}
		next = earlier(next, end)
	}
	return next
}

// limit ends a run whose job has used up its maximum download time, or its patience, and returns when that will be.
func (s *Scheduler) limit(v queue.View) (next time.Time) {
	ends := func(at time.Time, err func() error) {
		if at.After(time.Now()) {
			next = earlier(next, at)
		} else {
			v.Run.Abort(err())
		}
	}
	if most := v.Job.MaximumDownloadTime; most != 0 {
		left := most.Duration() - v.Run.Before().Duration()
		ends(v.Run.Started.Add(left), func() error {
			return bits.Errorf(hresult.BG_E_MAXDOWNLOAD_TIMEOUT, "cannot go on with job %s: it has used its maximum download time of %s", v.Job.ID, most.Duration()).In(bits.ContextQueueManager)
		})
	}
	if most := v.Job.GiveUpAfter; most != 0 {
		ends(v.Run.Moved().Add(most.Duration()), func() error {
			return bits.Errorf(hresult.ERROR_WINHTTP_TIMEOUT, "cannot go on with job %s: %w (%s)", v.Job.ID, retry.ErrGaveUp, most.Duration()).In(bits.ContextRemoteFile)
		})
	}
	return next
}

func (s *Scheduler) start(ctx context.Context, id string) error {
	run, err := s.queue.Begin(ctx, id)
	if err != nil {
		return err // it is not QUEUED any more, or held
	}
	s.runs.Go(func() {
		file, err := s.move(run.Context(), run)
		run.End(err, file)
	})
	return nil
}
