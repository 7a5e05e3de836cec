package notifier_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"bits"
	"bits/hresult"
	"bits/internal/contract"
	"bits/internal/notifier"
	"bits/internal/notify"
	"bits/internal/queue"
	"bits/internal/store"
)

const (
	application = "0e3e1a52-6a0c-4c7e-9d0b-3a3a3a3a3a3a"
	everything  = bits.AllNotify &^ bits.NotifyDisable
	plain       = bits.NotifyTransferred | bits.NotifyError | bits.NotifyModification // IBackgroundCopyCallback alone
)

// rig is a queue with a notifier in virtual time; programs and applications are functions of the test.
type rig struct {
	*queue.Queue
	t     *testing.T
	dir   string
	hub   *notify.Hub
	ctx   context.Context
	began time.Time

	command    func(j *bits.Job) error // nil: succeeds
	activate   func(j *bits.Job) error // nil: no application is registered
	noCommands bool
	notifier   *notifier.Notifier
	end        func()

	mu  sync.Mutex
	log []string // "WHAT@SECOND"
}

func (r *rig) note(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	at := strings.TrimSuffix(time.Since(r.began).Truncate(100*time.Millisecond).String(), "m0s")
	if at == "0s" {
		at = ""
	} else if !strings.HasSuffix(at, "s") {
		at += "m"
	}
	r.log = append(r.log, fmt.Sprintf(format, args...)+"@"+at)
}

// told returns what was told, with the times, once nothing moves any more.
func (r *rig) told() []string {
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.log)
}

func (r *rig) Command(_ context.Context, j *bits.Job) error {
	r.note("command")
	if r.command == nil {
		return nil
	}
	return r.command(j)
}

func (r *rig) Activate(_ context.Context, j *bits.Job) error {
	r.note("activate")
	return r.activate(j)
}

func (r *rig) CanActivate(*bits.Job) bool { return r.activate != nil }

// start begins the life of a service; end ends it.
func (r *rig) start() {
	ctx, cancel := context.WithCancel(context.Background())
	s, err := store.Open(ctx, filepath.Join(r.dir, "state"))
	must(r.t, err)
	r.hub, r.ctx = notify.New(), ctx
	r.Queue, err = queue.Open(ctx, s, r.hub)
	must(r.t, err)
	done := make(chan bool)
	r.notifier = notifier.New(r.Queue, r.hub, r, !r.noCommands, slog.New(slog.DiscardHandler))
	go func() {
		r.notifier.Run(ctx)
		close(done)
	}()
	r.end = func() {
		cancel()
		<-done
		must(r.t, s.Close())
	}
}

func inBubble(t *testing.T, test func(*rig)) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		r := &rig{t: t, dir: dir, began: time.Now()}
		r.start()
		defer func() {
			r.end()
			time.Sleep(3 * time.Hour) // programs outlive the service
		}()
		test(r)
	})
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// job makes a job of two files, QUEUED.
func (r *rig) job(owner string, properties map[string]any) *bits.Job {
	r.t.Helper()
	spec := bits.Spec{Resume: true, Properties: map[string]bits.RawMessage{}}
	id := bits.NewID()
	for _, name := range []string{"a", "b"} {
		spec.Files = append(spec.Files, bits.FileSpec{RemoteName: "http://origin/" + name, LocalName: filepath.Join(r.dir, id+name)})
	}
	for k, v := range properties {
		spec.Properties[k], _ = json.Marshal(v)
	}
	j, err := r.Create(contract.Caller{Owner: owner}, spec)
	must(r.t, err)
	return j
}

func (r *rig) set(j *bits.Job, name string, v any) {
	r.t.Helper()
	raw, _ := json.Marshal(v)
	_, err := r.Do(j.ID, contract.SetCall(map[string]bits.RawMessage{name: raw}), contract.Caller{Owner: j.Owner})
	must(r.t, err)
}

// transfer runs the job: so many files arrive, then it ends with err.
func (r *rig) transfer(j *bits.Job, files int, err error) {
	r.t.Helper()
	run, berr := r.Begin(r.ctx, j.ID)
	must(r.t, berr)
	synctest.Wait() // what the beginning brings is told before the rest happens
	for i := range files {
		f := j.Files[i]
		f.Validator = &bits.Validator{}
		must(r.t, run.Contact(f, true), run.Checkpoint(i, bits.Ranges{{Start: 0, End: 10}}, nil, 10, true))
	}
	run.End(err, 0)
}

var (
	fatal     = bits.Errorf(hresult.BG_E_VALIDATION_FAILED, "cannot go on").In(bits.ContextRemoteFile)
	transient = bits.Errorf(hresult.ERROR_WINHTTP_TIMEOUT, "cannot go on").In(bits.ContextRemoteFile)
	refuses   = bits.Errorf(0x80041234, "no")
)

// attach sets an object on the job that answers each call with the next of the codes, the last of them for ever; none is S_OK.
func (r *rig) attach(j *bits.Job, takes bits.NotifyFlags, codes ...hresult.Code) *notify.Registration {
	r.t.Helper()
	return r.object(j, takes, func(n *bits.Notification) (hresult.Code, bool) {
		if len(codes) == 0 {
			return 0, true
		}
		code := codes[0]
		if len(codes) > 1 {
			codes = codes[1:]
		}
		return code, true
	})
}

// object sets an object on the job; without an answer the call stays open.
func (r *rig) object(j *bits.Job, takes bits.NotifyFlags, answer func(*bits.Notification) (hresult.Code, bool)) *notify.Registration {
	r.t.Helper()
	object, err := r.SetNotify(j.ID, takes)
	must(r.t, err)
	hub, ctx := r.hub, r.ctx
	go func() {
		for {
			select {
			case c := <-object.Calls:
				n := c.Notification
				what := n.Kind
				if n.File != nil {
					what += " " + filepath.Base(n.File.RemoteName)
				}
				if n.Ranges != nil {
					what += fmt.Sprint(n.Ranges)
				}
				r.note("%s", what)
				if code, ok := answer(n); ok {
					hub.Answer(j.ID, notify.Notifications, n.ID, object.ID, code)
				}
			case <-object.Replaced:
				return
			case <-ctx.Done():
				return
			}
		}
	}()
	return object
}

// Every rule of delivery: what is asked for, what happens, what each channel answers, and what is called when.
func TestDelivery(t *testing.T) {
	const fails, success = hresult.Code(0x80041234), hresult.S_FALSE
	command := map[string]any{"program": "/p"}
	type job = map[string]any
	for _, c := range []struct {
		name string
		job  job
		do   func(r *rig, j *bits.Job)
		for_ time.Duration
		want string
	}{
		{"a callback that succeeds", job{"notify_cmd_line": command}, func(r *rig, j *bits.Job) {
			r.attach(j, plain)
			r.transfer(j, 2, nil)
		}, time.Hour, "JobTransferred@"},
		{"an error", nil, func(r *rig, j *bits.Job) {
			r.attach(j, plain)
			r.transfer(j, 1, fatal)
		}, time.Hour, "JobError@"},
		{"an error that passes", job{"notify_flags": 3}, func(r *rig, j *bits.Job) {
			r.attach(j, plain)
			r.transfer(j, 1, transient)
		}, time.Hour, ""},
		{"disabled", job{"notify_flags": 63, "notify_cmd_line": command}, func(r *rig, j *bits.Job) {
			r.attach(j, everything)
			r.transfer(j, 2, nil)
		}, time.Hour, ""},
		{"not asked for", job{"notify_flags": 2, "notify_cmd_line": command}, func(r *rig, j *bits.Job) {
			r.attach(j, everything)
			r.transfer(j, 2, nil)
		}, time.Hour, ""},
		{"an error that was not asked for", job{"notify_flags": 1, "notify_cmd_line": command}, func(r *rig, j *bits.Job) {
			r.attach(j, everything)
			r.transfer(j, 1, fatal)
		}, time.Hour, ""},

		{"a callback that fails for a while", nil, func(r *rig, j *bits.Job) {
			r.attach(j, plain, fails, fails, fails, fails, fails, fails, fails, fails, 0)
			r.transfer(j, 2, nil)
		}, time.Hour, "JobTransferred@ JobTransferred@1s JobTransferred@3s JobTransferred@7s JobTransferred@15s JobTransferred@31s JobTransferred@1m3s JobTransferred@2m3s JobTransferred@3m3s"},
		{"another success is a failure", nil, func(r *rig, j *bits.Job) {
			r.attach(j, plain, success, 0)
			r.transfer(j, 2, nil)
		}, time.Hour, "JobTransferred@ JobTransferred@1s"},
		{"the job goes on meanwhile", nil, func(r *rig, j *bits.Job) {
			r.attach(j, plain, fails)
			r.transfer(j, 1, fatal)
			time.Sleep(2 * time.Second)
			_, err := r.Act(j.ID, bits.Resume)
			must(r.t, err)
		}, time.Hour, "JobError@ JobError@1s"},

		{"a command", job{"notify_cmd_line": command}, func(r *rig, j *bits.Job) { r.transfer(j, 2, nil) }, time.Hour, "command@"},
		{"a command for an error", job{"notify_cmd_line": command}, func(r *rig, j *bits.Job) { r.transfer(j, 0, fatal) }, time.Hour, "command@"},
		{"a command is not for other events", job{"notify_flags": 0x38, "notify_cmd_line": command}, func(r *rig, j *bits.Job) { r.transfer(j, 2, nil) }, time.Hour, ""},
		{"the callback fails, the command does not", job{"notify_cmd_line": command}, func(r *rig, j *bits.Job) {
			r.attach(j, plain, fails)
			r.transfer(j, 2, nil)
		}, time.Hour, "JobTransferred@ command@"},
		{"both fail, then the callback does not", job{"notify_cmd_line": command}, func(r *rig, j *bits.Job) {
			r.command = func(*bits.Job) error { return refuses }
			r.attach(j, plain, fails, fails, 0)
			r.transfer(j, 2, nil)
		}, time.Hour, "JobTransferred@ command@ JobTransferred@10m command@10m JobTransferred@20m"},
		{"a command that fails", job{"notify_cmd_line": command, "minimum_retry_delay": 60}, func(r *rig, j *bits.Job) {
			n := 0
			r.command = func(*bits.Job) error {
				if n++; n < 3 {
					return refuses
				}
				return nil
			}
			r.transfer(j, 2, nil)
		}, time.Hour, "command@ command@1m command@2m"},
		{"a command that takes its time, and fails", job{"notify_cmd_line": command}, func(r *rig, j *bits.Job) {
			r.command = func(*bits.Job) error { time.Sleep(9 * time.Minute); return refuses }
			r.transfer(j, 2, nil)
		}, 20 * time.Minute, "command@ command@19m"},
		{"a command that fails, and has cancelled", job{"notify_cmd_line": command}, func(r *rig, j *bits.Job) {
			r.command = func(j *bits.Job) error { _, err := r.Act(j.ID, bits.Cancel); must(r.t, err); return refuses }
			r.transfer(j, 2, nil)
		}, time.Hour, "command@"},
		{"policy forbids commands", job{"notify_cmd_line": command}, func(r *rig, j *bits.Job) {
			r.end()
			r.noCommands = true
			r.start()
			r.transfer(j, 2, nil)
			r.attach(j, plain, fails, 0)
		}, time.Hour, "JobTransferred@ JobTransferred@1s"},
		{"a command that is set afterwards", nil, func(r *rig, j *bits.Job) {
			r.transfer(j, 2, nil)
			time.Sleep(time.Second)
			r.set(j, "notify_cmd_line", command)
		}, time.Hour, "command@1s"},
		{"a command that is set after the callback has failed", nil, func(r *rig, j *bits.Job) {
			r.attach(j, plain, fails)
			r.transfer(j, 2, nil)
			time.Sleep(500 * time.Millisecond)
			r.set(j, "notify_cmd_line", command)
		}, time.Hour, "JobTransferred@ command@500ms"},
		{"a command that is set after the callback has succeeded", nil, func(r *rig, j *bits.Job) {
			r.attach(j, plain)
			r.transfer(j, 2, nil)
			time.Sleep(time.Second)
			r.set(j, "notify_cmd_line", command)
		}, time.Hour, "JobTransferred@"},
		{"flags that are set afterwards", job{"notify_flags": 0}, func(r *rig, j *bits.Job) {
			r.attach(j, everything)
			r.transfer(j, 2, nil)
			time.Sleep(time.Second)
			r.set(j, "notify_flags", 0x11)
		}, time.Hour, "FileTransferred a@1s FileTransferred b@1s JobTransferred@1s"},

		{"an object that comes afterwards", job{"notify_flags": 0x11}, func(r *rig, j *bits.Job) {
			r.transfer(j, 2, nil)
			time.Sleep(time.Second)
			r.attach(j, everything)
		}, time.Hour, "FileTransferred a@1s FileTransferred b@1s JobTransferred@1s"},
		{"an object in the place of one that fails is called at once", nil, func(r *rig, j *bits.Job) {
			r.attach(j, plain, fails)
			r.transfer(j, 2, nil)
			time.Sleep(4 * time.Second)
			r.attach(j, plain)
		}, time.Hour, "JobTransferred@ JobTransferred@1s JobTransferred@3s JobTransferred@4s"},
		{"an object in the place of one that was told", job{"notify_flags": 0x11}, func(r *rig, j *bits.Job) {
			first := r.attach(j, everything)
			r.transfer(j, 2, nil)
			r.told()
			time.Sleep(time.Second)
			r.hub.Gone(first)
			r.hub.Wake()
			time.Sleep(time.Second)
			r.attach(j, everything)
		}, time.Hour, "FileTransferred a@ FileTransferred b@ JobTransferred@ FileTransferred a@2s FileTransferred b@2s JobTransferred@2s"},
		{"an object that dies in its callback", job{"notify_cmd_line": command}, func(r *rig, j *bits.Job) {
			var object *notify.Registration
			object = r.object(j, plain, func(*bits.Notification) (hresult.Code, bool) {
				time.Sleep(time.Second)
				r.hub.Gone(object)
				r.hub.Wake()
				return 0, false
			})
			r.transfer(j, 2, nil)
		}, time.Hour, "JobTransferred@ command@1s"},
		{"an object that is replaced in its callback", nil, func(r *rig, j *bits.Job) {
			r.object(j, plain, func(*bits.Notification) (hresult.Code, bool) { return 0, false })
			r.transfer(j, 2, nil)
			time.Sleep(time.Second)
			r.attach(j, plain)
		}, time.Hour, "JobTransferred@ JobTransferred@1s"},
		{"an object that never answers", nil, func(r *rig, j *bits.Job) {
			r.object(j, plain, func(*bits.Notification) (hresult.Code, bool) { return 0, false })
			r.transfer(j, 2, nil)
		}, 15 * time.Minute, "JobTransferred@ JobTransferred@10m1s"},
		{"no object any more", job{"notify_cmd_line": command}, func(r *rig, j *bits.Job) {
			r.attach(j, plain)
			_, err := r.SetNotify(j.ID, 0)
			must(r.t, err)
			r.transfer(j, 2, nil)
		}, time.Hour, "command@"},

		{"files before the job", job{"notify_flags": 0x13}, func(r *rig, j *bits.Job) {
			r.attach(j, everything)
			r.transfer(j, 2, nil)
		}, time.Hour, "FileTransferred a@ FileTransferred b@ JobTransferred@"},
		{"files before an error", job{"notify_flags": 0x13}, func(r *rig, j *bits.Job) {
			r.attach(j, everything)
			r.transfer(j, 1, fatal)
		}, time.Hour, "FileTransferred a@ JobError@"},
		{"a file that is refused holds up the rest, command included", job{"notify_flags": 0x13, "notify_cmd_line": command}, func(r *rig, j *bits.Job) {
			r.attach(j, everything, fails, fails, 0, 0, fails)
			r.transfer(j, 2, nil)
		}, time.Hour, "FileTransferred a@ FileTransferred a@1s FileTransferred a@3s FileTransferred b@3s JobTransferred@3s command@3s"},
		{"a file ends with any success", job{"notify_flags": 0x11}, func(r *rig, j *bits.Job) {
			r.attach(j, everything, success, success, 0)
			r.transfer(j, 2, nil)
		}, time.Hour, "FileTransferred a@ FileTransferred b@ JobTransferred@"},
		{"a file is told while the job goes on", job{"notify_flags": 0x11}, func(r *rig, j *bits.Job) {
			r.attach(j, everything)
			r.transfer(j, 1, transient)
		}, time.Minute, "FileTransferred a@"},
		{"an object without a method for files", job{"notify_flags": 0x31}, func(r *rig, j *bits.Job) {
			r.attach(j, plain)
			r.transfer(j, 2, nil)
		}, time.Hour, "JobTransferred@"},
		{"an upload has no files to tell of", job{"notify_flags": 0x11}, func(r *rig, _ *bits.Job) {
			local := filepath.Join(r.dir, "source")
			must(r.t, writeFile(local))
			j, err := r.Create(contract.Caller{Owner: "me"}, bits.Spec{Type: bits.Upload, Resume: true, Files: []bits.FileSpec{{RemoteName: "http://origin/a", LocalName: local}},
				Properties: map[string]bits.RawMessage{"notify_flags": bits.RawMessage("17")}})
			must(r.t, err)
			r.attach(j, everything)
			r.transfer(j, 1, nil)
		}, time.Hour, "JobTransferred@"},

		{"an application that is started", job{"notification_clsid": application, "notify_cmd_line": command, "notify_flags": 0x11}, func(r *rig, j *bits.Job) {
			r.activate = func(j *bits.Job) error {
				time.Sleep(5 * time.Second)
				r.attach(j, everything)
				time.Sleep(time.Hour)
				return nil
			}
			r.transfer(j, 2, nil)
		}, time.Minute, "activate@ FileTransferred a@5s FileTransferred b@5s JobTransferred@5s"},
		{"an application that does not come", job{"notification_clsid": application, "notify_flags": 0x11}, func(r *rig, j *bits.Job) {
			r.activate = func(j *bits.Job) error { return nil }
			r.transfer(j, 2, nil)
		}, 15 * time.Minute, "activate@ activate@10m30s"},
		{"an application that does not come, and a command", job{"notification_clsid": application, "notify_cmd_line": command, "notify_flags": 0x11}, func(r *rig, j *bits.Job) {
			r.activate = func(j *bits.Job) error { time.Sleep(time.Hour); return nil }
			r.transfer(j, 2, nil)
		}, 15 * time.Minute, "activate@ command@30s"},
		{"an application that cannot be started, and a command", job{"notification_clsid": application, "notify_cmd_line": command}, func(r *rig, j *bits.Job) {
			r.activate = func(j *bits.Job) error { return refuses }
			r.transfer(j, 2, nil)
		}, 15 * time.Minute, "activate@ command@"},
		{"an application that comes, and dies, is started again", job{"notification_clsid": application}, func(r *rig, j *bits.Job) {
			r.activate = func(j *bits.Job) error {
				object := r.object(j, plain, func(*bits.Notification) (hresult.Code, bool) { return 0, false })
				time.Sleep(time.Second)
				r.hub.Gone(object)
				r.hub.Wake()
				return nil
			}
			r.transfer(j, 2, nil)
		}, 15 * time.Minute, "activate@ JobTransferred@ activate@10m30s JobTransferred@10m30s"},
		{"an application that cannot be started", job{"notification_clsid": application}, func(r *rig, j *bits.Job) {
			r.activate = func(j *bits.Job) error { return refuses }
			r.transfer(j, 2, nil)
		}, 15 * time.Minute, "activate@ activate@10m"},
		{"an application that comes, takes a file, and ends, is started for the next", job{"notification_clsid": application, "notify_flags": 0x11}, func(r *rig, j *bits.Job) {
			r.activate = func(j *bits.Job) error {
				object := r.attach(j, everything)
				time.Sleep(time.Second)
				r.hub.Gone(object)
				r.hub.Wake()
				return nil
			}
			r.transfer(j, 1, transient)
			time.Sleep(time.Minute)
			_, err := r.Act(j.ID, bits.Resume)
			must(r.t, err)
			run, err := r.Begin(r.ctx, j.ID)
			must(r.t, err)
			must(r.t, run.Checkpoint(1, bits.Ranges{{Start: 0, End: 10}}, nil, 10, true))
			time.Sleep(time.Second)
			run.End(fatal, 1)
		}, time.Minute, "activate@ FileTransferred a@ activate@1m FileTransferred a@1m FileTransferred b@1m"},
		{"an application that nobody has registered", job{"notification_clsid": application, "notify_cmd_line": command}, func(r *rig, j *bits.Job) {
			r.transfer(j, 2, nil)
		}, time.Hour, "command@"},
		{"an application is not started while one is attached", job{"notification_clsid": application}, func(r *rig, j *bits.Job) {
			r.activate = func(j *bits.Job) error { return nil }
			r.attach(j, plain)
			r.transfer(j, 2, nil)
		}, time.Hour, "JobTransferred@"},

		{"a job that completes by itself", job{"auto_complete": true, "notify_cmd_line": command}, func(r *rig, j *bits.Job) {
			r.transfer(j, 2, nil)
			for _, f := range j.Files {
				must(r.t, writeFile(f.Temporary))
			}
			if got := r.told(); got != nil {
				r.t.Errorf("told before its files have names: %v", got)
			}
			time.Sleep(time.Second)
			ids, err := r.Completable()
			must(r.t, err)
			r.Finish(ids[0])
		}, time.Hour, "command@1s"},
		{"a job that is completed first", job{"notify_cmd_line": command}, func(r *rig, j *bits.Job) {
			_, err := r.Act(j.ID, bits.Complete)
			must(r.t, err)
		}, time.Hour, ""},
		{"content that is invalid", nil, func(r *rig, j *bits.Job) {
			r.attach(j, plain)
			r.transfer(j, 2, nil)
			time.Sleep(time.Second)
			for _, o := range contract.Operations() {
				if o.Name == "set-validation-state" {
					for file := range 2 {
						call, err := o.Read(bits.RawMessage(`{"valid":false}`), file)
						must(r.t, err)
						_, err = r.Do(j.ID, call, contract.Caller{Owner: j.Owner})
						must(r.t, err)
						time.Sleep(time.Second)
					}
				}
			}
		}, time.Hour, "JobTransferred@ JobError@1s JobError@2s"},
		{"a restart in between", job{"notify_flags": 0x11}, func(r *rig, j *bits.Job) {
			r.transfer(j, 2, nil)
			r.told()
			r.end()
			r.start()
			r.attach(j, everything)
		}, time.Hour, "FileTransferred a@ FileTransferred b@ JobTransferred@"},
		{"a restart after a command", job{"notify_cmd_line": command}, func(r *rig, j *bits.Job) {
			r.transfer(j, 2, nil)
			r.told()
			r.end()
			r.start()
		}, time.Hour, "command@"},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(r *rig) {
				c.do(r, r.job("me", c.job))
				time.Sleep(c.for_)
				if got := strings.Join(r.told(), " "); got != c.want {
					t.Errorf("told %s\nwant %s", got, c.want)
				}
			})
		})
	}
}

// What is told again has its number: an application can see that it knows it.
func TestNumbers(t *testing.T) {
	inBubble(t, func(r *rig) {
		j := r.job("me", map[string]any{"notify_flags": 0x13})
		var mu sync.Mutex
		var got []int64
		collect := func(n *bits.Notification) (hresult.Code, bool) {
			mu.Lock()
			defer mu.Unlock()
			got = append(got, n.N)
			return 0, true
		}
		r.object(j, everything, collect)
		r.transfer(j, 1, fatal)
		time.Sleep(time.Second)
		r.end()
		r.start()
		r.object(j, everything, collect)
		time.Sleep(time.Second)
		_, err := r.Act(j.ID, bits.Resume)
		must(t, err)
		run, err := r.Begin(r.ctx, j.ID)
		must(t, err)
		must(t, run.Checkpoint(1, bits.Ranges{{Start: 0, End: 10}}, nil, 10, true))
		run.End(nil, 0)
		time.Sleep(time.Second)
		r.told()
		mu.Lock()
		defer mu.Unlock()
		if want := []int64{1, 2, 1, 2, 3, 4}; !slices.Equal(got, want) {
			t.Errorf("numbers %v, want %v", got, want)
		}
	})
}

// Four calls of a user are open at once, over all jobs; the next waits for one of them. Other users do not notice.
func TestFourAtOnce(t *testing.T) {
	inBubble(t, func(r *rig) {
		release := make(chan bool)
		hangs := func(*bits.Notification) (hresult.Code, bool) { <-release; return 0, true }
		for range 6 {
			j := r.job("me", nil)
			r.object(j, plain, hangs)
			r.transfer(j, 2, nil)
		}
		if got := r.told(); len(got) != 4 {
			t.Errorf("%d calls at once", len(got))
		}
		other := r.job("other", nil)
		r.attach(other, plain)
		r.transfer(other, 2, nil)
		if got := r.told(); len(got) != 5 {
			t.Errorf("another user waits: %v", got)
		}
		release <- true
		if got := r.told(); len(got) != 6 {
			t.Errorf("%d calls after one has ended", len(got))
		}
		close(release)
		if got := r.told(); len(got) != 7 {
			t.Errorf("%d calls in the end", len(got))
		}
	})
}

// JobModification comes last when there is little room, is spaced, and tells of much at once.
func TestModification(t *testing.T) {
	inBubble(t, func(r *rig) {
		j := r.job("me", map[string]any{"notify_flags": 0xb, "minimum_notification_interval": 1000})
		r.attach(j, plain)
		if got := r.told(); got != nil {
			t.Errorf("told of what was before: %v", got)
		}
		for i := range 25 {
			r.set(j, "description", fmt.Sprint(i))
			time.Sleep(100 * time.Millisecond)
		}
		time.Sleep(time.Minute)
		r.transfer(j, 2, nil) // the entry into TRANSFERRED is none
		time.Sleep(time.Minute)
		// What came after the beginning of the transfer is told late.
		want := []string{"JobModification@", "JobModification@1m2.5s", "JobModification@1m3.5s", "JobModification@1s", "JobModification@2s", "JobModification@3s", "JobTransferred@1m2.5s"}
		got := r.told()
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("told %v\nwant %v", got, want)
		}
		_, err := r.Act(j.ID, bits.Cancel)
		must(t, err)
		if got := r.told(); len(got) != 8 || got[7] != "JobModification@2m2.5s" {
			t.Errorf("the end of a job: %v", got)
		}
		if r.hub.Attached(j.ID, notify.Notifications) != nil {
			t.Error("the object is still attached to a job that has left the queue")
		}
	})
}

// What is not kept gives way to what is.
func TestModificationGivesWay(t *testing.T) {
	inBubble(t, func(r *rig) {
		release := make(chan bool)
		var jobs []*bits.Job
		for range 5 {
			j := r.job("me", map[string]any{"notify_flags": 0x9})
			r.object(j, plain, func(*bits.Notification) (hresult.Code, bool) { <-release; return 0, true })
			jobs = append(jobs, j)
		}
		for _, j := range jobs[:4] {
			r.set(j, "description", "x")
		}
		if got := r.told(); len(got) != 4 {
			t.Fatalf("%v", got)
		}
		r.set(jobs[4], "description", "x")
		r.transfer(jobs[4], 2, nil)
		release <- true
		if got := r.told(); len(got) != 5 || !strings.HasPrefix(got[4], "JobTransferred") {
			t.Errorf("%v", got)
		}
		close(release)
	})
}

// FileRangesTransferred tells of each byte on stable storage once, to each object.
func TestRanges(t *testing.T) {
	inBubble(t, func(r *rig) {
		j := r.job("me", map[string]any{"notify_flags": 0x20})
		r.attach(j, everything)
		run, err := r.Begin(r.ctx, j.ID)
		must(t, err)
		f := j.Files[0]
		f.Validator = &bits.Validator{}
		must(t, run.Contact(f, true))
		for _, done := range []bits.Ranges{{{Start: 0, End: 10}}, {{Start: 0, End: 20}}, {{Start: 0, End: 20}, {Start: 50, End: 60}}, {{Start: 0, End: 70}}} {
			must(t, run.Checkpoint(0, done, nil, 0, false))
			time.Sleep(300 * time.Millisecond)
		}
		time.Sleep(time.Second)
		r.attach(j, everything)
		time.Sleep(time.Second)
		plainJob := r.job("me", map[string]any{"notify_flags": 0x20, "http_method": "POST"}) // does not qualify
		r.attach(plainJob, everything)
		r.transfer(plainJob, 1, fatal)
		run.End(queue.ErrYield, -1)
		want := "FileRangesTransferred a[{0 10}]@ FileRangesTransferred a[{10 10}]@500ms FileRangesTransferred a[{20 50}]@1s FileRangesTransferred a[{0 70}]@2.2s"
		if got := strings.Join(r.told(), " "); got != want {
			t.Errorf("told %s\nwant %s", got, want)
		}
	})
}

// The callback may call the service, and a job that has left the queue is told of, and then let go.
func TestCallbackMayComplete(t *testing.T) {
	inBubble(t, func(r *rig) {
		j := r.job("me", nil)
		object := r.object(j, plain, func(*bits.Notification) (hresult.Code, bool) {
			_, err := r.Act(j.ID, bits.Cancel)
			must(t, err)
			return 0, true
		})
		r.transfer(j, 2, nil)
		time.Sleep(time.Second)
		select {
		case <-object.Replaced:
		default:
			t.Error("the stream does not end")
		}
		if got := r.told(); len(got) != 1 {
			t.Error(got)
		}
		if _, err := r.SetNotify(j.ID, plain); !errors.Is(err, bits.ErrInvalidState) {
			t.Errorf("set on a job that was cancelled: %v", err)
		}
	})
}

func writeFile(name string) error { return os.WriteFile(name, []byte("0123456789"), 0o600) }

// One process of an application runs for all jobs of a user; what it does not take while it runs has the next one.
func TestOneProcessAtATime(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.activate = func(j *bits.Job) error {
			object := r.attach(j, plain) // this application is for one job
			time.Sleep(time.Minute)
			r.hub.Gone(object)
			r.hub.Wake()
			return nil
		}
		for _, owner := range []string{"me", "me", "other"} {
			r.transfer(r.job(owner, map[string]any{"notification_clsid": application}), 2, nil)
		}
		time.Sleep(time.Hour)
		got, want := r.told(), []string{"JobTransferred@", "JobTransferred@", "JobTransferred@1m", "activate@", "activate@", "activate@1m"}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("told %v\nwant %v", got, want)
		}
	})
}

// The service has work as long as something can be told without an application that comes by itself.
func TestBusy(t *testing.T) {
	command := map[string]any{"program": "/p"}
	for name, c := range map[string]struct {
		job   map[string]any
		do    func(*rig, *bits.Job)
		still bool
	}{
		"nothing has happened":     {map[string]any{"notify_cmd_line": command}, func(*rig, *bits.Job) {}, false},
		"nobody to tell":           {nil, func(r *rig, j *bits.Job) { r.transfer(j, 2, nil) }, false},
		"a command that fails":     {map[string]any{"notify_cmd_line": command}, func(r *rig, j *bits.Job) { r.transfer(j, 2, nil) }, true},
		"a command, not asked for": {map[string]any{"notify_cmd_line": command, "notify_flags": 4}, func(r *rig, j *bits.Job) { r.transfer(j, 2, nil) }, false},
		"a command that was run":   {map[string]any{"notify_cmd_line": command}, func(r *rig, j *bits.Job) { r.command = nil; r.transfer(j, 2, nil) }, false},
		"an application": {map[string]any{"notification_clsid": application}, func(r *rig, j *bits.Job) {
			r.activate = func(*bits.Job) error { return refuses }
			r.transfer(j, 2, nil)
		}, true},
		"an application of no file": {map[string]any{"notification_clsid": application}, func(r *rig, j *bits.Job) { r.transfer(j, 2, nil) }, false},
	} {
		inBubble(t, func(r *rig) {
			r.command = func(*bits.Job) error { return refuses }
			c.do(r, r.job("me", c.job))
			time.Sleep(time.Minute)
			if got := r.notifier.Busy(); got != c.still {
				t.Errorf("%s: busy %v", name, got)
			}
		})
	}
}
