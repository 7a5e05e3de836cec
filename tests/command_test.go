//go:build unix

package tests

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"bits"
	"bits/client"
	"bits/client/bitstest"
	"bits/hresult"
	"bits/internal/program"
)

// process is a service in a process of its own, with its log in a file.
type process struct {
	*client.Client
	*victim
	dir string
}

func startProcess(t *testing.T, args ...string) *process {
	t.Helper()
	p := &process{dir: program.Dir(t)}
	p.Client = &client.Client{Socket: filepath.Join(p.dir, "run", "s")}
	p.victim = &victim{t: t, start: func() *exec.Cmd {
		cmd := program.Command(p.dir, append([]string{"daemon", "--log", p.path("daemon.log")}, args...)...)
		cmd.Env = append(cmd.Env, "XDG_CONFIG_HOME="+p.path("config"), "HOME="+p.dir)
		return cmd
	}}
	p.begin()
	p.ready()
	t.Cleanup(func() { p.kill() })
	return p
}

func (p *process) ready() {
	p.t.Helper()
	until(p.t, "an answer of the service", func() bool { _, err := p.System(ctx); return err == nil })
}

func (p *process) path(name string) string { return filepath.Join(p.dir, name) }

// script makes a program of the shell, and returns it as a notification command.
func (p *process) script(text string) map[string]any {
	p.t.Helper()
	name := p.path("my command")
	syscall.ForkLock.RLock() // a process that a test beside starts now would have it open to write, and then it cannot run
	defer syscall.ForkLock.RUnlock()
	bitstest.Must(p.t, os.WriteFile(name, []byte("#!/bin/sh\nset -eu\ncd '"+p.dir+"'\n"+text), 0o700))
	return map[string]any{"program": name, "parameters": `"` + name + `" "a word" s3cr3t`}
}

func (p *process) create(properties map[string]any, url string) *bits.Job {
	p.t.Helper()
	spec := bits.Spec{DisplayName: "mine", Resume: true, Properties: map[string]bits.RawMessage{}, Files: []bits.FileSpec{{RemoteName: url, LocalName: p.path("file")}}}
	for name, v := range properties {
		spec.Properties[name] = bitstest.JSON(v)
	}
	job, err := p.Create(ctx, spec)
	bitstest.Must(p.t, err)
	return job
}

func (p *process) taken(id string) bool {
	job, err := p.Job(ctx, id)
	return err == nil && job.Notice != nil && job.Notice.Taken
}

// The command runs when the job is TRANSFERRED, without a shell; it is told which job, and how to reach the service.
// While it fails it is run again, and the service does not end for idleness; each run is in the log, its parameters are not.
func TestNotificationCommand(t *testing.T) {
	t.Parallel()
	program.Need(t, "curl")
	o := bitstest.NewOrigin(t)
	o.File("/f", []byte("hello"))
	p := startProcess(t, "--idle-exit", "500ms")
	job := p.create(map[string]any{"minimum_retry_delay": 5, "notify_cmd_line": p.script(`
echo "$# $1 $BITS_JOB_STATE $BITS_JOB_NAME" >> runs
test "$(wc -l < runs)" -gt 1
curl -sS --unix-socket "$BITS_SOCKET" -X POST "http://bits/v1/jobs/$BITS_JOB_ID/complete"
`)}, o.Plain+"/f")
	p.Close()
	until(t, "the file", func() bool { _, err := os.Stat(p.path("file")); return err == nil })
	runs, err := os.ReadFile(p.path("runs"))
	bitstest.Must(t, err)
	if string(runs) != strings.Repeat("2 a word TRANSFERRED mine\n", 2) {
		t.Errorf("%q", runs)
	}
	bitstest.Must(t, p.cmd.Wait()) // it has nothing to do any more
	log, err := os.ReadFile(p.path("daemon.log"))
	bitstest.Must(t, err)
	for _, want := range []string{"a program was started", "job=" + job.ID, "my command", "words=3", "exit=1", "exit=0"} {
		if !strings.Contains(string(log), want) {
			t.Errorf("the log has no %q:\n%s", want, log)
		}
	}
	if strings.Contains(string(log), "s3cr3t") {
		t.Errorf("the parameters are in the log:\n%s", log)
	}
}

// A service that is killed between the event and its notification, or in the middle of that, tells it after its next start.
func TestKillBeforeTheNotification(t *testing.T) {
	t.Parallel()
	o := bitstest.NewOrigin(t)
	o.File("/f", []byte("hello"))
	p := startProcess(t)
	job := p.create(nil, o.Plain+"/f")
	until(t, "the transfer", func() bool { j, err := p.Job(ctx, job.ID); return err == nil && j.State == bits.StateTransferred })
	p.kill()
	p.begin()
	p.ready()
	bitstest.Must(t, p.Set(ctx, job.ID, map[string]any{"notify_cmd_line": p.script(`
echo run >> runs
if [ "$(wc -l < runs)" = 1 ]; then kill -9 $PPID; fi
`)}))
	p.cmd.Wait()
	if runs, err := os.ReadFile(p.path("runs")); err != nil || string(runs) != "run\n" {
		t.Fatalf("%q, %v", runs, err)
	}
	p.begin()
	p.ready()
	until(t, "the second run", func() bool { return p.taken(job.ID) })
	p.kill()
	p.begin()
	p.ready()
	if runs, err := os.ReadFile(p.path("runs")); err != nil || string(runs) != "run\nrun\n" || !p.taken(job.ID) {
		t.Errorf("%q, %v", runs, err)
	}
}

// An application that is killed in its callback has not taken the notification: the command runs, and another object is told again.
func TestKillInACallback(t *testing.T) {
	t.Parallel()
	o := bitstest.NewOrigin(t)
	o.File("/f", []byte("hello"))
	p := startProcess(t)
	job := p.create(map[string]any{"notify_flags": 0x13}, o.Plain+"/f")
	app := exec.Command(program.Need(t, "curl"), "-sSN", "--unix-socket", p.Socket, "http://bits/v1/jobs/"+job.ID+"/notify-interface", "-d", `{"interfaces":["IBackgroundCopyCallback","IBackgroundCopyCallback2"]}`, "-o", p.path("calls"))
	bitstest.Must(t, app.Start())
	calls := func() string { text, _ := os.ReadFile(p.path("calls")); return string(text) }
	until(t, "the call", func() bool { return strings.Contains(calls(), `"kind":"FileTransferred"`) })
	app.Process.Kill()
	app.Wait()
	if strings.Contains(calls(), "JobTransferred") {
		t.Error("the job was told before its file was taken")
	}
	bitstest.Must(t, p.Set(ctx, job.ID, map[string]any{"notify_cmd_line": p.script("exit 0")}))
	until(t, "the command", func() bool { return p.taken(job.ID) })
	l := newListener(nil)
	n, err := p.SetNotifyInterface(ctx, job.ID, l)
	bitstest.Must(t, err)
	defer n.Close()
	l.want(t, "FileTransferred file", "JobTransferred TRANSFERRED")
}

// An application that is absent is started when it is needed, and told; the example does it with curl alone.
func TestActivation(t *testing.T) {
	t.Parallel()
	program.Need(t, "curl")
	const id = "0e3e1a52-6a0c-4c7e-9d0b-3a3a3a3a3a3a"
	example, err := filepath.Abs("../examples/notified.sh")
	bitstest.Must(t, err)
	o := bitstest.NewOrigin(t)
	o.File("/f", []byte("hello"))
	p := startProcess(t)
	folder := p.path("config/bits/activation")
	bitstest.Must(t, os.MkdirAll(folder, 0o700), os.WriteFile(filepath.Join(folder, id+".json"), fmt.Appendf(nil, `{"command":[%q]}`, example), 0o600))
	job := p.create(map[string]any{"notification_clsid": "{" + strings.ToUpper(id) + "}"}, o.Plain+"/f")
	until(t, "the end of the job", func() bool { j, err := p.Job(ctx, job.ID); return err == nil && j.State == bits.StateAcknowledged })
	if text, err := os.ReadFile(p.path("file")); string(text) != "hello" {
		t.Errorf("%q, %v", text, err)
	}
	log := func() string { text, _ := os.ReadFile(p.path("daemon.log")); return string(text) }
	until(t, "the end of the application", func() bool { return strings.Contains(log(), "a program has ended") })
	if !strings.Contains(log(), "activation of "+id) || !strings.Contains(log(), "JobTransferred") || !strings.Contains(log(), "exit=0") {
		t.Errorf("%s", log())
	}

	// A registration that others could have written is refused, and so is one that is not there: the log says why, once.
	bitstest.Must(t, os.Chmod(folder, 0o777))
	p.create(map[string]any{"notification_clsid": id}, o.Plain+"/f")
	until(t, "the refusal in the log", func() bool { return strings.Contains(log(), "other users can write to activation") })
	absent := p.create(map[string]any{"notification_clsid": "1" + id[1:]}, o.Plain+"/f")
	bitstest.Must(t, os.Chmod(folder, 0o700))
	until(t, "the absence in the log", func() bool { return strings.Contains(log(), "1"+id[1:]+".json: no such file") })
	bitstest.Must(t, p.Set(ctx, absent.ID, map[string]any{"description": "looked at again"}))
	if n := strings.Count(log(), "1"+id[1:]+".json: no such file"); n != 1 {
		t.Errorf("said %d times:\n%s", n, log())
	}
}

// With commands switched off by policy, the wish is kept, the caller is told so, and nothing runs.
func TestCommandsOff(t *testing.T) {
	t.Parallel()
	o := bitstest.NewOrigin(t)
	o.File("/f", []byte("hello"))
	p := startProcess(t, "--notify-commands=off")
	command := p.script("echo run >> runs")
	job := p.create(map[string]any{"notify_cmd_line": command}, o.Plain+"/f")
	for _, c := range []struct {
		properties map[string]any
		want       hresult.Code
	}{
		{map[string]any{"notify_cmd_line": nil}, hresult.S_OK},
		{map[string]any{"description": "x"}, hresult.S_OK},
		{map[string]any{"description": "x", "notify_cmd_line": command}, hresult.BG_S_OVERRIDDEN_BY_POLICY},
	} {
		if code, err := p.Change(ctx, job.ID, c.properties); err != nil || code != c.want {
			t.Errorf("%v: %v, %v", c.properties, code, err)
		}
	}
	until(t, "the transfer", func() bool { j, err := p.Job(ctx, job.ID); return err == nil && j.State == bits.StateTransferred })
	l := newListener(nil) // it is told after the command would have been started
	n, err := p.SetNotifyInterface(ctx, job.ID, l)
	bitstest.Must(t, err)
	defer n.Close()
	l.want(t, "JobTransferred TRANSFERRED")
	if _, err := os.Stat(p.path("runs")); err == nil {
		t.Error("the command was run")
	}
	p.kill()
	p.victim.start = func() *exec.Cmd { return program.Command(p.dir, "daemon") }
	p.begin()
	p.ready()
	now, err := p.Job(ctx, job.ID)
	bitstest.Must(t, err)
	if now.NotifyCommand == nil || now.NotifyCommand.Program != command["program"] {
		t.Errorf("the wish was not kept: %+v", now.NotifyCommand)
	}
}
