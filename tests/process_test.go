package tests

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bits"
	"bits/client"
	"bits/client/bitstest"
	"bits/internal/program"
)

// build makes a program whose build differs from every other name's, with a file time of its own.
func build(t *testing.T, dir, name string, age time.Duration) string {
	t.Helper()
	path := filepath.Join(dir, name)
	out, err := exec.Command("go", "build", "-ldflags", "-X main.name="+name, "-o", path, "bits/cmd/bits").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	at := time.Now().Add(-age)
	bitstest.Must(t, os.Chtimes(path, at, at))
	return path
}

// A rebuilt program takes the place of an older service: an idle one, and a busy one at a checkpoint. It does not take the place of a
// newer one, nor of one to which applications are attached: then the message names both.
func TestRebuiltProgramReplacesTheService(t *testing.T) {
	t.Parallel()
	dir := program.Dir(t)
	old, young := build(t, dir, "old", time.Hour), build(t, dir, "young", time.Minute)
	state, socket := filepath.Join(dir, "state"), filepath.Join(dir, "run", "s")
	run := func(program string, args ...string) (string, string) {
		t.Helper()
		cmd := exec.Command(program, args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "BITS_STATE_DIR="+state, "BITS_SOCKET="+socket)
		var out, said bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &said
		if err := cmd.Run(); err != nil {
			t.Fatalf("%s %v: %v: %s", program, args, err, said.String())
		}
		return out.String(), said.String()
	}
	c := &client.Client{Socket: socket}
	t.Cleanup(func() { c.Do(ctx, "POST", "/system/stop", nil, nil) })
	serving := func() string {
		t.Helper()
		s, err := c.System(ctx)
		bitstest.Must(t, err)
		c.Close()
		return filepath.Base(s.Build.Path)
	}
	stop := func() {
		t.Helper()
		bitstest.Must(t, c.Do(ctx, "POST", "/system/stop", nil, nil))
	}

	run(old, "list")
	if got := serving(); got != "old" {
		t.Fatalf("%s serves", got)
	}
	run(young, "list")
	if got := serving(); got != "young" {
		t.Errorf("an idle old service was not replaced: %s serves", got)
	}
	if _, said := run(old, "list"); serving() != "young" || !strings.Contains(said, "it is newer") || !strings.Contains(said, old) || !strings.Contains(said, young) {
		t.Errorf("an older program and a newer service: %s serves; %s", serving(), said)
	}
	stop()

	// Busy: the job goes on where it was.
	o := bitstest.NewOrigin(t)
	data := bitstest.Content(11, 1<<20)
	open := o.Gate("/f", data, 600_000)
	id, _ := run(old, "get", "--detach", o.Plain+"/f")
	id = strings.TrimSpace(id)
	for {
		if job, err := c.Job(ctx, id); err == nil && job.Progress.BytesReceived >= 600_000 {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	run(young, "list")
	if got := serving(); got != "young" {
		t.Errorf("a busy old service was not replaced: %s serves", got)
	}
	open()
	if job, err := c.Wait(ctx, id); err != nil || job.State != bits.StateAcknowledged {
		t.Errorf("the job is %+v, %v", job, err)
	}
	same(t, filepath.Join(dir, "f"), data)
	if seen := o.Seen(); seen[len(seen)-1] == "GET /f bytes=0-" {
		t.Errorf("the transfer began anew: %v", seen)
	}
	stop()

	// Applications are attached.
	run(old, "list")
	job, err := c.Create(ctx, bits.Spec{})
	bitstest.Must(t, err)
	v, err := c.SetServerCertificateValidation(ctx, job.ID, &bitstest.Judge{})
	bitstest.Must(t, err)
	if _, said := run(young, "list"); serving() != "old" || !strings.Contains(said, "applications are attached") {
		t.Errorf("%s serves; %s", serving(), said)
	}
	v.Close()
}

// idler starts a service that ends when it was idle for so long; the channel is closed when it has ended, or the test fails.
func idler(t *testing.T, dir, after string) (*client.Client, <-chan bool) {
	t.Helper()
	daemon := program.Command(dir, "daemon", "--idle-exit", after)
	bitstest.Must(t, daemon.Start())
	ended := make(chan bool)
	patience := time.AfterFunc(30*time.Second, func() { daemon.Process.Kill() })
	go func() {
		defer close(ended)
		if err := daemon.Wait(); err != nil {
			t.Errorf("it does not end by itself: %v", err)
		}
	}()
	t.Cleanup(func() {
		if patience.Stop() && t.Failed() {
			daemon.Process.Kill()
		}
		<-ended
	})
	c := &client.Client{Socket: filepath.Join(dir, "run", "s")}
	for {
		if _, err := c.System(ctx); err == nil {
			c.Close()
			return c, ended
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// The service ends by itself only when it has nothing to do and nobody is connected.
func TestIdleExit(t *testing.T) {
	t.Parallel()
	dir := program.Dir(t)
	o := bitstest.NewOrigin(t)
	open := o.Gate("/f", []byte("x"), -1)
	c, ended := idler(t, dir, "300ms")
	job, err := c.Create(ctx, bits.Spec{Resume: true, Files: []bits.FileSpec{{RemoteName: o.Plain + "/f", LocalName: filepath.Join(dir, "f")}}})
	bitstest.Must(t, err)
	c.Close()
	select {
	case <-ended:
		t.Fatal("it ended with a job under way")
	case <-time.After(time.Second):
	}
	open()
	<-ended
	again := program.Command(dir, "daemon")
	bitstest.Must(t, again.Start())
	defer func() { again.Process.Kill(); again.Wait() }()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if now, err := c.Job(ctx, job.ID); err == nil && now.State == bits.StateTransferred {
			return
		}
	}
	t.Error("the job is not there after the next start")
}
