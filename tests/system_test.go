//go:build unix

package tests

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"bits"
	"bits/client"
	"bits/client/bitstest"
	"bits/hresult"
	"bits/internal/program"
)

// Users without accounts: alice owns jobs, mallory wants them.
const root, alice, mallory = 0, 65534, 12345

// machine has a service of all users, in a process of root's, and users who are other processes.
type machine struct {
	t       *testing.T
	dir     string
	program string
	socket  string
	daemon  *exec.Cmd
	*client.Client
}

func newMachine(t *testing.T) *machine {
	t.Helper()
	asRoot(t)
	program.Need(t, "curl")
	dir := program.Dir(t)
	m := &machine{t: t, dir: dir, program: filepath.Join(dir, "bits"), socket: filepath.Join(dir, "run", "s")}
	m.Client = &client.Client{Socket: m.socket, SystemWide: true}
	self, err := os.Executable() // where it is, only root may go
	// Copied by another process: while this one has it open to write, a process that a test beside starts has it too, and it cannot run.
	bitstest.Must(t, err, os.Chmod(dir, 0o755), exec.Command("cp", self, m.program).Run(), os.Chmod(m.program, 0o755))
	for _, uid := range []int{root, alice, mallory} {
		bitstest.Must(t, os.Mkdir(m.home(uid), 0o700), os.Chown(m.home(uid), uid, uid))
	}
	t.Cleanup(m.stop)
	return m
}

func (m *machine) home(uid int) string { return filepath.Join(m.dir, strconv.Itoa(uid)) }

// as is a program that a user runs in his home.
func (m *machine) as(uid int, name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Dir = m.home(uid)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + m.home(uid), "BITS_TEST_PROGRAM=1", "BITS_SOCKET=" + m.socket}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
	return cmd
}

// bits is a command of a user, with what it prints and its exit code.
func (m *machine) bits(uid int, args ...string) (string, int) {
	m.t.Helper()
	out, err := m.as(uid, m.program, args...).CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		m.t.Fatal(err)
	}
	if exit != nil {
		return string(out), exit.ExitCode()
	}
	return string(out), 0
}

// call is a call of the local API by a user; a body that stays open, that of a registration, is left after a second.
func (m *machine) call(uid int, method, path, body string) (hresult.Code, string) {
	m.t.Helper()
	args := []string{"-sS", "--max-time", "60", "--unix-socket", m.socket, "-X", method, "-w", "\n%{http_code}", "http://bits/v1" + path}
	if method == "POST" && (strings.HasSuffix(path, "/certificate-validation") || strings.HasSuffix(path, "/notify-interface")) {
		args[2] = "1"
	}
	if body != "" {
		args = append(args, "-d", body)
	}
	cmd := m.as(uid, program.Need(m.t, "curl"), args...)
	out, err := cmd.Output()
	text, status := string(out), ""
	if i := strings.LastIndexByte(text, '\n'); i >= 0 {
		text, status = text[:i], text[i+1:]
	}
	if status == "" || status == "000" {
		m.t.Fatalf("%s %s by %d: %v: %s", method, path, uid, err, out)
	}
	var e struct {
		Code hresult.Code `json:"hresult"`
	}
	if status != "200" {
		bitstest.Must(m.t, json.Unmarshal([]byte(text), &e))
	}
	return e.Code, text
}

func (m *machine) start() {
	m.t.Helper()
	m.daemon = m.as(root, m.program, "daemon", "--system", "--announce", "--state", filepath.Join(m.dir, "state"))
	said, err := m.daemon.StdoutPipe()
	bitstest.Must(m.t, err, m.daemon.Start())
	if line, _ := bufio.NewReader(said).ReadString('\n'); line != "ready\n" {
		m.t.Fatalf("the service said %q", line)
	}
}

func (m *machine) stop() {
	if m.daemon == nil {
		return
	}
	m.Client.Close()
	m.daemon.Process.Signal(syscall.SIGTERM)
	if err := m.daemon.Wait(); err != nil {
		m.t.Errorf("the service ended with %v", err)
	}
	m.daemon = nil
}

// job makes a job of a user with one file, SUSPENDED.
func (m *machine) job(uid int, url, local string, more string) bits.Job {
	m.t.Helper()
	code, text := m.call(uid, "POST", "/jobs", fmt.Sprintf(`{"display_name":"precious","files":[{"remote_name":%q,"local_name":%q}]%s}`, url, local, more))
	var j bits.Job
	if err := json.Unmarshal([]byte(text), &j); code != 0 || err != nil || j.ID == "" {
		m.t.Fatalf("%v, %v: %s", code, err, text)
	}
	return j
}

// until asks as root until the job is in a state.
func (m *machine) until(id string, want bits.State) *bits.Job {
	m.t.Helper()
	var last any
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		j, err := m.Job(ctx, id)
		if err == nil && j.State == want {
			return j
		}
		last = fmt.Sprintf("%+v, %v", j, err)
	}
	m.t.Fatalf("waited in vain for %v: %v", want, last)
	return nil
}

// The table of who may call what: the owner, another user, and root. A call that is not in it fails the test.
func TestSystemCallsByUsers(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.start()
	for path, want := range map[string]os.FileMode{filepath.Dir(m.socket): 0o755, m.socket: 0o666, filepath.Join(m.dir, "state"): 0o700} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v; want mode %v", path, info.Mode(), err, want)
		}
	}
	const denied, unknown = hresult.E_ACCESSDENIED, hresult.BG_E_NOT_FOUND
	validation := "/jobs/{job}/certificate-validation"
	table := map[string]struct {
		body           string
		owner, another hresult.Code
		root           hresult.Code
	}{
		"GET /system":                            {},
		"POST /system/stop":                      {"", denied, denied, 0},
		"GET /openapi.json":                      {},
		"GET /errors/{code}":                     {},
		"GET /jobs":                              {},
		"POST /jobs":                             {body: `{}`},
		"GET /jobs/{job}":                        {"", 0, unknown, 0},
		"PATCH /jobs/{job}":                      {`{"description":"x"}`, 0, unknown, denied},
		"POST /jobs/{job}/files":                 {`{"files":[]}`, 0, unknown, denied},
		"GET /jobs/{job}/proxy":                  {"", hresult.E_INVALIDARG, unknown, denied},
		"POST /proxy":                            {`{"url":"http://a.test/"}`, 0, 0, 0},
		"POST /jobs/{job}/resume":                {"", 0, unknown, denied},
		"POST /jobs/{job}/suspend":               {"", 0, unknown, 0},
		"POST /jobs/{job}/cancel":                {"", 0, unknown, 0},
		"POST /jobs/{job}/complete":              {"", 0, unknown, denied},
		"POST /jobs/{job}/own":                   {"", denied, unknown, 0},
		"POST " + validation:                     {`{"interface":"` + bits.ValidationCallback + `"}`, 0, unknown, denied},
		"DELETE " + validation:                   {"", 0, unknown, denied},
		"POST " + validation + "/{question}":     {`{"registration":"x","hresult":"0x0"}`, hresult.BG_E_INVALID_STATE, unknown, denied},
		"GET /events":                            {},
		"GET /jobs/{job}/log":                    {"", 0, unknown, denied},
		"GET /jobs/{job}/properties/{name}":      {"", 0, unknown, 0},
		"POST /jobs/{job}/replace-remote-prefix": {`{"old":"a","new":"b"}`, 0, unknown, denied},
		"POST /jobs/{job}/set-credentials":       {`{"target":"SERVER","scheme":"BASIC","user":"u","password":"p"}`, 0, unknown, denied},
		"POST /jobs/{job}/remove-credentials":    {`{"target":"SERVER","scheme":"BASIC"}`, 0, unknown, denied},
		"POST /jobs/{job}/set-helper-token":      {"", 0, unknown, denied},
		"POST /jobs/{job}/clear-helper-token":    {"", 0, unknown, denied},

		"POST /jobs/{job}/notify-interface":                      {`{"interfaces":["IBackgroundCopyCallback"]}`, 0, unknown, denied},
		"DELETE /jobs/{job}/notify-interface":                    {"", 0, unknown, denied},
		"POST /jobs/{job}/notify-interface/{notification}":       {`{"registration":"x","hresult":"0x0"}`, hresult.BG_E_INVALID_STATE, unknown, denied},
		"POST /jobs/{job}/remove-client-certificate":             {"", 0, unknown, denied},
		"GET /jobs/{job}/files/{file}/properties/{name}":         {"", 0, unknown, 0},
		"POST /jobs/{job}/files/{file}/set-remote-name":          {`{"remote_name":"http://b/"}`, 0, unknown, denied},
		"POST /jobs/{job}/files/{file}/set-validation-state":     {`{"valid":true}`, hresult.E_PENDING, unknown, denied},
		"POST /jobs/{job}/files/{file}/request-ranges":           {`{"ranges":[{"offset":0,"length":1}]}`, 0, unknown, denied},
		"POST /jobs/{job}/files/{file}/update-download-position": {`{"offset":0}`, 0, unknown, denied},

		"GET /jobs?all=true":                     {"", denied, denied, 0},
		"GET /jobs?final=true&validator=false":   {},
		"GET /events?follow=false&job={job}":     {"", 0, unknown, 0},
		"POST /jobs/{job}/resume?x=1":            {"", hresult.E_INVALIDARG, unknown, denied},
		"GET /events?follow=false&since=0&job=x": {"", unknown, unknown, unknown},
	}
	_, text := m.call(mallory, "GET", "/openapi.json", "")
	var doc struct {
		Paths map[string]map[string]any `json:"paths"`
	}
	bitstest.Must(t, json.Unmarshal([]byte(text), &doc))
	for path, methods := range doc.Paths {
		for method := range methods {
			key := strings.ToUpper(method) + " " + strings.TrimPrefix(path, "/v1")
			if _, ok := table[key]; !ok {
				t.Errorf("the table does not say who may call %s", key)
			}
		}
	}
	for key, row := range table {
		method, pattern, _ := strings.Cut(key, " ")
		for uid, want := range map[int]hresult.Code{alice: row.owner, mallory: row.another, root: row.root} {
			if key == "POST /system/stop" && want == 0 {
				continue // at the end
			}
			job := m.job(alice, "http://origin.test/f", filepath.Join(m.home(alice), "f"), "")
			path := strings.NewReplacer("{job}", job.ID, "{question}", "x", "{file}", "0", "{notification}", "x", "{code}", "0x80200001", "{name}", map[bool]string{true: "local_name", false: "description"}[strings.Contains(pattern, "{file}")]).Replace(pattern)
			if path == "/events" {
				path += "?since=0&follow=false"
			}
			code, text := m.call(uid, method, path, row.body)
			if code != want {
				t.Errorf("%s by %d: %v, want %v: %s", key, uid, code, want, text)
			}
			if uid != mallory {
				continue
			}
			if strings.Contains(text, "precious") || code == 0 && strings.Contains(text, job.ID) {
				t.Errorf("%s tells another user of the job: %s", key, text)
			}
			if now, err := m.Job(ctx, job.ID); err != nil || !now.Modified.Equal(job.Modified) {
				t.Errorf("%s by another user changed the job: %+v, %v", key, now, err)
			}
		}
	}
	if code, text := m.call(root, "POST", "/system/stop", ""); code != 0 {
		t.Error(text)
	}
	if err := m.daemon.Wait(); err != nil {
		t.Errorf("it did not end when root said so: %v", err)
	}
	m.daemon = nil
}

// A stream of events has nothing of another user's jobs, and everything of one's own.
func TestSystemEvents(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.start()
	cmd := m.as(mallory, program.Need(t, "curl"), "-sSN", "--unix-socket", m.socket, "http://bits/v1/events")
	stream, err := cmd.StdoutPipe()
	bitstest.Must(t, err, cmd.Start())
	defer func() { cmd.Process.Kill(); cmd.Wait() }()
	lines := bufio.NewScanner(stream)
	lines.Scan() // now
	theirs := m.job(alice, "http://origin.test/f", filepath.Join(m.home(alice), "f"), `,"resume":true`)
	m.until(theirs.ID, bits.StateError)
	bitstest.Must(t, m.TakeOwnership(ctx, theirs.ID))
	mine := m.job(mallory, "http://origin.test/f", filepath.Join(m.home(mallory), "f"), "")
	for lines.Scan() {
		if strings.Contains(lines.Text(), theirs.ID) {
			t.Errorf("he hears of the job of another: %s", lines.Text())
		}
		if strings.Contains(lines.Text(), mine.ID) {
			return
		}
	}
	t.Error("the stream ended")
}

// Commands choose the service of all users with --system or BITS_SYSTEM=1; who owns what outlives a restart; lists show the caller's own.
func TestSystemCommands(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	// Nobody is there: a command starts no such service.
	out, code := m.bits(alice, "--system", "list")
	if code != 5 || !strings.Contains(out, "bits daemon --system") {
		t.Errorf("without a service: %d, %s", code, out)
	}
	if _, err := os.Stat(filepath.Dir(m.socket)); err == nil {
		t.Error("a service was started")
	}
	if out, code := m.bits(mallory, "daemon", "--system"); code != 4 || !strings.Contains(out, "E_ACCESSDENIED") || !strings.Contains(out, "run it as root") {
		t.Errorf("as a user: %d, %s", code, out)
	}
	if out, code := m.bits(root, "daemon", "--system", "--idle-exit", "1s"); code != 2 {
		t.Errorf("with --idle-exit: %d, %s", code, out)
	}
	m.start()
	ids := map[int]string{}
	for _, uid := range []int{root, alice, mallory} {
		ids[uid] = m.job(uid, "http://origin.test/f", filepath.Join(m.home(uid), "f"), "").ID
	}
	for range 2 {
		for uid, id := range ids {
			want := fmt.Sprintf(`"owner":"uid:%d","owner_elevated":%v,"owner_integrity":%d,`, uid, uid == root, map[bool]int{true: 0x4000, false: 0x2000}[uid == root])
			if out, code := m.bits(uid, "--system", "--json", "list"); code != 0 || strings.Count(out, "precious") != 1 || !strings.Contains(out, id) || !strings.Contains(out, want) {
				t.Errorf("%d lists %d, %s", uid, code, out)
			}
			cmd := m.as(uid, m.program, "list")
			cmd.Env = append(cmd.Env, "BITS_SYSTEM=1")
			if out, err := cmd.CombinedOutput(); err != nil || strings.Count(string(out), "\n") != 2 || !strings.Contains(string(out), id[:8]) {
				t.Errorf("%d lists with BITS_SYSTEM: %s, %v", uid, out, err)
			}
		}
		m.stop()
		m.start()
	}
	// --system=false is the service of one's own, whatever the environment says.
	private := m.as(alice, m.program, "--system=false", "api", "GET", "/v1/system")
	private.Env = append(private.Env, "BITS_SYSTEM=1", "BITS_SOCKET="+filepath.Join(m.home(alice), "s"))
	if out, err := private.CombinedOutput(); err != nil || !strings.Contains(string(out), `"all_users":false`) {
		t.Errorf("a service of one's own: %s, %v", out, err)
	}
	private = m.as(alice, m.program, "api", "POST", "/v1/system/stop")
	private.Env = append(private.Env, "BITS_SOCKET="+filepath.Join(m.home(alice), "s"))
	if out, err := private.CombinedOutput(); err != nil {
		t.Errorf("%s, %v", out, err)
	}
	out, code = m.bits(root, "--system", "list", "--all-users")
	if code != 0 || strings.Count(out, "\n") != 4 || !strings.Contains(out, ids[alice]+"  uid:65534  SUSPENDED") {
		t.Errorf("root lists %d, %s", code, out)
	}
	if jobs, err := m.Jobs(ctx, map[string][]string{"all": {"true"}}); err != nil || len(jobs) != 3 {
		t.Errorf("%d jobs, %v", len(jobs), err)
	}
	if out, code := m.bits(alice, "--system", "list", "--all-users"); code != 4 {
		t.Errorf("alice lists all: %d, %s", code, out)
	}
	// An administrator names the job of another by its whole id only: names and prefixes can be chosen to be taken for his own.
	for _, c := range []struct {
		uid  int
		word string
		want int
	}{{root, ids[alice][:8], 3}, {mallory, ids[alice], 3}, {root, ids[alice], 0}, {root, "precious", 0}} {
		if out, code := m.bits(c.uid, "--system", "cancel", c.word); code != c.want {
			t.Errorf("cancel %s by %d: %d, %s", c.word, c.uid, code, out)
		}
	}
	if j, err := m.Job(ctx, ids[mallory]); err != nil || j.State != bits.StateSuspended {
		t.Errorf("a name meant the job of another: %+v, %v", j, err)
	}
}

// The service of root touches no path that another user has named, whatever is done with the job: it looks at none, fetches nothing,
// makes and removes nothing.
func TestSystemTouchesNoFileOfOthers(t *testing.T) {
	t.Parallel()
	m, o := newMachine(t), bitstest.NewOrigin(t)
	o.File("/f", []byte("evil"))
	m.start()
	secret := filepath.Join(m.home(root), "secret")
	link, pipe := filepath.Join(m.home(alice), "link"), filepath.Join(m.home(alice), "pipe")
	bitstest.Must(t, os.Mkdir(secret, 0o755), os.Symlink(secret, link), syscall.Mkfifo(pipe, 0o666), os.WriteFile(filepath.Join(secret, "there"), []byte("precious"), 0o600))
	// The answer tells nothing of what is there and what not, and a pipe in the place of the authorities holds up nothing.
	environment := fmt.Sprintf(`,"environment":{"SSL_CERT_FILE":%q,"SSL_CERT_DIR":%q}`, pipe, m.home(alice))
	var jobs []bits.Job
	for _, local := range []string{
		filepath.Join(secret, "there"), filepath.Join(secret, "new"), filepath.Join(secret, "none", "x"), secret, filepath.Join(link, "there"), filepath.Join(m.home(alice), "f"), os.DevNull,
	} {
		jobs = append(jobs, m.job(alice, o.URL+"/f", local, environment+`,"properties":{"auto_complete":true}`))
	}
	for _, bad := range []string{"relative", "/x/", "/x/.."} {
		if code, text := m.call(alice, "POST", "/jobs/"+jobs[0].ID+"/files", fmt.Sprintf(`{"files":[{"remote_name":"http://h/","local_name":%q}]}`, bad)); code != hresult.E_INVALIDARG {
			t.Errorf("%q: %s", bad, text)
		}
	}
	// What lies under the temporary names is not the service's.
	var planted []string
	for _, j := range jobs {
		temp := j.Files[0].Temporary
		if os.WriteFile(temp, []byte("kept"), 0o600) == nil {
			planted = append(planted, temp)
		}
	}
	if len(planted) < 5 {
		t.Fatalf("only %v", planted)
	}
	there := func() (all []string) {
		bitstest.Must(t, filepath.WalkDir(m.dir, func(path string, d os.DirEntry, err error) error {
			if err == nil && !strings.HasPrefix(path, filepath.Join(m.dir, "state")) {
				all = append(all, fmt.Sprint(path, d.Type()))
			}
			return err
		}))
		return all
	}
	before := there()
	for i, j := range jobs {
		if code, text := m.call(alice, "POST", "/jobs/"+j.ID+"/resume", ""); code != 0 {
			t.Fatal(text)
		}
		e := m.until(j.ID, bits.StateError).Error
		if e.Code != hresult.E_NOTIMPL || e.Context != bits.ContextLocalFile || !strings.Contains(e.Message, "as another user") || !strings.Contains(e.Hint, "without --system") || e.File == nil || *e.File != 0 {
			t.Errorf("%+v", e)
		}
		end := []string{"cancel", "complete"}[i%2]
		if code, text := m.call(alice, "POST", "/jobs/"+j.ID+"/"+end, ""); code != 0 {
			t.Errorf("%s: %s", end, text)
		}
	}
	m.stop()
	m.start() // what a start tidies up
	m.until(jobs[0].ID, bits.StateCancelled)
	if after := there(); !slices.Equal(before, after) {
		t.Errorf("before %v\nafter %v", before, after)
	}
	for _, path := range planted {
		if text, err := os.ReadFile(path); string(text) != "kept" {
			t.Errorf("%s: %q, %v", path, text, err)
		}
	}
	if text, err := os.ReadFile(filepath.Join(secret, "there")); string(text) != "precious" {
		t.Errorf("%q, %v", text, err)
	}
	if seen := o.Seen(); len(seen) > 0 {
		t.Errorf("requests were made: %v", seen)
	}
	// Root's own jobs work.
	if out, code := m.bits(root, "--system", "get", "--force", "-o", "mine", o.Plain+"/f"); code != 0 {
		t.Errorf("root's own: %d, %s", code, out)
	}
	if text, err := os.ReadFile(filepath.Join(m.home(root), "mine")); string(text) != "evil" {
		t.Errorf("%q, %v", text, err)
	}
}

// Root takes a job over: whoever waits for it hears that it is gone, and the paths are still those that another user has named, so they
// are not touched: neither a system file, nor one behind a link that he makes afterwards.
func TestSystemTakenJobWritesNothing(t *testing.T) {
	t.Parallel()
	m, o := newMachine(t), bitstest.NewOrigin(t)
	o.File("/f", []byte("evil"))
	m.start()
	system := filepath.Join(m.dir, "etc")
	folder := filepath.Join(m.home(alice), "folder")
	bitstest.Must(t, os.Mkdir(system, 0o755), os.WriteFile(filepath.Join(system, "shadow"), []byte("precious"), 0o600), os.Mkdir(folder, 0o777))
	for _, local := range []string{filepath.Join(system, "shadow"), filepath.Join(folder, "shadow")} {
		job := m.job(alice, o.Plain+"/f", local, `,"properties":{"auto_complete":true,"custom_headers":"X-Token: secret"}`)
		follower := m.as(alice, program.Need(t, "curl"), "-sSN", "--unix-socket", m.socket, "http://bits/v1/events?job="+job.ID)
		stream, err := follower.StdoutPipe()
		bitstest.Must(t, err, follower.Start())
		lines := bufio.NewScanner(stream)
		lines.Scan() // the present state
		lines.Scan() // now
		if out, code := m.bits(mallory, "--system", "own", job.ID); code != 3 {
			t.Errorf("another user takes it: %d, %s", code, out)
		}
		if out, code := m.bits(alice, "--system", "own", job.ID); code != 4 {
			t.Errorf("its owner takes it: %d, %s", code, out)
		}
		if out, code := m.bits(root, "--system", "own", job.ID); code != 0 {
			t.Fatalf("root takes it: %d, %s", code, out)
		}
		if !lines.Scan() || !strings.Contains(lines.Text(), job.ID) {
			t.Errorf("the owner before was told %q", lines.Text())
		}
		follower.Process.Kill()
		follower.Wait()
		if code, _ := m.call(alice, "GET", "/jobs/"+job.ID, ""); code != hresult.BG_E_NOT_FOUND {
			t.Errorf("the owner before sees it: %v", code)
		}
		now, err := m.Job(ctx, job.ID)
		if err != nil || now.Owner != "uid:0" || !now.OwnerElevated || now.OwnerIntegrity != 0x4000 || now.TakenFrom != "uid:65534" || len(now.HeaderNames) > 0 {
			t.Errorf("%+v, %v", now, err)
		}
		if local != filepath.Join(system, "shadow") {
			bitstest.Must(t, os.RemoveAll(folder), os.Symlink(system, folder))
		}
		bitstest.Must(t, m.Resume(ctx, job.ID))
		if e := m.until(job.ID, bits.StateError).Error; e.Code != hresult.E_NOTIMPL || !strings.Contains(e.Message, "uid:65534 has named them") {
			t.Errorf("%+v", e)
		}
		if _, err := m.Complete(ctx, job.ID); err != nil {
			t.Error(err)
		}
	}
	if text, err := os.ReadFile(filepath.Join(system, "shadow")); string(text) != "precious" {
		t.Errorf("%q, %v", text, err)
	}
	if entries, err := os.ReadDir(system); len(entries) != 1 {
		t.Errorf("%v, %v", entries, err)
	}
	if seen := o.Seen(); len(seen) > 0 {
		t.Errorf("requests were made: %v", seen)
	}
	// A folder that root does not reach.
	lost := m.job(alice, o.Plain+"/f", "/nowhere/at/all", "")
	if err := m.TakeOwnership(ctx, lost.ID); bits.AsError(err).Code != hresult.BG_E_NEW_OWNER_NO_FILE_ACCESS {
		t.Error(err)
	}
}

// Nobody can pretend to be the service of all users: a socket of another user's process, or one that another user could replace, is not
// spoken to.
func TestSystemIsNotImpersonated(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	refused := func(what, why string) {
		t.Helper()
		for _, uid := range []int{root, alice, mallory} {
			if out, code := m.bits(uid, "--system", "list"); code != 5 || !strings.Contains(out, "cannot trust the service") || !strings.Contains(out, why) {
				t.Errorf("%s: %d got %d, %s", what, uid, code, out)
			}
		}
		if _, err := m.System(ctx); !errors.Is(err, client.ErrUnreachable) {
			t.Errorf("%s: %v", what, err)
		}
	}
	own := filepath.Join(m.home(mallory), "s")
	bitstest.Must(t, os.Chmod(m.home(mallory), 0o755))
	pretender := m.as(mallory, m.program, "daemon", "--announce", "--socket", own, "--state", filepath.Join(m.home(mallory), "state"))
	said, err := pretender.StdoutPipe()
	var complaint bytes.Buffer
	pretender.Stderr = &complaint
	bitstest.Must(t, err, pretender.Start())
	defer func() { pretender.Process.Kill(); pretender.Wait() }()
	if line, _ := bufio.NewReader(said).ReadString('\n'); line != "ready\n" {
		t.Fatalf("%q, %s", line, complaint.String())
	}
	system := m.socket
	bitstest.Must(t, os.Chmod(own, 0o666))
	m.socket, m.Client = own, &client.Client{Socket: own, SystemWide: true}
	refused("a process of mallory's", "it belongs to uid:12345")
	bitstest.Must(t, os.Chown(own, 0, 0), os.Chown(m.home(mallory), 0, 0))
	refused("a process of mallory's behind a socket of root's", "it belongs to uid:12345")

	m.socket, m.Client = system, &client.Client{Socket: system, SystemWide: true}
	m.start()
	folder := filepath.Dir(system)
	if _, code := m.bits(alice, "--system", "list"); code != 0 {
		t.Errorf("the true one: %d", code)
	}
	for _, c := range []struct {
		what, why string
		do, undo  func() error
	}{
		{"a socket of mallory's", "does not belong to root", func() error { return os.Chown(system, mallory, 0) }, func() error { return os.Chown(system, 0, 0) }},
		{"a folder of mallory's", "belongs to another user", func() error { return os.Chown(folder, mallory, 0) }, func() error { return os.Chown(folder, 0, 0) }},
		{"a folder that all can write", "other users can write", func() error { return os.Chmod(folder, 0o777) }, func() error { return os.Chmod(folder, 0o755) }},
	} {
		m.Client.Close()
		bitstest.Must(t, c.do())
		refused(c.what, c.why)
		bitstest.Must(t, c.undo())
	}
	if _, code := m.bits(alice, "--system", "list"); code != 0 {
		t.Errorf("the true one, again: %d", code)
	}
	// Root's own service is no service of all users.
	m.stop()
	private := bitstest.Start(t)
	m.socket = private.Socket
	if out, code := m.bits(root, "--system", "list"); code != 5 || !strings.Contains(out, "that of one user") {
		t.Errorf("a service of root alone: %d, %s", code, out)
	}
}
