package queue_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"bits"
	"bits/hresult"
	"bits/internal/contract"
	"bits/internal/ipc"
	"bits/internal/notify"
	"bits/internal/queue"
	"bits/internal/store"
)

var ctx = context.Background()

// self is the user of this process: the files of others are not touched.
var self = contract.Caller{Owner: ipc.Self().Owner}

// open opens the queue of a folder; the test may open it again, as after a crash.
func open(t *testing.T, dir string) *queue.Queue {
	t.Helper()
	s, err := store.Open(ctx, filepath.Join(dir, "state"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	q, err := queue.Open(ctx, s, notify.New())
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// create makes a job of two files in the folder, QUEUED.
func create(t *testing.T, q *queue.Queue, dir string) *bits.Job {
	t.Helper()
	job, err := q.Create(self, bits.Spec{Resume: true, Files: []bits.FileSpec{
		{RemoteName: "http://origin/a", LocalName: filepath.Join(dir, "a")}, {RemoteName: "http://origin/b", LocalName: filepath.Join(dir, "b")},
	}})
	if err != nil {
		t.Fatal(err)
	}
	return job
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func begin(t *testing.T, q *queue.Queue, id string) *queue.Run {
	t.Helper()
	run, err := q.Begin(ctx, id)
	must(t, err)
	return run
}

// A job whose record says that it runs is QUEUED again at the next start, with its error and its promises.
func TestOpenAfterACrash(t *testing.T) {
	dir := t.TempDir()
	q := open(t, dir)
	job := create(t, q, dir)
	run := begin(t, q, job.ID)
	f := job.Files[0]
	f.Validator = &bits.Validator{ETag: `"1"`}
	must(t, run.Contact(f, true), run.Checkpoint(0, bits.Ranges{{Start: 0, End: 7}}, nil, 0, false))
	now, err := open(t, dir).Get(job.ID)
	must(t, err)
	if now.State != bits.StateQueued || now.Files[0].Done.Len() != 7 || now.Files[0].Validator.ETag != `"1"` {
		t.Errorf("%+v", now)
	}
}

// A crash between the end of a job and the removal of its temporary files leaves none behind.
func TestRecoverRemovesTemporaryFiles(t *testing.T) {
	for _, end := range []bits.Action{bits.Cancel, bits.Complete} {
		dir := t.TempDir()
		q := open(t, dir)
		job := create(t, q, dir)
		if _, err := q.Act(job.ID, end); err != nil {
			t.Fatal(err)
		}
		temp := job.Files[0].Temporary
		must(t, os.WriteFile(temp, []byte("x"), 0o600)) // as if it had not been removed yet
		open(t, dir).Recover()()
		if _, err := os.Lstat(temp); !os.IsNotExist(err) {
			t.Errorf("after %v: %s is still there", end, temp)
		}
	}
}

// After the owner has spoken, what a run reports changes nothing, except bytes that are on stable storage.
func TestReportsOfAStoppedRun(t *testing.T) {
	dir := t.TempDir()
	q := open(t, dir)
	job := create(t, q, dir)
	run := begin(t, q, job.ID)
	must(t, run.Contact(job.Files[0], true))
	go func() {
		<-run.Context().Done()
		if err := run.Checkpoint(0, bits.Ranges{{Start: 0, End: 3}}, nil, 0, false); err != nil {
			t.Errorf("what is on the disk is to be recorded: %v", err)
		}
		for name, err := range map[string]error{
			"contact": run.Contact(job.Files[0], true), "accept": run.Accept(ctx, "origin:443", [32]byte{}),
		} {
			if !errors.Is(err, queue.ErrYield) {
				t.Errorf("%s: %v", name, err)
			}
		}
		run.End(bits.Errorf(hresult.ERROR_WINHTTP_TIMEOUT, "cannot go on"), 0)
	}()
	if _, err := q.Act(job.ID, bits.Suspend); err != nil {
		t.Fatal(err)
	}
	now, err := q.Get(job.ID)
	must(t, err)
	if now.State != bits.StateSuspended || now.Error != nil || now.Files[0].Done.Len() != 3 {
		t.Errorf("%v, %+v, %v", now.State, now.Error, now.Files[0].Done)
	}
	if known, err := run.Accepted(ctx, "origin:443", [32]byte{}); known || err != nil {
		t.Errorf("a verdict that came too late is remembered (%v)", err)
	}
}

// No run begins while a job is held.
func TestOwnershipChangesBetweenRuns(t *testing.T) {
	dir := t.TempDir()
	q := open(t, dir)
	job := create(t, q, dir)
	run := begin(t, q, job.ID)
	tried := make(chan error)
	go func() {
		<-run.Context().Done()
		run.End(queue.ErrYield, -1)
		_, err := q.Begin(ctx, job.ID)
		tried <- err
	}()
	owned := make(chan error)
	go func() { owned <- q.Own(job.ID, contract.Caller{Owner: "other"}) }()
	if err := <-tried; err == nil {
		// It began before the hold was seen or after it was over: then it is the new owner's.
		if now, err := q.Get(job.ID); err != nil || now.Owner != "other" {
			t.Errorf("a run began in the middle of the change: %v, %v", now, err)
		}
	}
	must(t, <-owned)
}

// A change of the wall clock moves no timer: the times that decide are monotonic while the service runs.
func TestTimersAreMonotonic(t *testing.T) {
	dir := t.TempDir()
	q := open(t, dir)
	job := create(t, q, dir)
	begin(t, q, job.ID).End(bits.Errorf(hresult.ERROR_WINHTTP_TIMEOUT, "cannot go on").In(bits.ContextRemoteFile), 0)
	for _, v := range q.Snapshot() {
		for name, at := range map[string]*time.Time{"next retry": v.Job.NextRetry, "first error": v.Job.TransientSince} {
			if at == nil || !strings.Contains(at.String(), "m=") {
				t.Errorf("%s: %v", name, at)
			}
		}
	}
}

// A notice is numbered in the commit of what it tells, is taken only by the object that is set, and is told anew to another.
func TestNotices(t *testing.T) {
	dir := t.TempDir()
	q := open(t, dir)
	job := create(t, q, dir)
	notice := func(want bits.Notice) {
		t.Helper()
		now, err := open(t, dir).Get(job.ID) // as after a crash
		must(t, err)
		live, err := q.Get(job.ID)
		must(t, err)
		if now.Notice == nil || *now.Notice != want || *live.Notice != want {
			t.Errorf("%v on the disk, %v in memory, want %v", now.Notice, live.Notice, want)
		}
	}
	set := func() *notify.Registration {
		t.Helper()
		r, err := q.SetNotify(job.ID, bits.NotifyTransferred)
		must(t, err)
		return r
	}
	first := set()
	begin(t, q, job.ID).End(bits.Errorf(hresult.BG_E_VALIDATION_FAILED, "cannot go on"), -1)
	notice(bits.Notice{N: 1})
	before, err := q.Get(job.ID)
	must(t, err)
	q.Taken(job.ID, 1, first)
	notice(bits.Notice{N: 1, Taken: true})
	if now, err := q.Get(job.ID); err != nil || !now.Modified.Equal(before.Modified) {
		t.Errorf("to be told is a change of the job: %v", err)
	}
	second := set()
	notice(bits.Notice{N: 1})
	q.Taken(job.ID, 1, first) // its answer came too late
	notice(bits.Notice{N: 1})
	q.Taken(job.ID, 2, second) // another number
	notice(bits.Notice{N: 1})
	q.Taken(job.ID, 1, nil) // a command
	notice(bits.Notice{N: 1, Taken: true})
	if _, err := q.Act(job.ID, bits.Resume); err != nil {
		t.Fatal(err)
	}
	if now, err := q.Get(job.ID); err != nil || now.Notice != nil {
		t.Errorf("owed after the state was left: %+v, %v", now.Notice, err)
	}
	begin(t, q, job.ID).End(bits.Errorf(hresult.BG_E_VALIDATION_FAILED, "cannot go on"), -1)
	notice(bits.Notice{N: 2})
}

// A call that its owner before has begun changes nothing of a job that was taken over meanwhile.
func TestOwnerBefore(t *testing.T) {
	dir := t.TempDir()
	q := open(t, dir)
	job := create(t, q, dir)
	before := q.For(job.Owner)
	do := func(c contract.Call) func() error {
		return func() error {
			_, err := before.Do(job.ID, c, self)
			return err
		}
	}
	must(t, do(contract.SetCall(map[string]bits.RawMessage{"description": bits.RawMessage(`"his"`)}))())
	must(t, q.Own(job.ID, contract.Caller{Owner: "admin"}))
	now, err := q.Get(job.ID)
	must(t, err)
	act := func(a bits.Action) func() error {
		return func() error {
			_, err := before.Act(job.ID, a)
			return err
		}
	}
	for name, call := range map[string]func() error{
		"set":     do(contract.SetCall(map[string]bits.RawMessage{"description": bits.RawMessage(`"x"`)})),
		"add":     do(contract.AddCall(bits.Download, nil)),
		"suspend": act(bits.Suspend), "resume": act(bits.Resume), "cancel": act(bits.Cancel), "complete": act(bits.Complete),
		"own":       func() error { return before.Own(job.ID, self) },
		"attach":    func() error { _, err := before.Attach(job.ID); return err },
		"validator": func() error { _, err := before.SetValidator(job.ID, true); return err },
		"notify":    func() error { _, err := before.SetNotify(job.ID, bits.NotifyTransferred); return err },
	} {
		if err := call(); !errors.Is(err, bits.ErrNotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if after, err := q.Get(job.ID); err != nil || !after.Modified.Equal(now.Modified) || after.Owner != "admin" || after.ValidatorAttached {
		t.Errorf("%+v, %v", after, err)
	}
}

// A job of a program that did not record how its owner was elevated gets that of the service's user.
func TestElevationOfOldJobs(t *testing.T) {
	dir, self := t.TempDir(), ipc.Self()
	q := open(t, dir)
	id := map[string]string{}
	for _, owner := range []string{self.Owner, "another"} {
		job, err := q.Create(contract.Caller{Owner: owner}, bits.Spec{})
		must(t, err)
		id[owner] = job.ID
	}
	q = open(t, dir)
	for owner, want := range map[string]ipc.Peer{self.Owner: self, "another": {}} {
		if now, err := q.Get(id[owner]); err != nil || now.OwnerElevated != want.Admin || now.OwnerIntegrity != want.Integrity {
			t.Errorf("%s: %+v, %v", owner, now, err)
		}
	}
}

// How many jobs wait before one tells its owner nothing of others'.
func TestWaitingCountsOnesOwn(t *testing.T) {
	dir := t.TempDir()
	q := open(t, dir)
	for _, c := range []struct {
		owner, want string
	}{{"another", "before it: 0"}, {ipc.Self().Owner, "before it: 0"}, {ipc.Self().Owner, "before it: 1"}, {"another", "before it: 1"}} {
		job, err := q.Create(contract.Caller{Owner: c.owner}, bits.Spec{})
		must(t, err)
		_, err = q.Do(job.ID, contract.AddCall(bits.Download, []bits.FileSpec{{RemoteName: "http://origin/a", LocalName: filepath.Join(dir, "a")}}), self)
		must(t, err)
		if _, err := q.Act(job.ID, bits.Resume); err != nil {
			t.Fatal(err)
		}
		if now, err := q.Get(job.ID); err != nil || now.Waiting == nil || !strings.Contains(now.Waiting.Reason, c.want) {
			t.Errorf("%s: %+v, %v", c.owner, now.Waiting, err)
		}
	}
}

// A list says of each job what is said of it alone, and looks at many but once.
func TestWaitingInAList(t *testing.T) {
	dir := t.TempDir()
	q := open(t, dir)
	for i := range 60 {
		job, err := q.Create(contract.Caller{Owner: []string{"a", "b"}[i%2]}, bits.Spec{
			Resume: i%5 != 0, Properties: map[string]bits.RawMessage{"priority": bits.RawMessage([]string{`"FOREGROUND"`, `"LOW"`, `"HIGH"`, `"NORMAL"`}[i%4])},
			Files: []bits.FileSpec{{RemoteName: "http://origin/a", LocalName: filepath.Join(dir, "a")}},
		})
		must(t, err)
		if i%7 == 1 && job.State == bits.StateQueued {
			begin(t, q, job.ID)
		}
	}
	said := map[string]int{}
	for _, j := range q.List(func(*bits.Job) bool { return true }) {
		alone, err := q.Get(j.ID)
		must(t, err)
		if j.State == bits.StateQueued {
			said[j.Waiting.Reason]++
			if j.Waiting.Reason != alone.Waiting.Reason {
				t.Errorf("%q in the list, %q alone", j.Waiting.Reason, alone.Waiting.Reason)
			}
		}
	}
	if len(said) < 10 {
		t.Errorf("too little to compare: %v", said)
	}
}

// A job of another user that has files all the same, from another version perhaps: a service with privilege touches them in no way.
func TestFilesOfAnotherStay(t *testing.T) {
	if !ipc.Self().Admin {
		t.Skipf("it needs an administrator; this is user %d", os.Geteuid())
	}
	for _, c := range []struct {
		owner, from string
		end         bits.Action
		code        hresult.Code
		refused     hresult.Code
	}{
		{"uid:12345", "", bits.Cancel, hresult.BG_S_UNABLE_TO_DELETE_FILES, 0},
		{"uid:12345", "", bits.Complete, 0, hresult.E_NOTIMPL},
		{ipc.Self().Owner, "uid:12345", bits.Cancel, hresult.BG_S_UNABLE_TO_DELETE_FILES, 0},
		{ipc.Self().Owner, "uid:12345", bits.Complete, 0, hresult.E_NOTIMPL},
		{"uid:12345", ipc.Self().Owner, bits.Complete, hresult.S_OK, 0},
	} {
		dir := t.TempDir()
		size, temp, local := int64(4), filepath.Join(dir, "temp"), filepath.Join(dir, "local")
		s, err := store.Open(ctx, filepath.Join(dir, "state"))
		must(t, err, os.WriteFile(temp, []byte("data"), 0o600), os.WriteFile(local, []byte("kept"), 0o600))
		job := &bits.Job{
			ID: bits.NewID(), Owner: c.owner, TakenFrom: c.from, State: bits.StateTransferred, Modified: time.Now(),
			Files: []bits.File{{RemoteName: "http://origin/f", LocalName: local, Temporary: temp, Size: &size, Done: bits.Ranges{{Start: 0, End: 4}}, Finished: true}},
		}
		must(t, s.Save(ctx, &store.Change{Files: []*bits.File{&job.Files[0]}, Job: job}), s.Close())
		q := open(t, dir)
		id := q.List(func(*bits.Job) bool { return true })[0].ID
		code, err := q.Act(id, c.end)
		if code != c.code || c.refused == 0 && err != nil || c.refused != 0 && bits.AsError(err).Code != c.refused {
			t.Errorf("%v of %s from %q: %v, %v", c.end, c.owner, c.from, code, err)
		}
		open(t, dir).Recover()()
		text, _ := os.ReadFile(local)
		_, err = os.Lstat(temp)
		if touched := err != nil || string(text) != "kept"; touched != (code == hresult.S_OK && c.refused == 0) {
			t.Errorf("%v of %s from %q: %q, %v", c.end, c.owner, c.from, text, err)
		}
	}
}

// A run that its owner's change has stopped says nothing more of the file: what it knows is of the old name.
func TestReportsAfterAChangeCountForNothing(t *testing.T) {
	dir := t.TempDir()
	q := open(t, dir)
	job := create(t, q, dir)
	run := begin(t, q, job.ID)
	f := job.Files[0]
	f.Validator = &bits.Validator{ETag: `"1"`}
	must(t, run.Contact(f, true))
	i := slices.IndexFunc(contract.Operations(), func(o contract.Operation) bool { return o.Name == "set-remote-name" })
	call, err := contract.Operations()[i].Read(bits.RawMessage(`{"remote_name":"http://other/a"}`), 0)
	must(t, err)
	done := make(chan error)
	go func() {
		_, err := q.Do(job.ID, call, self)
		done <- err
	}()
	<-run.Context().Done()
	if err := run.Contact(f, true); !errors.Is(err, queue.ErrYield) {
		t.Errorf("Contact after the change: %v", err)
	}
	must(t, run.Checkpoint(0, bits.Ranges{{Start: 0, End: 5}}, nil, 0, false)) // of the version that was begun, which may be the same there
	run.End(queue.ErrYield, 0)
	must(t, <-done)
	now, err := q.Get(job.ID)
	must(t, err)
	if f := now.Files[0]; f.RemoteName != "http://other/a" || !f.Renamed || f.Done.Len() != 5 || now.State != bits.StateQueued {
		t.Errorf("%v, %+v", now.State, f)
	}
}

// What a run reports changes no job that was handed out before.
func TestReportsChangeNoJobHandedOut(t *testing.T) {
	dir := t.TempDir()
	q := open(t, dir)
	job := create(t, q, dir)
	run := begin(t, q, job.ID)
	before, err := q.Get(job.ID)
	must(t, err)
	must(t, run.Contact(job.Files[0], true), run.Checkpoint(0, nil, nil, 0, true))
	if before.Files[0].Finished {
		t.Error("it was changed")
	}
	if f, ok := run.Next(func(f *bits.File) bool { return !f.Finished }); !ok || f.Number != 1 {
		t.Errorf("the next file is %d, %v", f.Number, ok)
	}
}

// In on-demand mode a run that has fetched what was requested leaves the job SUSPENDED.
func TestSatisfied(t *testing.T) {
	dir := t.TempDir()
	q := open(t, dir)
	job, err := q.Create(self, bits.Spec{Resume: true, Properties: map[string]bits.RawMessage{"on_demand_mode": bits.RawMessage("true")}, Files: []bits.FileSpec{{RemoteName: "http://origin/a", LocalName: filepath.Join(dir, "a")}}})
	must(t, err)
	begin(t, q, job.ID).End(nil, -1)
	if now, err := q.Get(job.ID); err != nil || now.State != bits.StateSuspended {
		t.Errorf("%v, %v", now.State, err)
	}
}

// A crash, or a disk that was full, came between the last byte and the record that the file is whole: the next run records it, and asks
// no server.
func TestWholeButNotFinished(t *testing.T) {
	dir := t.TempDir()
	q := open(t, dir)
	job := create(t, q, dir)
	run := begin(t, q, job.ID)
	f, size := job.Files[0], int64(7)
	f.Size, f.Validator = &size, &bits.Validator{ETag: `"1"`, Size: 7}
	done := bits.Ranges{{Start: 0, End: 7}}
	must(t, run.Contact(f, true), run.Checkpoint(0, done, nil, 0, false))
	q = open(t, dir)
	run = begin(t, q, job.ID)
	if f, ok := run.Next(func(f *bits.File) bool { return !f.Finished }); !ok || f.Number != 0 {
		t.Fatalf("the next file is %d, %v", f.Number, ok)
	}
	must(t, run.Checkpoint(0, done, nil, 7, true))
	if now, err := q.Get(job.ID); err != nil || !now.Files[0].Finished {
		t.Errorf("%+v, %v", now.Files[0], err)
	}
}

// A job that fails, is completed by its owner as it is, and would have completed by itself: its owner is not told that it is TRANSFERRED.
func TestNoticeOfAnErrorEndsWithIt(t *testing.T) {
	dir := t.TempDir()
	q := open(t, dir)
	job := create(t, q, dir)
	_, err := q.Do(job.ID, contract.SetCall(map[string]bits.RawMessage{"auto_complete": bits.RawMessage("true")}), self)
	must(t, err)
	begin(t, q, job.ID).End(bits.Errorf(hresult.BG_E_VALIDATION_FAILED, "cannot go on"), -1)
	if _, err := q.Act(job.ID, bits.Complete); err != nil {
		t.Fatal(err)
	}
	if now, err := q.Get(job.ID); err != nil || now.State != bits.StateAcknowledged || now.Notice != nil {
		t.Errorf("%v, %+v, %v", now.State, now.Notice, err)
	}
}

// A network that is lost when the last byte is recorded ends nothing: the job is TRANSFERRED, and waits for none.
func TestLostNetworkAfterTheLastByte(t *testing.T) {
	dir := t.TempDir()
	q := open(t, dir)
	job := create(t, q, dir)
	run := begin(t, q, job.ID)
	for _, f := range job.Files {
		f.Validator = &bits.Validator{ETag: `"1"`}
		must(t, run.Contact(f, true), run.Checkpoint(f.Number, bits.Ranges{{End: 7}}, nil, 7, true))
	}
	run.Abort(bits.Errorf(hresult.BG_E_NETWORK_DISCONNECTED, "the network is gone"))
	run.End(nil, -1)
	if now, err := q.Get(job.ID); err != nil || now.State != bits.StateTransferred {
		t.Errorf("%v, %+v, %v", now.State, now.Error, err)
	}
}
