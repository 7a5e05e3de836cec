// Package notifier tells the owners of jobs what has happened to them, as BITS does.
//
// There are three channels: the callback object of an application that is attached, an application that is started because it is needed,
// and a command. What must be told is part of the job and survives a restart; here is only what is under way.
// Like the scheduler, each step looks at the queue, acts, and says when to look again.
package notifier

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"bits"
	"bits/internal/notify"
	"bits/internal/queue"
	"bits/internal/wire"
)

// The numbers of the notifier.
const (
	// AtOnce is how many calls of callbacks a user has open at the most, over all jobs; and how many commands run.
	AtOnce = 4
	// FirstAgain is when a callback that failed is called again; each further time waits twice as long, at most MostAgain.
	FirstAgain = time.Second
	MostAgain  = time.Minute
	// AttachTime is how long an application that was started has to attach itself.
	AttachTime = 30 * time.Second

	longest = 5 * time.Minute // between two looks: the wall clock may be set
)

// Programs starts the programs of users.
// Both calls return when the program has ended; nil is the exit code 0.
type Programs interface {
	Command(ctx context.Context, j *bits.Job) error
	Activate(ctx context.Context, j *bits.Job) error
	// CanActivate reports whether an application is registered for the job.
	CanActivate(j *bits.Job) bool
}

// Notifier tells what happens to the jobs of a queue.
type Notifier struct {
	queue    *queue.Queue
	hub      *notify.Hub
	programs Programs
	commands bool // policy allows notification commands
	log      *slog.Logger

	calls sync.WaitGroup
	kick  chan struct{} // holds one when something that was under way has ended

	mu      sync.Mutex
	jobs    map[string]*state
	open    [2]map[string]int // by owner: callbacks that are called, commands that run
	started map[string]bool   // by owner and application: a process runs
}

// state is what is under way, or was tried, with one job.
type state struct {
	object *notify.Registration // the object that all of this is about
	n      int64                // the notice that is told now
	busy   bool                 // a callback is called, or a command runs, for it

	refused  bool      // the object has failed: it is the command's turn
	failures int       // of the object
	call     time.Time // the object is not called before
	command  time.Time // the command is not run before

	attach   time.Time // until then an application that was started may attach itself; zero: none was
	activate time.Time // none is started before
	shares   string    // the process of another job from which an object is expected; see started

	light [2]light            // JobModification, FileRangesTransferred
	seen  uint64              // the changes that JobModification has told
	told  map[int]bits.Ranges // what FileRangesTransferred has told
}

// light is a notification that is not kept, but spaced.
type light struct {
	busy bool
	next time.Time
}

// New returns a Notifier.
// Without commands, which is a matter of policy, no notification command is run.
func New(q *queue.Queue, hub *notify.Hub, p Programs, commands bool, log *slog.Logger) *Notifier {
	return &Notifier{
		queue: q, hub: hub, programs: p, commands: commands, log: log,
		kick: make(chan struct{}, 1), jobs: map[string]*state{}, started: map[string]bool{},
		open: [2]map[string]int{{}, {}},
	}
}

// Run tells what happens until the context ends.
// Commands that run then go on; what they were run for is told again at the next start.
func (n *Notifier) Run(ctx context.Context) {
	defer n.calls.Wait()
	for ctx.Err() == nil {
		changed := n.queue.Changed()
		wait := longest
		if next := n.step(ctx, time.Now()); !next.IsZero() {
			wait = min(wait, max(time.Until(next), time.Millisecond))
		}
		timer := time.NewTimer(wait)
		select {
		case <-changed:
		case <-n.kick:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// Busy reports whether something is to be told that needs no application to come by itself: a command, or one that can be started.
func (n *Notifier) Busy() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, v := range n.queue.Inspect(tellsFiles) {
		if d := n.owed(v.Job, n.hub.Attached(v.Job.ID, notify.Notifications), true); d.notice != nil && (n.runs(v.Job, d) || n.activates(v.Job)) {
			return true
		}
	}
	return false
}

// due is a notice that is to be told: of a file, or of the job itself.
type due struct {
	notice *bits.Notice
	file   int // -1: of the job
}

// owed is what is to be told next, if anything: the files before the job, and each until it is taken.
// Files are told only to objects that can take them; expected is whether one may come by itself.
// A job that completes by itself is told of when its files have their names.
func (n *Notifier) owed(j *bits.Job, object *notify.Registration, expected bool) (next due) {
	if j.Completing || j.AutoComplete && j.State == bits.StateTransferred || j.State.Final() && !(j.AutoComplete && j.State == bits.StateAcknowledged) {
		return due{}
	}
	if wanted(j, bits.NotifyFile) {
		for i := range j.Files { // in the order in which they arrived
			if f := &j.Files[i]; f.Notice != nil && !f.Notice.Taken && (next.notice == nil || f.Notice.N < next.notice.N) {
				next = due{f.Notice, i}
			}
		}
		if next.notice != nil && (object != nil && object.Takes&bits.NotifyFile != 0 || object == nil && expected && n.activates(j)) {
			return next
		}
	}
	if wanted(j, flags[j.State]) && j.Notice != nil && !j.Notice.Taken {
		return due{j.Notice, -1}
	}
	return due{}
}

// flags are those of the states that are told.
var flags = map[bits.State]bits.NotifyFlags{bits.StateTransferred: bits.NotifyTransferred, bits.StateAcknowledged: bits.NotifyTransferred, bits.StateError: bits.NotifyError}

// wanted reports whether the flags of the job ask for one of these events.
func wanted(j *bits.Job, events bits.NotifyFlags) bool {
	return j.NotifyFlags&bits.NotifyDisable == 0 && j.NotifyFlags&events != 0
}

// tellsFiles reports whether the files of a job are looked at.
func tellsFiles(j *bits.Job) bool { return wanted(j, bits.NotifyFile|bits.NotifyRanges) }

// runs reports whether the job has a command for what is due.
func (n *Notifier) runs(j *bits.Job, d due) bool {
	return d.file < 0 && j.NotifyCommand != nil && n.commands
}

// activates reports whether the job has an application that can be started.
func (n *Notifier) activates(j *bits.Job) bool {
	return j.NotificationCLSID != "" && n.programs.CanActivate(j)
}

// act is something to do now.
type act struct {
	job  *bits.Job
	slot int // 0: a callback, 1: a command, -1: none is needed
	do   func()
}

// step does what is to be done, and returns when to look again without a change.
func (n *Notifier) step(ctx context.Context, now time.Time) (next time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	views := n.queue.Inspect(tellsFiles)
	at := func(t time.Time) bool { // whether it is time; if not, that is when to look again
		if t.After(now) {
			if next.IsZero() || t.Before(next) {
				next = t
			}
			return false
		}
		return true
	}
	var kept, spaced []act
	there := make(map[string]bool, len(views))
	for _, v := range views {
		there[v.Job.ID] = true
		s := n.state(v)
		d, acts := n.plan(ctx, now, v.Job, s, at)
		kept = append(kept, acts...)
		spaced = append(spaced, n.planLight(ctx, now, v, s, at)...)
		if s.object != nil && v.Job.State.Final() && d.notice == nil && !s.busy && !s.light[0].busy && !s.light[1].busy && !modified(v, s) {
			n.hub.Remove(v.Job.ID, notify.Notifications) // it has been told the last
		}
	}
	for id, s := range n.jobs {
		if !there[id] && !s.busy {
			delete(n.jobs, id)
		}
	}
	// Who has waited longest goes first, and what is not kept goes last.
	slices.SortFunc(kept, func(a, b act) int { return a.job.Modified.Compare(b.job.Modified) })
	for _, a := range append(kept, spaced...) {
		if a.slot < 0 {
			a.do()
		} else if n.open[a.slot][a.job.Owner] < AtOnce {
			n.open[a.slot][a.job.Owner]++
			a.do()
		}
	}
	return next
}

// state returns what is known of a job; another object begins anew.
func (n *Notifier) state(v queue.View) *state {
	s := n.jobs[v.Job.ID]
	if s == nil {
		s = &state{}
		n.jobs[v.Job.ID] = s
	}
	if object := n.hub.Attached(v.Job.ID, notify.Notifications); object != s.object {
		s.object, s.refused, s.failures, s.call = object, false, 0, time.Time{}
		s.told = nil
		if object != nil {
			s.seen, s.attach, s.shares = object.Since, time.Time{}, ""
		}
	}
	return s
}

// plan chooses the channel for what is owed: the object, else an application that can be started, else the command.
func (n *Notifier) plan(ctx context.Context, now time.Time, j *bits.Job, s *state, at func(time.Time) bool) (due, []act) {
	if !s.attach.IsZero() && !s.attach.After(now) {
		n.log.Warn("an application that was started has not attached itself", "job", j.ID, "clsid", j.NotificationCLSID)
		s.attach, s.activate = time.Time{}, now.Add(j.MinimumRetryDelay.Duration())
	}
	waiting := !s.attach.IsZero()
	expected := waiting || s.object == nil && j.NotificationCLSID != "" && at(s.activate)
	d := n.owed(j, s.object, expected)
	if d.notice == nil || s.busy {
		return d, nil
	}
	if s.n != d.notice.N {
		s.n, s.refused, s.failures, s.call, s.command = d.notice.N, false, 0, time.Time{}, time.Time{}
	}
	switch command := n.runs(j, d); {
	case s.object != nil && !(s.refused && command):
		if at(s.call) {
			return d, []act{{j, 0, func() { n.call(ctx, j, s, d) }}}
		}
	case waiting:
		at(s.attach)
	case s.object == nil && expected && n.activates(j):
		return d, []act{{j, -1, func() { n.start(ctx, j, s) }}}
	case command && at(s.command):
		return d, []act{{j, 1, func() { n.run(ctx, j, s, d) }}}
	}
	return d, nil
}

// call calls the object.
// JobTransferred and JobError are taken with S_OK alone, FileTransferred with every success.
func (n *Notifier) call(ctx context.Context, j *bits.Job, s *state, d due) {
	object := s.object
	note := bits.Notification{N: d.notice.N, Kind: wire.JobTransferredCall}
	switch {
	case d.file >= 0:
		note.Kind, note.File = wire.FileTransferredCall, &j.Files[d.file]
	case j.State == bits.StateError:
		note.Kind, note.Error = wire.JobErrorCall, j.Error
	}
	s.busy = true
	n.send(ctx, j, object, note, func(taken, valid bool) {
		s.busy = false
		switch {
		case taken:
			s.activate = time.Time{} // what it was started for has come true
		case valid && object == s.object && note.N == s.n:
			s.refused = true
			s.call = time.Now().Add(min(MostAgain, FirstAgain<<min(s.failures, 10)))
			s.failures++
		}
	})
}

// send calls an object beside all else; then is told whether it has taken the notification, and whether it could be called at all.
func (n *Notifier) send(ctx context.Context, j *bits.Job, object *notify.Registration, note bits.Notification, then func(taken, valid bool)) {
	n.calls.Go(func() {
		taken, valid := n.sent(ctx, j.ID, object, note)
		if taken && note.N != 0 {
			n.queue.Taken(j.ID, note.N, object)
		}
		n.ended(j.Owner, 0, func() { then(taken, valid) })
	})
}

func (n *Notifier) sent(ctx context.Context, id string, object *notify.Registration, note bits.Notification) (taken, valid bool) {
	now, err := n.queue.Get(id)
	if err != nil {
		return false, false
	}
	note.Job = *now
	if note.File != nil {
		note.Job.Files = nil
	}
	code, err := n.hub.Notify(ctx, object, note)
	switch {
	case err != nil:
		return false, false
	case code.Failed() || code != 0 && note.Kind != wire.FileTransferredCall:
		n.log.Warn("a callback has failed", "job", id, "kind", note.Kind, "n", note.N, "hresult", code)
		return false, true
	}
	return true, true
}

// ended frees what was taken for something that is over.
func (n *Notifier) ended(owner string, slot int, then func()) {
	n.mu.Lock()
	if n.open[slot][owner]--; n.open[slot][owner] == 0 {
		delete(n.open[slot], owner)
	}
	then()
	n.mu.Unlock()
	n.look()
}

func (n *Notifier) look() {
	select {
	case n.kick <- struct{}{}:
	default:
	}
}

// run runs the command of the job.
// If that fails, and the job is still as it was, all is tried again after the minimum retry delay, the object first.
func (n *Notifier) run(ctx context.Context, j *bits.Job, s *state, d due) {
	s.busy = true
	go func() {
		err := n.programs.Command(ctx, j)
		if err == nil && ctx.Err() == nil {
			n.queue.Taken(j.ID, d.notice.N, nil)
		}
		n.ended(j.Owner, 1, func() {
			s.busy = false
			if err != nil && s.n == d.notice.N {
				s.refused, s.command = false, time.Now().Add(j.MinimumRetryDelay.Duration())
				s.call = s.command
			}
		})
	}()
}

// start starts the application that is registered for the job, unless it runs already, and gives it time to attach itself.
func (n *Notifier) start(ctx context.Context, j *bits.Job, s *state) {
	s.attach = time.Now().Add(AttachTime)
	s.activate = s.attach.Add(j.MinimumRetryDelay.Duration())
	defer n.look()
	key := j.Owner + " " + j.NotificationCLSID
	if n.started[key] {
		s.shares = key
		return
	}
	n.started[key] = true
	go func() {
		err := n.programs.Activate(ctx, j)
		n.mu.Lock()
		defer n.mu.Unlock()
		defer n.look()
		delete(n.started, key)
		if err != nil && !s.attach.IsZero() {
			s.attach = time.Now() // nothing will come of it
		}
		for _, o := range n.jobs {
			if o.shares == key { // it may have one of its own
				o.shares, o.attach, o.activate = "", time.Time{}, time.Time{}
			}
		}
	}()
}
