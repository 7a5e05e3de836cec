package tests

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bits"
	"bits/client"
	"bits/client/bitstest"
	"bits/hresult"
	"bits/internal/program"
)

// spoil makes the store of a service refuse some writes, as a full disk does, until mend is called.
// The condition is of SQL triggers: "update on job when new.state = 'CONNECTING'".
func spoil(t *testing.T, s *bitstest.Service, condition string) (mend func()) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(s.Dir, "state", "bits.db")+"?_pragma=busy_timeout(5000)")
	bitstest.Must(t, err)
	t.Cleanup(func() { db.Close() })
	do := func(text string) {
		t.Helper()
		_, err := db.Exec(text)
		bitstest.Must(t, err)
	}
	do("create trigger spoilt before " + condition + " begin select raise(abort, 'spoilt'); end")
	return func() { do("drop trigger spoilt") }
}

// The record of a Complete fails when the files have their names: the job is completed all the same, and no restart is needed.
func TestRecordOfCompleteFails(t *testing.T) {
	t.Parallel()
	for _, auto := range []bool{false, true} {
		s, o := bitstest.Start(t), bitstest.NewOrigin(t)
		o.File("/f", []byte("x"))
		job := s.NewJob(with(o.Trust(), "auto_complete", auto), o.Plain+"/f")
		mend := spoil(t, s, "update on job when new.state = 'ACKNOWLEDGED'")
		bitstest.Must(t, s.Resume(ctx, job.ID))
		if !auto {
			s.Await(job.ID, bits.StateTransferred)
			if _, err := s.Complete(ctx, job.ID); err != nil {
				t.Error(err)
			}
		}
		s.Await(job.ID, bits.StateAcknowledged)
		mend()
		s.Restart() // the record of the intention is finished
		s.Await(job.ID, bits.StateAcknowledged)
		same(t, s.Path("f"), []byte("x"))
	}
}

// The record of a beginning fails: the job runs all the same.
func TestRecordOfBeginFails(t *testing.T) {
	t.Parallel()
	s, o := bitstest.Start(t), bitstest.NewOrigin(t)
	o.File("/f", []byte("x"))
	job := s.NewJob(o.Trust(), o.Plain+"/f")
	defer spoil(t, s, "update on job when new.state = 'CONNECTING'")()
	bitstest.Must(t, s.Resume(ctx, job.ID))
	s.Await(job.ID, bits.StateTransferred)
}

// A checkpoint cannot be recorded: the job is tried again, and loses nothing.
func TestRecordOfCheckpointFails(t *testing.T) {
	t.Parallel()
	s, o := bitstest.Start(t), bitstest.NewOrigin(t)
	data := bitstest.Content(13, 100_000)
	open := o.Gate("/f", data, 1000)
	job := s.NewJob(o.Trust(), o.Plain+"/f")
	bitstest.Must(t, s.Resume(ctx, job.ID))
	s.Await(job.ID, bits.StateTransferring)
	mend := spoil(t, s, "update on file")
	open()
	now := s.Await(job.ID, bits.StateTransientError)
	if now.Error.Context != bits.ContextQueueManager || !strings.Contains(now.Error.Message, "cannot record") {
		t.Errorf("%+v", now.Error)
	}
	mend()
	s.Await(job.ID, bits.StateTransferred)
	finish(t, s, job, data)
}

// cut is a page that breaks off after some bytes, and has no ranges.
func cut(data []byte, after int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100000")
		w.Write(data[:after])
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
}

// What comes again and again is no progress, and neither is silence: patience ends.
func TestPatienceEnds(t *testing.T) {
	t.Parallel()
	s, o := bitstest.Start(t), bitstest.NewOrigin(t)
	o.Page("/cut", cut(bitstest.Content(14, 50_000), 50_000))
	o.Gate("/stall", bitstest.Content(15, 1000), 500)
	o.Gate("/hang", nil, -1)
	began := time.Now()
	var jobs []*bits.Job
	for _, path := range []string{"/cut", "/stall", "/hang"} {
		job := s.NewJob(with(o.Trust(), "give_up_after", 3, "priority", "FOREGROUND"), o.Plain+path)
		bitstest.Must(t, s.Resume(ctx, job.ID))
		jobs = append(jobs, job)
	}
	for _, job := range jobs {
		now := s.Await(job.ID, bits.StateError)
		if time.Since(began) > 15*time.Second || now.Error == nil || now.Error.Context != bits.ContextRemoteFile {
			t.Errorf("%s: after %v: %+v", job.Files[0].RemoteName, time.Since(began), now.Error)
		}
	}
}

// The temporary file is removed while the server thinks: what was recorded is fetched again, and no zeros take its place.
func TestTemporaryFileRemovedWhileAsking(t *testing.T) {
	t.Parallel()
	s, o := bitstest.Start(t), bitstest.NewOrigin(t)
	data := bitstest.Content(16, 400_000)
	first, path := true, ""
	o.Page("/f", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"x"`)
		if first {
			first = false
			w.Header().Set("Content-Length", "400000")
			w.Write(data[:200_000])
			w.(http.Flusher).Flush()
			time.Sleep(200 * time.Millisecond)
			panic(http.ErrAbortHandler)
		}
		os.Remove(path)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
	})
	job := s.NewJob(o.Trust(), o.Plain+"/f")
	path = job.Files[0].Temporary
	bitstest.Must(t, s.Resume(ctx, job.ID))
	now := s.Until(job.ID, func(j *bits.Job) bool { return j.State == bits.StateTransferred || j.State == bits.StateError })
	if now.State == bits.StateTransferred {
		finish(t, s, job, data)
	} else if now.Error.Context != bits.ContextLocalFile { // it is removed in every attempt, which can only be told
		t.Errorf("%+v", now.Error)
	}
}

// A file that is added to a TRANSFERRED job is not dropped because the job completes by itself.
func TestAddedFileIsNotDropped(t *testing.T) {
	t.Parallel()
	s, o := bitstest.Start(t), bitstest.NewOrigin(t)
	o.File("/a", []byte("a"))
	o.File("/b", []byte("b"))
	job := s.NewJob(o.Trust(), o.Plain+"/a")
	ended(t, s, job)
	bitstest.Must(t, s.Add(ctx, job.ID, bits.FileSpec{RemoteName: o.Plain + "/b", LocalName: s.Path("b")}),
		s.Set(ctx, job.ID, map[string]any{"auto_complete": true}))
	time.Sleep(300 * time.Millisecond)
	wantState(t, s, job.ID, bits.StateTransferred)
	bitstest.Must(t, s.Resume(ctx, job.ID))
	s.Await(job.ID, bits.StateAcknowledged)
	for _, name := range []string{"a", "b"} {
		if _, err := os.Stat(s.Path(name)); err != nil {
			t.Error(err)
		}
	}
}

// One file that is lost does not keep the others from their names, and Resume fetches it again.
func TestCompleteGoesOnOverALostFile(t *testing.T) {
	t.Parallel()
	s, o := bitstest.Start(t), bitstest.NewOrigin(t)
	o.File("/a", []byte("a"))
	o.File("/b", []byte("b"))
	job := s.NewJob(o.Trust(), o.Plain+"/a", o.Plain+"/b")
	now := ended(t, s, job)
	bitstest.Must(t, os.Remove(now.Files[0].Temporary))
	if _, err := s.Complete(ctx, job.ID); bits.AsError(err).Code != hresult.ERROR_FILE_NOT_FOUND {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(s.Path("b")); err != nil {
		t.Error(err)
	}
	bitstest.Must(t, s.Resume(ctx, job.ID))
	s.Until(job.ID, func(j *bits.Job) bool { return j.State == bits.StateTransferred && j.Progress.FilesTransferred == 2 })
	if code, err := s.Complete(ctx, job.ID); err != nil || code != hresult.S_OK {
		t.Errorf("%v, %v", code, err)
	}
	same(t, s.Path("a"), []byte("a"))
}

// A clock that is months ahead at the start cancels nothing.
func TestClockAheadAtStart(t *testing.T) {
	t.Parallel()
	s, o := bitstest.Start(t), bitstest.NewOrigin(t)
	o.File("/f", []byte("x"))
	now := ended(t, s, s.NewJob(o.Trust(), o.Plain+"/f"))
	s.Stop()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(s.Dir, "state", "bits.db"))
	bitstest.Must(t, err)
	_, err = db.Exec("update job set properties = json_set(properties, '$.modified', ?)", time.Now().Add(-120*24*time.Hour).Format(time.RFC3339))
	bitstest.Must(t, err, db.Close())
	for range 2 {
		s.Restart()
		time.Sleep(100 * time.Millisecond)
		wantState(t, s, now.ID, bits.StateTransferred)
		s.Stop()
	}
	if _, err := os.Stat(now.Files[0].Temporary); err != nil {
		t.Error(err)
	}
}

// A decline with the code of "cannot be called" is a decline.
func TestDeclineWithTheCodeOfNobody(t *testing.T) {
	t.Parallel()
	s, o := bitstest.Start(t), bitstest.NewOrigin(t)
	o.File("/f", []byte("x"))
	job := s.NewJob(o.Trust(), o.URL+"/f")
	set(t, s, job.ID, &bitstest.Judge{Verdict: func(context.Context, bits.Question) error {
		return bits.Errorf(hresult.BG_E_SERVER_CERT_VALIDATION_INTERFACE_REQUIRED, "no")
	}})
	wantError(t, ended(t, s, job), bits.StateTransientError, bits.ContextCertificateCallback, hresult.BG_E_SERVER_CERT_VALIDATION_INTERFACE_REQUIRED)
}

// While the application thinks, the job says what it waits for.
func TestWaitsForTheVerdict(t *testing.T) {
	t.Parallel()
	s, o := bitstest.Start(t), bitstest.NewOrigin(t)
	o.File("/f", []byte("x"))
	answer := make(chan bool)
	job := s.NewJob(o.Trust(), o.URL+"/f")
	set(t, s, job.ID, &bitstest.Judge{Verdict: func(context.Context, bits.Question) error { <-answer; return nil }})
	bitstest.Must(t, s.Resume(ctx, job.ID))
	s.Until(job.ID, func(j *bits.Job) bool { return j.Waiting != nil && strings.Contains(j.Waiting.Reason, "verdict") })
	close(answer)
	s.Await(job.ID, bits.StateTransferred)
}

// A program with a folder of its own names its authorities by a relative path; the service has another folder.
func TestRelativeTrust(t *testing.T) {
	s, o := bitstest.Start(t), bitstest.NewOrigin(t)
	o.File("/f", []byte("x"))
	bitstest.Must(t, os.WriteFile(s.Path("ca.pem"), o.Roots(), 0o600))
	t.Chdir(s.Path(""))
	t.Setenv("SSL_CERT_FILE", "ca.pem")
	job, err := s.Create(ctx, bits.Spec{Files: []bits.FileSpec{{RemoteName: o.URL + "/f", LocalName: s.Path("f")}}})
	bitstest.Must(t, err)
	if now := ended(t, s, job); now.State != bits.StateTransferred {
		t.Errorf("%v, %+v", now.State, now.Error)
	}
	if _, err := s.Create(ctx, bits.Spec{Files: []bits.FileSpec{{RemoteName: o.URL + "/f", LocalName: s.Path("x\xff")}}}); !errors.Is(err, bits.ErrInvalidArg) {
		t.Errorf("a name that JSON would change: %v", err)
	}
}

// The state folder of another user, or one that others can change, is refused.
func TestStateFolderOfOthers(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(string) error{
		"open to all":    func(dir string) error { return os.Chmod(dir, 0o777) },
		"another user's": func(dir string) error { return os.Chown(dir, 1234, 1234) },
	} {
		t.Run(name, func(t *testing.T) {
			if name != "open to all" {
				asRoot(t)
			}
			dir := program.Dir(t)
			state := filepath.Join(dir, "state")
			bitstest.Must(t, os.Mkdir(state, 0o700), spoil(state))
			out, err := program.Command(dir, "daemon").CombinedOutput()
			if err == nil || !strings.Contains(string(out), "cannot use the state folder") {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
}

// session is a command in a session of the user with its own runtime folder.
func session(home, runtime string, args ...string) *exec.Cmd {
	cmd := program.Command(home, args...)
	var env []string
	for _, v := range cmd.Env {
		if !strings.HasPrefix(v, "BITS_SOCKET=") && !strings.HasPrefix(v, "BITS_STATE_DIR=") && !strings.HasPrefix(v, "XDG_") && !strings.HasPrefix(v, "HOME=") {
			env = append(env, v)
		}
	}
	cmd.Env = append(env, "HOME="+home, "XDG_RUNTIME_DIR="+runtime)
	return cmd
}

// Every session of a user finds his one service, whatever its runtime folder; and when that is removed, as at log-out, it is found again.
func TestSessionsFindTheService(t *testing.T) {
	t.Parallel()
	home := program.Dir(t)
	one, two := filepath.Join(home, "one"), filepath.Join(home, "two")
	bitstest.Must(t, os.Mkdir(one, 0o700), os.Mkdir(two, 0o700))
	pid := func(runtime string) string {
		t.Helper()
		out, err := session(home, runtime, "api", "GET", "/v1/system").CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		_, rest, _ := strings.Cut(string(out), `"pid":`)
		n, _, _ := strings.Cut(rest, ",")
		return n
	}
	t.Cleanup(func() { session(home, two, "api", "POST", "/v1/system/stop").Run() })
	first := pid(one)
	for _, runtime := range []string{two, "", "/nowhere"} {
		if got := pid(runtime); got != first {
			t.Errorf("XDG_RUNTIME_DIR=%s: service %s, want %s", runtime, got, first)
		}
	}
	bitstest.Must(t, os.RemoveAll(filepath.Join(one, "bits")))
	c := &client.Client{Socket: filepath.Join(one, "bits", "bits.sock")}
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if _, err := c.System(ctx); err == nil {
			break
		}
	}
	if got := pid(one); got != first {
		t.Errorf("after the socket was removed: service %s, want %s", got, first)
	}
}

// The service does not end while somebody is connected, also if he came when it was idle.
func TestIdleExitSeesWhoIsConnected(t *testing.T) {
	t.Parallel()
	dir := program.Dir(t)
	c, ended := idler(t, dir, "700ms")
	time.Sleep(400 * time.Millisecond)
	life, stop := context.WithCancel(ctx)
	go func() {
		for range c.Events(life, client.Now, "") { // quiet, but connected
		}
	}()
	select {
	case <-ended:
		t.Error("it ended under somebody who listens")
	case <-time.After(2 * time.Second):
	}
	stop()
	c.Close()
	<-ended
}
