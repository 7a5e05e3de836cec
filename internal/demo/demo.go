// Package demo runs the main job before the reader's eyes, with a web server and an application of its own.
package demo

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"bits"
	"bits/client"
	"bits/hresult"
	"bits/internal/ipc"
	"bits/internal/progress"
)

const stopTime = 10 * time.Second // for a service to end, or to begin

// demo is one run of the demonstration.
// It has no doors of its own: the service and the application are processes of the public commands, and the rest is the client.
type demo struct {
	client   client.Client
	out      io.Writer
	ctx      context.Context
	program  string
	dir      string
	origin   *origin
	children []*child
}

// child is a process that the demonstration started.
type child struct {
	cmd  *exec.Cmd
	done chan error
}

func (c *child) kill() {
	c.cmd.Process.Kill()
	<-c.done
}

// Run runs the demonstration; every statement it prints has been checked.
func Run(ctx context.Context, out io.Writer) (err error) {
	dir, err := os.MkdirTemp("", "bits-demo-")
	if err != nil {
		return err
	}
	program, err := os.Executable()
	if err != nil {
		return err
	}
	d := &demo{out: out, ctx: ctx, program: program, dir: dir}
	defer func() {
		// A child that is just starting a service finishes that first, and none begins to: then there is one service at the most to end.
		wait, cancel := context.WithTimeout(context.Background(), stopTime)
		defer cancel()
		started, lerr := ipc.LockWait(wait, filepath.Join(dir, "state", "start.lock"))
		for _, c := range d.children {
			c.kill()
		}
		err = errors.Join(err, d.stopService())
		if lerr == nil {
			started()
		}
		err = errors.Join(err, os.RemoveAll(dir))
		if err == nil {
			d.note("\nAll of it is true, and %s is removed again. Now try: bits get URL", dir)
		}
	}()
	os.Setenv("BITS_STATE_DIR", filepath.Join(dir, "state"))
	os.Setenv("BITS_SOCKET", demoSocket(dir))
	if d.origin, err = newOrigin(); err != nil {
		return err
	}
	defer d.origin.close()
	for _, part := range []func() error{d.begin, d.killService, d.decline, d.killApplication} {
		if err := part(); err != nil {
			return cmp.Or(context.Cause(ctx), err)
		}
	}
	return nil
}

func (d *demo) note(format string, args ...any) { fmt.Fprintf(d.out, format+"\n", args...) }

func demoSocket(dir string) string {
	if runtime.GOOS == "windows" {
		return `\\.\pipe\` + filepath.Base(dir)
	}
	return filepath.Join(dir, "run", "bits.sock")
}

// spawn starts a command of this program.
func (d *demo) spawn(args ...string) (*child, error) {
	cmd := exec.Command(d.program, args...)
	log, err := os.OpenFile(filepath.Join(d.dir, args[0]+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	c := &child{cmd, make(chan error, 1)}
	go func() {
		c.done <- cmd.Wait()
		close(c.done)
	}()
	d.children = append(d.children, c)
	return c, nil
}

// run runs a command of this program before the reader's eyes.
func (d *demo) run(args ...string) error {
	d.note("  $ bits %s", short(args))
	out, err := exec.CommandContext(d.ctx, d.program, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("bits %s: %w: %s", args[0], err, out)
	}
	return nil
}

func short(args []string) (s string) {
	for i, arg := range args {
		if i > 0 {
			s += " "
		}
		if len(arg) == 36 {
			arg = arg[:8]
		}
		s += arg
	}
	return s
}

func (d *demo) title(format string, args ...any) { d.note("\n== "+format, args...) }

func (d *demo) startService() (*child, error) {
	c, err := d.spawn("daemon")
	if err != nil {
		return nil, err
	}
	return c, d.until("the service answers", func() (bool, error) {
		_, err := d.client.System(d.ctx)
		return err == nil, nil
	})
}

// stopService ends the service that a child may have started; none begins after it.
func (d *demo) stopService() error {
	d.client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), stopTime)
	defer cancel()
	system, err := d.client.System(ctx)
	if err == nil {
		d.client.Do(ctx, "POST", "/system/stop", nil, nil)
	}
	lock := filepath.Join(d.dir, "state", "lock")
	if _, err := os.Stat(lock); errors.Is(err, fs.ErrNotExist) {
		return nil // there has never been one
	}
	unlock, err := ipc.LockWait(ctx, lock)
	if err != nil && system.PID > 0 {
		if p, err := os.FindProcess(system.PID); err == nil {
			p.Kill()
		}
		ctx, cancel := context.WithTimeout(context.Background(), stopTime)
		defer cancel()
		unlock, err = ipc.LockWait(ctx, lock)
	}
	if err != nil {
		return fmt.Errorf("cannot stop the service of the demonstration: %w", err)
	}
	unlock()
	// It has let go of its folder; a moment later it is gone itself.
	if p, err := os.FindProcess(system.PID); err == nil && system.PID > 0 {
		for ctx.Err() == nil && p.Signal(syscall.Signal(0)) == nil {
			time.Sleep(10 * time.Millisecond)
		}
	}
	return nil
}

// until waits for something that must come soon.
func (d *demo) until(what string, come func() (bool, error)) error {
	for end := time.Now().Add(60 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if d.ctx.Err() != nil {
			return context.Cause(d.ctx)
		}
		if ok, err := come(); ok || err != nil {
			return err
		}
	}
	return fmt.Errorf("cannot go on with the demonstration: waited in vain until %s", what)
}

func (d *demo) job(id string, what string, is func(*bits.Job) bool) (job *bits.Job, err error) {
	return job, d.until(what, func() (bool, error) {
		job, err = d.client.Job(d.ctx, id)
		return err == nil && is(job), err
	})
}

// create makes a job for a file of the origin; it trusts the origin's authority.
func (d *demo) create(path string) (*bits.Job, string, error) {
	roots, err := json.Marshal(string(d.origin.root.PEM()))
	if err != nil {
		return nil, "", err
	}
	local := filepath.Join(d.dir, filepath.Base(path))
	job, err := d.client.Create(d.ctx, bits.Spec{
		DisplayName: filepath.Base(path),
		Files:       []bits.FileSpec{{RemoteName: d.origin.url + path, LocalName: local}},
		Properties: map[string]bits.RawMessage{
			"roots": roots, "backoff": bits.RawMessage(`{"first":1,"max":1,"jitter":0}`), "priority": bits.RawMessage(`"FOREGROUND"`),
		},
	})
	return job, local, err
}

// judge starts an application that judges the certificates of a job: it accepts those whose SHA-256 it knows.
func (d *demo) judge(id, known string) (*child, error) {
	line, typed := `test "$BITS_SHA256" = `+known+` || { echo 0x80040001; exit 1; }`, "sh -c '%s'"
	command := []string{"sh", "-c", line}
	if runtime.GOOS == "windows" {
		line, typed = `if not "%BITS_SHA256%"=="`+known+`" (echo 0x80040001& exit 1)`, "cmd /c '%s'"
		command = []string{"cmd", "/c", line}
	}
	d.note("  $ bits validate %s -- "+typed, id[:8], line)
	c, err := d.spawn(append([]string{"validate", id, "--"}, command...)...)
	if err != nil {
		return nil, err
	}
	_, err = d.job(id, "the application is attached", func(j *bits.Job) bool { return j.ValidatorAttached })
	return c, err
}

func (d *demo) begin() error {
	d.note("A web server with its own certificate authority runs on this machine, at %s.", d.origin.url)
	d.note("It is limited to %s a second, so that what follows really happens in mid-transfer.", progress.Size(originRate))
	return nil
}

// killService: a certificate is accepted, and the service dies in mid-transfer.
func (d *demo) killService() error {
	d.title("1. A download whose certificate an application judges, and a service that is killed")
	service, err := d.startService()
	if err != nil {
		return err
	}
	job, local, err := d.create("/disk.img")
	if err != nil {
		return err
	}
	d.note("  Job %s will fetch %s, %s.", job.ID[:8], d.origin.url+"/disk.img", progress.Size(originSize))
	app, err := d.judge(job.ID, d.origin.fingerprint())
	if err != nil {
		return err
	}
	if err := d.run("resume", job.ID); err != nil {
		return err
	}
	screen := progress.New(d.out, []*bits.Job{job})
	defer screen.Close()
	third := func(j *bits.Job) bool {
		screen.Show(j.ID, j.Progress)
		return j.Progress.BytesTransferred > originSize/3
	}
	before, err := d.job(job.ID, "a third is there", third)
	if err != nil {
		return err
	}
	service.kill()
	screen.Note("  The application accepted the certificate. The service was killed (SIGKILL) with %s recorded; it is started again.", progress.Size(before.Progress.BytesTransferred))
	if _, err := d.startService(); err != nil {
		return err
	}
	after, err := d.client.Job(d.ctx, job.ID)
	if err != nil {
		return err
	}
	screen.Note("  The new service knows the job: %s, %s recorded.", after.State, progress.Size(after.Progress.BytesTransferred))
	if after.Progress.BytesTransferred < before.Progress.BytesTransferred {
		return errors.New("cannot go on with the demonstration: what was recorded is lost")
	}
	now, err := d.job(job.ID, "the job is TRANSFERRED", func(j *bits.Job) bool {
		screen.Show(j.ID, j.Progress)
		return j.State == bits.StateTransferred
	})
	if err != nil {
		return err
	}
	screen.Done(now, nil)
	screen.Close()
	if err := d.run("complete", job.ID); err != nil {
		return err
	}
	d.note("  The origin sent %s for a file of %s.", progress.Size(d.origin.sent.Load()), progress.Size(originSize))
	app.kill()
	return d.compare(local, originSize)
}

// compare holds the file against the origin's.
func (d *demo) compare(local string, n int64) error {
	f, err := os.Open(local)
	if err != nil {
		return err
	}
	defer f.Close()
	got, want := sha256.New(), sha256.New()
	if _, err := io.Copy(got, f); err != nil {
		return err
	}
	if _, err := io.Copy(want, newContent(n)); err != nil {
		return err
	}
	d.note("  SHA-256 here:   %x\n  SHA-256 there:  %x", got.Sum(nil), want.Sum(nil))
	if string(got.Sum(nil)) != string(want.Sum(nil)) {
		return errors.New("cannot go on with the demonstration: the digests differ")
	}
	return nil
}

// decline: an application that does not know the certificate.
func (d *demo) decline() error {
	d.title("2. A certificate that the application declines")
	job, _, err := d.create("/declined.img")
	if err != nil {
		return err
	}
	asked := d.origin.requests.Load()
	app, err := d.judge(job.ID, hex.EncodeToString(make([]byte, 32)))
	if err != nil {
		return err
	}
	if err := d.run("resume", job.ID); err != nil {
		return err
	}
	now, err := d.job(job.ID, "the job is TRANSIENT_ERROR", func(j *bits.Job) bool { return j.State == bits.StateTransientError })
	if err != nil {
		return err
	}
	d.note("  The job is %s, context %d (%s), code %s: the application's own.", now.State, now.Error.Context, now.Error.Context, now.Error.Code)
	d.note("  The server has seen %d requests of it.", d.origin.requests.Load()-asked)
	if now.Error.Context != bits.ContextCertificateCallback || now.Error.Code != 0x80040001 || d.origin.requests.Load() != asked {
		return errors.New("cannot go on with the demonstration: that is not what a decline does")
	}
	app.kill()
	return d.run("cancel", job.ID)
}

// killApplication: the application dies; the certificate it knew serves on; a new one must be asked about.
func (d *demo) killApplication() error {
	d.title("3. An application that is killed, and a certificate that changes")
	job, local, err := d.create("/update.img")
	if err != nil {
		return err
	}
	app, err := d.judge(job.ID, d.origin.fingerprint())
	if err != nil {
		return err
	}
	if err := d.run("resume", job.ID); err != nil {
		return err
	}
	if _, err := d.job(job.ID, "the job moves", func(j *bits.Job) bool { return j.Progress.BytesReceived > 0 }); err != nil {
		return err
	}
	app.kill()
	d.note("  The certificate was accepted, and the application is killed. The server drops the connection.")
	d.origin.drop()
	received := d.origin.sent.Load()
	if _, err := d.job(job.ID, "the job goes on", func(*bits.Job) bool { return d.origin.sent.Load() > received+8<<20 }); err != nil {
		return err
	}
	d.note("  The job goes on over a new connection: this certificate was accepted for it.")
	d.origin.rotate()
	d.note("  The server changes its certificate, and drops the connection again.")
	now, err := d.job(job.ID, "the job is ERROR", func(j *bits.Job) bool { return j.State == bits.StateError })
	if err != nil {
		return err
	}
	d.note("  The job is %s: %s %s. Nobody is there to judge the new certificate.", now.State, now.Error.Code, now.Error.Name)
	if now.Error.Code != hresult.BG_E_SERVER_CERT_VALIDATION_INTERFACE_REQUIRED {
		return fmt.Errorf("cannot go on with the demonstration: the job has another error: %s", now.Error.Message)
	}
	d.note("  The application comes back; it knows the new certificate, and sets itself on the job again, which lets it go on.")
	if _, err := d.judge(job.ID, d.origin.fingerprint()); err != nil {
		return err
	}
	if now, err = d.client.Wait(d.ctx, job.ID); err != nil {
		return err
	}
	if now.State != bits.StateTransferred {
		return fmt.Errorf("cannot go on with the demonstration: the job is %s", now.State)
	}
	if err := d.run("complete", job.ID); err != nil {
		return err
	}
	return d.compare(local, originSize/2)
}
