package tests

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	_ "modernc.org/sqlite"

	"bits"
	"bits/client"
	"bits/client/bitstest"
	"bits/hresult"
	"bits/internal/daemon"
	"bits/internal/program"
)

// call sends a body as it is.
func call(t *testing.T, s *bitstest.Service, method, path, body string, headers ...string) (int, string) {
	t.Helper()
	c := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", s.Socket)
	}}}
	request, err := http.NewRequest(method, "http://bits/v1"+path, strings.NewReader(body))
	bitstest.Must(t, err)
	for i := 0; i+1 < len(headers); i += 2 {
		if headers[i] == "Host" {
			request.Host = headers[i+1]
		}
		request.Header.Set(headers[i], headers[i+1])
	}
	resp, err := c.Do(request)
	bitstest.Must(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	bitstest.Must(t, err)
	return resp.StatusCode, string(text)
}

func TestBadCalls(t *testing.T) {
	t.Parallel()
	s := bitstest.Start(t)
	job := s.NewJob(nil, "http://127.0.0.1/x")
	dir := s.Path("")
	file := func(remote, local string) string {
		return string(bitstest.JSON(map[string]any{"files": []map[string]string{{"remote_name": remote, "local_name": local}}}))
	}
	os.WriteFile(filepath.Join(dir, "plain"), nil, 0o600)
	bitstest.Must(t, exec.Command("mkfifo", filepath.Join(dir, "pipe")).Run())
	bitstest.Must(t, os.MkdirAll(filepath.Join(dir, "folder"), 0o700))
	id := "/jobs/" + job.ID
	for _, c := range []struct {
		name, method, path, body string
		status                   int
		code                     hresult.Code
		says                     string
	}{
		{"unknown job", "GET", "/jobs/00000000-0000-4000-8000-000000000000", "", 404, hresult.BG_E_NOT_FOUND, "cannot find job"},
		{"id that is none", "GET", "/jobs/x", "", 404, hresult.BG_E_NOT_FOUND, "cannot find job"},
		{"unknown call", "GET", "/nothing", "", 404, hresult.BG_E_NOT_FOUND, "no such call"},
		{"wrong method", "DELETE", id, "", 404, hresult.BG_E_NOT_FOUND, "no such call"},
		{"chosen id that is no GUID", "POST", "/jobs", `{"id":"mine"}`, 400, hresult.E_INVALIDARG, "no GUID"},
		{"malformed URL", "POST", id + "/files", file("http://[::1/x", filepath.Join(dir, "a")), 400, hresult.E_INVALIDARG, "URL"},
		{"no scheme", "POST", id + "/files", file("example.com/x", filepath.Join(dir, "a")), 400, hresult.E_INVALIDARG, "no scheme"},
		{"unsupported scheme", "POST", id + "/files", file("ftp://example.com/x", filepath.Join(dir, "a")), 400, hresult.E_INVALIDARG, "scheme ftp is not supported"},
		{"URL too long", "POST", id + "/files", file("http://a/?"+strings.Repeat("x", 2200), filepath.Join(dir, "a")), 400, hresult.E_INVALIDARG, "2200 are allowed"},
		{"line break in URL", "POST", id + "/files", file("http://a/\r\nX: y", filepath.Join(dir, "a")), 400, hresult.E_INVALIDARG, "not legal"},
		{"relative path", "POST", id + "/files", file("http://a/b", "a"), 400, hresult.E_INVALIDARG, "not an absolute path"},
		{"no path", "POST", id + "/files", file("http://a/b", ""), 400, hresult.E_INVALIDARG, "not an absolute path"},
		{"NUL in path", "POST", id + "/files", file("http://a/b", dir+"/a\x00b"), 400, hresult.E_INVALIDARG, "names no file"},
		{"folder that does not exist", "POST", id + "/files", file("http://a/b", dir+"/none/a"), 400, hresult.ERROR_PATH_NOT_FOUND, "does not exist"},
		{"folder that is a file", "POST", id + "/files", file("http://a/b", filepath.Join(dir, "plain", "a")), 400, hresult.ERROR_PATH_NOT_FOUND, "no folder"},
		{"target that is a folder", "POST", id + "/files", file("http://a/b", filepath.Join(dir, "folder")), 403, hresult.E_ACCESSDENIED, "is a folder"},
		{"name too long", "POST", id + "/files", file("http://a/b", filepath.Join(dir, strings.Repeat("n", 256))), 400, hresult.FromWin32(206), "too long"},
		{"header with a line break", "PATCH", id, `{"custom_headers":"A: b\nC: d"}`, 400, hresult.E_INVALIDARG, "line break"},
		{"PEM that is none", "PATCH", id, `{"roots":"hello"}`, 400, hresult.E_INVALIDARG, "CERTIFICATE"},
		{"unknown property", "PATCH", id, `{"colour":"red"}`, 400, hresult.BG_E_UNKNOWN_PROPERTY_ID, "no such property"},
		{"wrong type", "PATCH", id, `{"priority":7}`, 400, hresult.E_INVALIDARG, "cannot set priority: it cannot be a number"},
		{"wrong type of a field", "POST", "/jobs", `{"umask":"022"}`, 400, hresult.E_INVALIDARG, "umask cannot be a string"},
		{"number out of range", "PATCH", id, `{"minimum_retry_delay":-1}`, 400, hresult.E_INVALIDARG, "it cannot be the number -1"},
		{"no JSON", "POST", "/jobs", `hello`, 400, hresult.E_INVALIDARG, "cannot read the body"},
		{"nothing", "POST", "/jobs", ``, 400, hresult.E_INVALIDARG, "it is empty"},
		{"a list", "POST", "/jobs", `[]`, 400, hresult.E_INVALIDARG, "cannot read the body"},
		{"null", "POST", "/jobs", `null`, 400, hresult.E_INVALIDARG, "JSON object"},
		{"null for a number", "PATCH", id, `{"no_progress_timeout":null}`, 400, hresult.E_INVALIDARG, "null"},
		{"null for a choice", "PATCH", id, `{"priority":null}`, 400, hresult.E_INVALIDARG, "null"},
		{"password in URL", "POST", id + "/files", file("http://joe:s3cret@a/b", filepath.Join(dir, "a")), 400, hresult.E_INVALIDARG, "password"},
		{"port that is none", "POST", id + "/files", file("http://a:99999/b", filepath.Join(dir, "a")), 400, hresult.E_INVALIDARG, "99999"},
		{"target that is a device", "POST", id + "/files", file("http://a/b", filepath.Join(dir, "pipe")), 403, hresult.E_ACCESSDENIED, "device"},
		{"verdict without a code", "POST", id + "/certificate-validation/x", `{"registration":"x"}`, 400, hresult.E_INVALIDARG, "without its hresult"},
		{"two values", "POST", "/jobs", `{}{}`, 400, hresult.E_INVALIDARG, "something follows"},
		{"unknown field", "POST", "/jobs", `{"nmae":"x"}`, 400, hresult.E_INVALIDARG, "nmae"},
		{"too large", "POST", "/jobs", `{"display_name":"` + strings.Repeat("x", 17<<20) + `"}`, 400, hresult.E_INVALIDARG, "too large"},
		{"two files of an upload", "POST", "/jobs", `{"type":"UPLOAD","files":[{"remote_name":"http://a/","local_name":"/x"},{"remote_name":"http://a/","local_name":"/y"}]}`, 400, hresult.BG_E_TOO_MANY_FILES, "an upload has one"},
		{"unknown type", "POST", "/jobs", `{"type":"SIDEWAYS"}`, 501, hresult.E_NOTIMPL, "SIDEWAYS"},
		{"display name too long", "POST", "/jobs", `{"display_name":"` + strings.Repeat("x", 257) + `"}`, 400, hresult.E_INVALIDARG, "256"},
		{"since that is no number", "GET", "/events?since=x", "", 400, hresult.E_INVALIDARG, "number of an event"},
		{"state that is none", "GET", "/jobs?state=RED", "", 501, hresult.E_NOTIMPL, "RED"},
		{"parameter that is none", "GET", "/jobs?stat=ERROR", "", 400, hresult.E_INVALIDARG, "stat"},
		{"parameter where there are none", "POST", id + "/resume?when=now", "", 400, hresult.E_INVALIDARG, "when"},
		{"value of a parameter", "GET", "/jobs?all=yes", "", 400, hresult.E_INVALIDARG, "it is true or false"},
		{"states of cost", "PATCH", id, `{"cost_flags":"FREE"}`, 400, hresult.E_INVALIDARG, "UNRESTRICTED"},
		{"wrong verdict", "POST", id + "/certificate-validation/x", `{"registration":"x","hresult":"perhaps"}`, 400, hresult.E_INVALIDARG, "perhaps"},
	} {
		status, text := call(t, s, c.method, c.path, c.body)
		if status != c.status || !strings.Contains(text, c.code.String()) || !strings.Contains(text, c.says) || !strings.Contains(text, `"message":"cannot `) {
			t.Errorf("%s: %d %s; want %d %v %q", c.name, status, text, c.status, c.code, c.says)
		}
	}
	now, err := s.Job(ctx, job.ID)
	bitstest.Must(t, err)
	jobs, err := s.Jobs(ctx, nil)
	bitstest.Must(t, err)
	if len(now.Files) != 1 || len(jobs) != 1 || now.HeaderNames != nil || now.Roots != "" {
		t.Errorf("something of the refused calls is left: %d jobs, %+v", len(jobs), now)
	}
}

// No web page can drive the service, whatever it makes a browser send.
func TestBrowsersAreRefused(t *testing.T) {
	t.Parallel()
	s := bitstest.Start(t)
	for _, h := range [][]string{{"Origin", "http://evil.example"}, {"Referer", "http://evil.example/"}, {"Host", "evil.example"}} {
		if status, text := call(t, s, "GET", "/jobs", "", h...); status != 403 || !strings.Contains(text, hresult.E_ACCESSDENIED.String()) {
			t.Errorf("%v: %d %s", h, status, text)
		}
	}
}

func config(dir string) daemon.Config {
	return daemon.Config{State: filepath.Join(dir, "state"), Socket: filepath.Join(dir, "run", "s"), Log: slog.New(slog.DiscardHandler)}
}

func TestSecondServiceOnTheSameState(t *testing.T) {
	t.Parallel()
	s := bitstest.Start(t)
	c := config(s.Dir)
	c.Socket = filepath.Join(s.Dir, "other", "s")
	err := daemon.Run(ctx, c)
	if bits.AsError(err).Code != hresult.ERROR_SHARING_VIOLATION || !strings.Contains(err.Error(), "in use") {
		t.Errorf("%v", err)
	}
}

func TestSocketPathIsTaken(t *testing.T) {
	t.Parallel()
	dir := program.Dir(t)
	c := config(dir)
	t.Run("by a service", func(t *testing.T) {
		s := bitstest.Start(t)
		c := config(dir)
		c.Socket = s.Socket
		if err := daemon.Run(ctx, c); err == nil || !strings.Contains(err.Error(), "in use") {
			t.Errorf("%v", err)
		}
		if _, err := s.System(ctx); err != nil {
			t.Errorf("the first service does not answer any more: %v", err)
		}
	})
	t.Run("by a file", func(t *testing.T) {
		bitstest.Must(t, os.MkdirAll(filepath.Dir(c.Socket), 0o700), os.WriteFile(c.Socket, []byte("precious"), 0o600))
		if err := daemon.Run(ctx, c); err == nil || !strings.Contains(err.Error(), "no socket") {
			t.Errorf("%v", err)
		}
		if text, err := os.ReadFile(c.Socket); err != nil || string(text) != "precious" {
			t.Errorf("the file is gone: %q, %v", text, err)
		}
	})
	t.Run("too long", func(t *testing.T) {
		c := config(dir)
		c.Socket = filepath.Join(dir, strings.Repeat("x", 120))
		if err := daemon.Run(ctx, c); err == nil || !strings.Contains(err.Error(), "a socket address holds") {
			t.Errorf("%v", err)
		}
	})
	t.Run("a folder open to others", func(t *testing.T) {
		c := config(dir)
		open := filepath.Join(dir, "open")
		bitstest.Must(t, os.Mkdir(open, 0o700), os.Chmod(open, 0o777))
		c.Socket = filepath.Join(open, "s")
		if err := daemon.Run(ctx, c); err == nil || !strings.Contains(err.Error(), "other users can write") {
			t.Errorf("%v", err)
		}
	})
}

func TestStoresThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spoil func(path string) error
		says  string
	}{
		"of a newer version": {func(path string) error {
			db, err := sql.Open("sqlite", path)
			if err != nil {
				return err
			}
			defer db.Close()
			_, err = db.Exec("pragma user_version = 1000")
			return err
		}, "newer"},
		"of another program": {func(path string) error {
			db, err := sql.Open("sqlite", path)
			if err != nil {
				return err
			}
			defer db.Close()
			_, err = db.Exec("pragma application_id = 7; create table x (y)")
			return err
		}, "another application"},
		"no store at all": {func(path string) error { return os.WriteFile(path, bytes.Repeat([]byte("hello "), 1000), 0o600) }, "cannot open"},
	} {
		t.Run(name, func(t *testing.T) {
			s := bitstest.Start(t)
			s.NewJob(nil, "http://127.0.0.1/x")
			s.Stop()
			path := filepath.Join(s.Dir, "state", "bits.db")
			if name != "of a newer version" {
				for _, suffix := range []string{"", "-wal", "-shm"} {
					os.Remove(path + suffix)
				}
			}
			bitstest.Must(t, c.spoil(path))
			before, err := os.ReadFile(path)
			bitstest.Must(t, err)
			if err := daemon.Run(ctx, config(s.Dir)); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v", err)
			}
			after, err := os.ReadFile(path)
			if err != nil || !bytes.Equal(before, after) {
				t.Errorf("the store was touched: %v", err)
			}
		})
	}
}

// The longest name that a file can have works: the temporary name does not grow with it.
func TestLongestName(t *testing.T) {
	t.Parallel()
	s, o := bitstest.Start(t), bitstest.NewOrigin(t)
	o.File("/f", []byte("x"))
	local := s.Path(strings.Repeat("n", 255))
	job, err := s.Create(ctx, bits.Spec{Resume: true, Files: []bits.FileSpec{{RemoteName: o.Plain + "/f", LocalName: local}}})
	bitstest.Must(t, err)
	s.Await(job.ID, bits.StateTransferred)
	_, err = s.Complete(ctx, job.ID)
	bitstest.Must(t, err)
	if _, err := os.Stat(local); err != nil {
		t.Error(err)
	}
}

// unmountable skips a test where nothing can be mounted; where all is installed that is a failure.
func unmountable(t *testing.T, out []byte) {
	t.Helper()
	if os.Getenv("BITS_TEST_ALL") != "" {
		t.Fatalf("mount: %s", out)
	}
	t.Skipf("mount: %s", out)
}

func asRoot(t *testing.T) {
	t.Helper()
	if runtime.GOOS != "linux" || os.Geteuid() != 0 {
		t.Skip("it needs root on Linux")
	}
}

// A disk that fills: the job says so, and nothing is lost; when there is room again it goes on.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	asRoot(t)
	s, o := bitstest.Start(t), bitstest.NewOrigin(t)
	disk := s.Path("disk")
	bitstest.Must(t, os.Mkdir(disk, 0o700))
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=1m", "none", disk).CombinedOutput(); err != nil {
		unmountable(t, out)
	}
	defer exec.Command("umount", disk).Run()
	data := bitstest.Content(9, 600_000)
	o.File("/known", data)
	o.Page("/unknown", func(w http.ResponseWriter, r *http.Request) {
		w.Write(data[:1000])
		w.(http.Flusher).Flush()
		w.Write(data[1000:])
	})
	filler := filepath.Join(disk, "filler")
	for _, path := range []string{"/known", "/unknown"} {
		bitstest.Must(t, os.WriteFile(filler, make([]byte, 700_000), 0o600))
		job, err := s.Create(ctx, bits.Spec{Resume: true, Files: []bits.FileSpec{{RemoteName: o.Plain + path, LocalName: filepath.Join(disk, "f")}}, Properties: map[string]bits.RawMessage{"backoff": bits.RawMessage(`{"first":1,"max":1}`)}})
		bitstest.Must(t, err)
		now := s.Until(job.ID, func(j *bits.Job) bool { return j.Error != nil })
		if now.Error.Code != hresult.ERROR_DISK_FULL || now.Error.Context != bits.ContextLocalFile {
			t.Errorf("%s: %+v", path, now.Error)
		}
		bitstest.Must(t, os.Remove(filler))
		if now.State == bits.StateError {
			bitstest.Must(t, s.Resume(ctx, job.ID))
		}
		s.Await(job.ID, bits.StateTransferred)
		finish(t, s, job, data)
		bitstest.Must(t, os.Remove(filepath.Join(disk, "f")))
	}
}

// The disk of the store fills: calls are refused with a clear error, and the service lives on.
func TestDiskOfTheStoreFull(t *testing.T) {
	t.Parallel()
	asRoot(t)
	dir := program.Dir(t)
	state := filepath.Join(dir, "state")
	bitstest.Must(t, os.Mkdir(state, 0o700))
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=2m,mode=700", "none", state).CombinedOutput(); err != nil {
		unmountable(t, out)
	}
	defer exec.Command("umount", state).Run()
	life, stop := context.WithCancel(ctx)
	ready, done := make(chan bool), make(chan error, 1)
	c := config(dir)
	c.Ready = func() { close(ready) }
	go func() { done <- daemon.Run(life, c) }()
	select {
	case <-ready:
	case err := <-done:
		t.Fatal(err)
	}
	cl := &client.Client{Socket: c.Socket}
	job, err := cl.Create(ctx, bits.Spec{DisplayName: "before"})
	bitstest.Must(t, err)
	filler := filepath.Join(state, "filler")
	f, err := os.Create(filler)
	bitstest.Must(t, err)
	for {
		if _, err := f.Write(make([]byte, 4096)); err != nil {
			break
		}
	}
	f.Close()
	var refused error
	for range 2000 {
		if _, refused = cl.Create(ctx, bits.Spec{DisplayName: "full"}); refused != nil {
			break
		}
	}
	if e := bits.AsError(refused); refused == nil || !strings.Contains(e.Message, "full") {
		t.Errorf("with a full disk: %v", refused)
	}
	if _, err := cl.Job(ctx, job.ID); err != nil {
		t.Errorf("the service does not answer: %v", err)
	}
	bitstest.Must(t, os.Remove(filler))
	if _, err := cl.Create(ctx, bits.Spec{DisplayName: "after"}); err != nil {
		t.Errorf("with room again: %v", err)
	}
	stop()
	bitstest.Must(t, <-done)
}

// The folder cannot be written.
func TestFolderThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	s := bitstest.Start(t)
	dir := s.Path("locked")
	bitstest.Must(t, os.Mkdir(dir, 0o500))
	if os.Geteuid() == 0 {
		asRoot(t) // whom modes do not stop, but a file system that is read-only does
		if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "ro", "none", dir).CombinedOutput(); err != nil {
			unmountable(t, out)
		}
		defer exec.Command("umount", dir).Run()
	}
	_, err := s.Create(ctx, bits.Spec{Files: []bits.FileSpec{{RemoteName: "http://a/b", LocalName: filepath.Join(dir, "f")}}})
	if e := bits.AsError(err); e.Code != hresult.E_ACCESSDENIED || !strings.Contains(e.Message, "cannot be written") {
		t.Errorf("%v", err)
	}
}

func itoa(n int) string { return strings.TrimSpace(string(bitstest.JSON(n))) }

// A create that is repeated makes one job.
func TestCreateIsIdempotent(t *testing.T) {
	t.Parallel()
	s := bitstest.Start(t)
	const id = "5d0fd2d2-9a5c-4b83-9f6c-0c1d9f1b8a77"
	for range 3 {
		job, err := s.Create(ctx, bits.Spec{ID: strings.ToUpper(id), DisplayName: "one"})
		if err != nil || job.ID != id {
			t.Fatalf("%+v, %v", job, err)
		}
	}
	if jobs, err := s.Jobs(ctx, nil); err != nil || len(jobs) != 1 {
		t.Errorf("%d jobs, %v", len(jobs), err)
	}
}

// Final jobs can be looked at for a day, and nothing can be done with them.
func TestFinalJobs(t *testing.T) {
	t.Parallel()
	s := bitstest.Start(t)
	job := s.NewJob(nil, "http://127.0.0.1/x")
	_, err := s.Cancel(ctx, job.ID)
	bitstest.Must(t, err)
	wantState(t, s, job.ID, bits.StateCancelled)
	if jobs, err := s.Jobs(ctx, nil); err != nil || len(jobs) != 0 {
		t.Errorf("it is still listed: %v", err)
	}
	_, again := s.Cancel(ctx, job.ID)
	for name, err := range map[string]error{
		"cancel": again, "resume": s.Resume(ctx, job.ID), "suspend": s.Suspend(ctx, job.ID), "set": s.Set(ctx, job.ID, map[string]any{"description": "x"}),
		"add": s.Add(ctx, job.ID, bits.FileSpec{RemoteName: "http://a/b", LocalName: s.Path("b")}),
	} {
		if !errors.Is(err, bits.ErrInvalidState) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
