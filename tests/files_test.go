package tests

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"bits"
	"bits/client/bitstest"
	"bits/hresult"
	"bits/internal/contract"
	"bits/internal/program"
)

// real are the servers of these tests: the URL of their files, and how to put one there.
func real(t *testing.T) map[string]func(name string, data []byte, at time.Time) string {
	t.Helper()
	p, q, r := program.Port(t), program.Port(t), program.Port(t)
	n := program.StartNginx(t, p, fmt.Sprintf("server { listen 127.0.0.1:%d; }", p))
	n.Kill()
	n.Configure(fmt.Sprintf("server { listen 127.0.0.1:%d; location /plain/ { alias %s/www/; etag off; } location /slow/ { alias %s/www/; limit_rate 2m; } }", p, n.Dir, n.Dir))
	n.Start()
	a := program.StartApache(t, q, "<Location /plain/>\nFileETag None\n</Location>\nLoadModule ratelimit_module /usr/lib/apache2/modules/mod_ratelimit.so\nLoadModule env_module /usr/lib/apache2/modules/mod_env.so\n<Location /slow/>\nSetOutputFilter RATE_LIMIT\nSetEnv rate-limit 2048\n</Location>\n")
	bitstest.Must(t, os.Symlink(".", filepath.Join(a.Dir, "www", "plain")), os.Symlink(".", filepath.Join(a.Dir, "www", "slow")))
	l := program.StartLighttpd(t, r, "mimetype.assign = ( \"\" => \"application/octet-stream\" )\n$HTTP[\"url\"] =~ \"^/slow/\" { connection.kbytes-per-second = 2048 }")
	bitstest.Must(t, os.Symlink(".", filepath.Join(l.Dir, "www", "slow")))
	return map[string]func(string, []byte, time.Time) string{
		"lighttpd": func(name string, data []byte, at time.Time) string {
			l.FileAt(name, data, at)
			return fmt.Sprintf("http://127.0.0.1:%d/", r)
		},
		"nginx": func(name string, data []byte, at time.Time) string {
			n.FileAt(name, data, at)
			return fmt.Sprintf("http://127.0.0.1:%d/", p)
		},
		"Apache": func(name string, data []byte, at time.Time) string {
			a.FileAt(name, data, at)
			return fmt.Sprintf("http://127.0.0.1:%d/", q)
		},
	}
}

// spec is a job of one file, QUEUED.
func spec(s *bitstest.Service, url, local string, ranges []bits.FileRange, properties map[string]any) bits.Spec {
	sp := bits.Spec{Files: []bits.FileSpec{{RemoteName: url, LocalName: s.Path(local), Ranges: ranges}}, Properties: map[string]bits.RawMessage{"priority": bits.RawMessage(`"FOREGROUND"`), "backoff": bitstest.JSON(bits.Backoff{First: 1, Max: 1})}}
	for name, v := range properties {
		sp.Properties[name] = bitstest.JSON(v)
	}
	return sp
}

// someRanges are n ranges of a file of a size in no order, and what they are together.
func someRanges(data []byte, n int) (ranges []bits.FileRange, want []byte) {
	each := len(data) / n
	for _, i := range rand.Perm(n) {
		r := bits.FileRange{Offset: int64(i*each + rand.IntN(each/2)), Length: int64(1 + rand.IntN(each/2-1))}
		if i == n-1 && rand.IntN(2) == 0 {
			r.Length = bits.ToEOF
		}
		end := int64(len(data))
		if r.Length != bits.ToEOF {
			end = r.Offset + r.Length
		}
		ranges, want = append(ranges, r), append(want, data[r.Offset:end]...)
	}
	return ranges, want
}

func TestRangesOfRealServers(t *testing.T) {
	t.Parallel()
	s := bitstest.Start(t)
	data := bitstest.Content(1, 3_000_001)
	for name, put := range real(t) {
		url := put("f", data, time.Now().Add(-time.Hour)) + "f"
		for _, strict := range []bool{false, true} {
			for _, n := range []int{1, 3, 150} {
				t.Run(fmt.Sprint(name, strict, n), func(t *testing.T) {
					ranges, want := someRanges(data, n)
					job, err := s.Create(ctx, spec(s, url, strings.ReplaceAll(t.Name(), "/", "-"), ranges, map[string]any{"strict": strict}))
					bitstest.Must(t, err, s.Resume(ctx, job.ID))
					now := s.Await(job.ID, bits.StateTransferred)
					if got := now.Progress; *got.BytesTotal != int64(len(want)) || got.BytesTransferred != int64(len(want)) {
						t.Errorf("%d of %d bytes, want %d", got.BytesTransferred, *got.BytesTotal, len(want))
					}
					if h := headers(t, s, job.ID); !strings.HasPrefix(h, "HTTP/1.1 206 Partial Content\r\n") || !strings.Contains(h, "\r\nServer: ") || !strings.HasSuffix(h, "\r\n") {
						t.Errorf("the headers are %q", h)
					}
					finish(t, s, job, want)
				})
			}
		}
		t.Run(name+" outside", func(t *testing.T) {
			job, err := s.Create(ctx, spec(s, url, name+"-outside", []bits.FileRange{{Offset: 5, Length: 5}, {Offset: 3_000_000, Length: 2}}, nil))
			bitstest.Must(t, err, s.Resume(ctx, job.ID))
			e := s.Await(job.ID, bits.StateError).Error
			if e.Code != hresult.BG_E_INVALID_RANGE || e.Context != bits.ContextRemoteFile {
				t.Errorf("%+v", e)
			}
		})
	}
}

// The headers of an answer that is an error are there too.
func TestResponseHeadersOfAnError(t *testing.T) {
	t.Parallel()
	s, o := bitstest.Start(t), bitstest.NewOrigin(t)
	o.Page("/f", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Why", "closed")
		http.Error(w, "no", http.StatusForbidden)
	})
	job := s.NewJob(o.Trust(), o.Plain+"/f")
	var headers *string
	if _, err := s.FileProperty(ctx, job.ID, 0, "http_response_headers", &headers); err != nil || headers != nil {
		t.Errorf("before the first answer: %v, %v", headers, err)
	}
	bitstest.Must(t, s.Resume(ctx, job.ID))
	s.Await(job.ID, bits.StateError)
	if _, err := s.FileProperty(ctx, job.ID, 0, "http_response_headers", &headers); err != nil || headers == nil || !strings.HasPrefix(*headers, "HTTP/1.1 403 Forbidden\r\n") || !strings.Contains(*headers, "\r\nX-Why: closed\r\n") {
		t.Errorf("%v, %v", headers, err)
	}
}

// headers are those of the last answer for the only file of a job.
func headers(t *testing.T, s *bitstest.Service, id string) (h string) {
	t.Helper()
	_, err := s.FileProperty(ctx, id, 0, "http_response_headers", &h)
	bitstest.Must(t, err)
	return h
}

// filled is what a file has on stable storage.
func filled(t *testing.T, s *bitstest.Service, id string) (ranges []bits.FileRange) {
	t.Helper()
	_, err := s.FileProperty(ctx, id, 0, "filled_ranges", &ranges)
	bitstest.Must(t, err)
	return ranges
}

func TestOnDemand(t *testing.T) {
	t.Parallel()
	s := bitstest.Start(t)
	data := bitstest.Content(2, 2_000_000)
	for name, put := range real(t) {
		t.Run(name, func(t *testing.T) {
			url := put("f", data, time.Now().Add(-time.Hour)) + "f"
			job, err := s.Create(ctx, spec(s, url, name, nil, map[string]any{"on_demand_mode": true}))
			bitstest.Must(t, err, s.Resume(ctx, job.ID))
			s.Await(job.ID, bits.StateSuspended) // nothing was requested
			request := func(ranges ...bits.FileRange) {
				t.Helper()
				_, err := s.FileCall(ctx, job.ID, 0, "request-ranges", contract.Ranges{Ranges: ranges})
				bitstest.Must(t, err, s.Resume(ctx, job.ID))
			}
			request(bits.FileRange{Offset: 1_000_000, Length: 5000}, bits.FileRange{Offset: 70, Length: 30}, bits.FileRange{Offset: 90, Length: 20})
			now := s.Until(job.ID, func(j *bits.Job) bool { return j.State == bits.StateSuspended && j.Files[0].Done.Len() > 0 })
			if got := filled(t, s, job.ID); !slices.Equal(got, []bits.FileRange{{Offset: 70, Length: 40}, {Offset: 1_000_000, Length: 5000}}) {
				t.Errorf("filled: %v", got)
			}
			there, err := os.ReadFile(now.Files[0].Temporary)
			bitstest.Must(t, err)
			if !bytes.Equal(there[70:110], data[70:110]) || !bytes.Equal(there[1_000_000:1_005_000], data[1_000_000:1_005_000]) {
				t.Error("what is filled is not the file's")
			}
			if _, err := s.FileCall(ctx, job.ID, 0, "request-ranges", contract.Ranges{Ranges: []bits.FileRange{{Offset: 1_999_999, Length: 2}}}); bits.AsError(err).Code != hresult.BG_E_INVALID_RANGE {
				t.Errorf("a range outside: %v", err)
			}
			request(bits.FileRange{Offset: 0, Length: bits.ToEOF})
			s.Await(job.ID, bits.StateTransferred)
			finish(t, s, job, data)
		})
	}
}

// A server without ranges: an on-demand job says so, and so do the calls afterwards; another name is another chance.
func TestOnDemandWithoutRanges(t *testing.T) {
	t.Parallel()
	s, o := bitstest.Start(t), bitstest.NewOrigin(t)
	data := bitstest.Content(3, 5000)
	o.Page("/none", func(w http.ResponseWriter, _ *http.Request) { w.Write(data) })
	o.File("/f", data)
	job, err := s.Create(ctx, spec(s, o.Plain+"/none", "f", nil, map[string]any{"on_demand_mode": true}))
	bitstest.Must(t, err)
	request := func() error {
		_, err := s.FileCall(ctx, job.ID, 0, "request-ranges", contract.Ranges{Ranges: []bits.FileRange{{Offset: 10, Length: 10}}})
		return err
	}
	bitstest.Must(t, request(), s.Resume(ctx, job.ID))
	if e := s.Await(job.ID, bits.StateError).Error; e.Code != hresult.BG_E_RANDOM_ACCESS_NOT_SUPPORTED || e.Context != bits.ContextRemoteFile {
		t.Errorf("%+v", e)
	}
	if err := request(); bits.AsError(err).Code != hresult.BG_E_RANDOM_ACCESS_NOT_SUPPORTED {
		t.Errorf("a request afterwards: %v", err)
	}
	_, err = s.FileCall(ctx, job.ID, 0, "set-remote-name", contract.RemoteName{RemoteName: o.Plain + "/f"})
	bitstest.Must(t, err, request(), s.Resume(ctx, job.ID))
	s.Until(job.ID, func(j *bits.Job) bool { return j.State == bits.StateSuspended && j.Files[0].Done.Len() == 10 })
}

// A file gets another name while it is transferred: what is there stays if size and date are the same and no ETag says otherwise.
func TestSetRemoteNameBetweenServers(t *testing.T) {
	t.Parallel()
	s := bitstest.Start(t)
	data, at := bitstest.Content(4, 8_000_000), time.Now().Add(-time.Hour)
	servers := real(t)
	from := servers["nginx"]("f", data, at)
	for name, c := range map[string]struct {
		from, to string
		at       time.Time
		kept     bool
	}{
		"same":        {"slow/", "plain/", at, true},
		"other ETag":  {"slow/", "", at, false},
		"other date":  {"slow/", "plain/", at.Add(-time.Minute), false},
		"with prefix": {"slow/", "plain/", at, true},
	} {
		t.Run(name, func(t *testing.T) {
			file := strings.ReplaceAll(name, " ", "-")
			other := slices.Clone(data)
			if !c.kept {
				other = bitstest.Content(5, len(data)) // so that a splice would show
			}
			servers["nginx"](file, data, at)
			to := servers["Apache"](file, other, c.at)
			job, err := s.Create(ctx, spec(s, from+c.from+file, file, nil, nil))
			bitstest.Must(t, err, s.Resume(ctx, job.ID))
			s.Until(job.ID, func(j *bits.Job) bool { return j.Files[0].Done.Len() > 0 })
			bitstest.Must(t, s.Suspend(ctx, job.ID))
			if name == "with prefix" {
				_, err = s.Call(ctx, job.ID, "replace-remote-prefix", contract.Prefixes{Old: from + c.from, New: to + c.to})
			} else {
				_, err = s.FileCall(ctx, job.ID, 0, "set-remote-name", contract.RemoteName{RemoteName: to + c.to + file})
			}
			bitstest.Must(t, err, s.Resume(ctx, job.ID))
			now := s.Await(job.ID, bits.StateTransferred)
			h := headers(t, s, job.ID)
			if kept := strings.Contains(h, "Content-Range: ") && !strings.Contains(h, "Content-Range: bytes 0-"); kept != c.kept || now.Files[0].Renamed {
				t.Errorf("renamed %v; the last answer was %s", now.Files[0].Renamed, h)
			}
			finish(t, s, job, other)
		})
	}
}

// A finished file that gets another name is not fetched again.
func TestSetRemoteNameOfAFinishedFile(t *testing.T) {
	t.Parallel()
	s, o := bitstest.Start(t), bitstest.NewOrigin(t)
	o.File("/f", []byte("old"))
	o.File("/g", []byte("new"))
	job := s.NewJob(o.Trust(), o.Plain+"/f")
	bitstest.Must(t, s.Resume(ctx, job.ID))
	s.Await(job.ID, bits.StateTransferred)
	_, err := s.FileCall(ctx, job.ID, 0, "set-remote-name", contract.RemoteName{RemoteName: o.Plain + "/g"})
	bitstest.Must(t, err, s.Resume(ctx, job.ID))
	now := s.Await(job.ID, bits.StateTransferred)
	code, err := s.Complete(ctx, job.ID)
	bitstest.Must(t, err)
	if there, err := os.ReadFile(s.Path("f")); err != nil || string(there) != "old" || code != hresult.S_OK || now.Files[0].RemoteName != o.Plain+"/g" || len(o.Seen()) != 1 {
		t.Errorf("%q, %v, %v, %+v, %q", there, err, code, now.Files[0], o.Seen())
	}
}

// A request of a running job takes hold at once: it comes before the rest.
func TestRequestWhileRunning(t *testing.T) {
	t.Parallel()
	s := bitstest.Start(t)
	data := bitstest.Content(13, 12_000_000)
	url := real(t)["nginx"]("f", data, time.Now().Add(-time.Hour)) + "slow/f"
	job, err := s.Create(ctx, spec(s, url, "f", nil, nil))
	bitstest.Must(t, err, s.Resume(ctx, job.ID))
	s.Until(job.ID, func(j *bits.Job) bool { return j.Files[0].Received > 0 })
	_, err = s.FileCall(ctx, job.ID, 0, "request-ranges", contract.Ranges{Ranges: []bits.FileRange{{Offset: 11_000_000, Length: 10}, {Offset: 8_000_000, Length: 10}}})
	bitstest.Must(t, err)
	now := s.Until(job.ID, func(j *bits.Job) bool {
		return len(j.Files[0].Done.Gaps(bits.Range{Start: 11_000_000, End: 11_000_010})) == 0
	})
	if d := now.Files[0].Done; d.Len() > 6_000_000 || len(d.Gaps(bits.Range{Start: 8_000_000, End: 8_000_010})) > 0 {
		t.Errorf("%v", d)
	}
	bitstest.Must(t, s.Suspend(ctx, job.ID), s.Resume(ctx, job.ID))
	s.Await(job.ID, bits.StateTransferred)
	finish(t, s, job, data)
}

// SetRemoteName of a running job takes hold at once, and what the old run had begun to say is not taken for an answer of the new name.
func TestSetRemoteNameWhileRunning(t *testing.T) {
	t.Parallel()
	s, o := bitstest.Start(t), bitstest.NewOrigin(t)
	old, now := bitstest.Content(6, 3_000_000), bitstest.Content(7, 3_000_000)
	o.Gate("/old", old, 1_500_000)
	o.File("/new", now)
	for i := range 10 {
		local := fmt.Sprint("f", i)
		job, err := s.Create(ctx, spec(s, o.Plain+"/old", local, nil, nil))
		bitstest.Must(t, err, s.Resume(ctx, job.ID))
		time.Sleep(rand.N(30 * time.Millisecond)) // no order is waited for: every one must do
		_, err = s.FileCall(ctx, job.ID, 0, "set-remote-name", contract.RemoteName{RemoteName: o.Plain + "/new"})
		bitstest.Must(t, err)
		s.Await(job.ID, bits.StateTransferred)
		finish(t, s, job, now)
	}
}

// An invalid file makes the job ERROR, also one that completes by itself; Resume fetches it again, and it alone.
func TestValidation(t *testing.T) {
	t.Parallel()
	s, o := bitstest.Start(t), bitstest.NewOrigin(t)
	a, b := bitstest.Content(8, 3000), bitstest.Content(9, 2000)
	o.File("/a", a)
	open := o.Gate("/b", b, 1000)
	job := s.NewJob(with(o.Trust(), "auto_complete", true), o.Plain+"/a", o.Plain+"/b")
	validate := func(file int, valid bool) error {
		_, err := s.FileCall(ctx, job.ID, file, "set-validation-state", contract.Validation{Valid: &valid})
		return err
	}
	bitstest.Must(t, s.Resume(ctx, job.ID))
	s.Until(job.ID, func(j *bits.Job) bool { return j.Files[0].Finished && j.Files[1].Received > 0 })
	if err := validate(1, true); bits.AsError(err).Code != hresult.E_PENDING {
		t.Errorf("a file that is under way: %v", err)
	}
	bitstest.Must(t, os.WriteFile(job.Files[0].Temporary, []byte("spoiled"), 0o600), validate(0, false))
	now := s.Await(job.ID, bits.StateError)
	if e := now.Error; e.Code != hresult.BG_E_VALIDATION_FAILED || e.Context != bits.ContextLocalFile || *e.File != 0 || now.ErrorCount != 1 || now.Files[0].Done != nil || now.Files[0].Finished || now.Progress.FilesTransferred != 0 {
		t.Errorf("%+v, %+v", e, now)
	}
	open()
	bitstest.Must(t, s.Resume(ctx, job.ID))
	now = s.Await(job.ID, bits.StateAcknowledged)
	for i, want := range [][]byte{a, b} {
		if there, err := os.ReadFile(now.Files[i].LocalName); err != nil || !bytes.Equal(there, want) || !now.Files[i].Valid {
			t.Errorf("file %d differs, or is not valid though it was completed: %v", i, err)
		}
	}
}

// From TRANSFERRED to ERROR and back; the other file is not fetched again.
func TestValidationWhenTransferred(t *testing.T) {
	t.Parallel()
	s, o := bitstest.Start(t), bitstest.NewOrigin(t)
	o.File("/a", []byte("a"))
	o.File("/b", []byte("b"))
	job := s.NewJob(o.Trust(), o.Plain+"/a", o.Plain+"/b")
	bitstest.Must(t, s.Resume(ctx, job.ID))
	s.Await(job.ID, bits.StateTransferred)
	valid := false
	_, err := s.FileCall(ctx, job.ID, 1, "set-validation-state", contract.Validation{Valid: &valid})
	bitstest.Must(t, err)
	s.Stop()
	s.Restart() // the verdict survives
	if now, err := s.Job(ctx, job.ID); err != nil || now.State != bits.StateError || now.Error.Code != hresult.BG_E_VALIDATION_FAILED {
		t.Fatalf("%+v, %v", now, err)
	}
	bitstest.Must(t, s.Resume(ctx, job.ID))
	s.Await(job.ID, bits.StateTransferred)
	if seen := o.Seen(); !slices.Equal(seen, []string{"GET /a bytes=0-", "GET /b bytes=0-", "GET /b bytes=0-"}) {
		t.Errorf("%q", seen)
	}
}

// A high-performance job writes to the final name; what is there after Cancel is its owner's.
func TestHighPerformance(t *testing.T) {
	t.Parallel()
	s, o := bitstest.Start(t), bitstest.NewOrigin(t)
	data := bitstest.Content(10, 300_000)
	o.File("/f", data)
	o.Gate("/gate", data, 100_000)
	properties := with(o.Trust(), "high_performance", true)
	t.Run("whole", func(t *testing.T) {
		target := s.Path("target")
		bitstest.Must(t, os.WriteFile(target, []byte("old"), 0o644), os.Symlink(target, s.Path("f")))
		job := s.NewJob(properties, o.Plain+"/f")
		bitstest.Must(t, s.Resume(ctx, job.ID))
		now := s.Await(job.ID, bits.StateTransferred)
		info, err := os.Lstat(s.Path("f"))
		if err != nil || !info.Mode().IsRegular() || info.Mode().Perm() != os.FileMode(0o666&^now.Umask) || info.Size() != int64(len(data)) || now.Files[0].Temporary != s.Path("f") {
			t.Errorf("%v, %v, %s", info, err, now.Files[0].Temporary)
		}
		if old, err := os.ReadFile(target); err != nil || string(old) != "old" {
			t.Errorf("it was written through a link: %q, %v", old, err)
		}
		if code, err := s.Complete(ctx, job.ID); err != nil || code != hresult.S_OK {
			t.Errorf("%v, %v", code, err)
		}
		same(t, s.Path("f"), data)
	})
	t.Run("cancelled", func(t *testing.T) {
		job := s.NewJob(properties, o.Plain+"/gate")
		bitstest.Must(t, s.Resume(ctx, job.ID))
		s.Until(job.ID, func(j *bits.Job) bool { return j.Files[0].Received == 100_000 })
		bitstest.Must(t, s.Suspend(ctx, job.ID))
		if now, err := s.Job(ctx, job.ID); err != nil || now.Files[0].Done.Len() != 100_000 {
			t.Errorf("a job that is stopped keeps what is there: %v, %v", now.Files[0].Done, err)
		}
		if code, err := s.Cancel(ctx, job.ID); err != nil || code != hresult.S_OK {
			t.Errorf("%v, %v", code, err)
		}
		same(t, s.Path("gate"), data[:100_000])
	})
	t.Run("goes on", func(t *testing.T) {
		for name, meanwhile := range map[string]func(path string) error{
			"undisturbed": func(string) error { return nil },
			"written to": func(path string) error {
				f, err := os.OpenFile(path, os.O_WRONLY, 0)
				if err == nil {
					_, err = f.WriteAt([]byte("another"), 50_000)
					err = errors.Join(err, f.Close())
				}
				return err
			},
			"replaced": func(path string) error {
				return errors.Join(os.Remove(path), os.WriteFile(path, make([]byte, len(data)), 0o600))
			},
		} {
			remote := "/" + strings.ReplaceAll(name, " ", "-")
			open := o.Gate(remote, data, 100_000)
			job := s.NewJob(properties, o.Plain+remote)
			bitstest.Must(t, s.Resume(ctx, job.ID))
			s.Until(job.ID, func(j *bits.Job) bool { return j.Files[0].Received == 100_000 })
			bitstest.Must(t, s.Suspend(ctx, job.ID))
			bitstest.Must(t, meanwhile(job.Files[0].LocalName))
			open()
			bitstest.Must(t, s.Resume(ctx, job.ID))
			s.Await(job.ID, bits.StateTransferred)
			if kept := !strings.Contains(headers(t, s, job.ID), "bytes 0-"); kept != (name == "undisturbed") {
				t.Errorf("%s: what was there is kept %v", name, kept)
			}
			same(t, job.Files[0].LocalName, data)
		}
	})
	t.Run("no_replace", func(t *testing.T) {
		o.File("/mine", data)
		bitstest.Must(t, os.WriteFile(s.Path("mine"), []byte("mine"), 0o644))
		job := s.NewJob(with(properties, "no_replace", true), o.Plain+"/mine")
		for range 2 { // it is not taken for the job's own the second time
			bitstest.Must(t, s.Resume(ctx, job.ID))
			if e := s.Await(job.ID, bits.StateError).Error; e.Code != hresult.ERROR_FILE_EXISTS || e.Context != bits.ContextLocalFile {
				t.Errorf("%+v", e)
			}
		}
		same(t, s.Path("mine"), []byte("mine"))
		bitstest.Must(t, os.Remove(s.Path("mine")), s.Resume(ctx, job.ID))
		s.Await(job.ID, bits.StateTransferred)
		valid := false
		_, err := s.FileCall(ctx, job.ID, 0, "set-validation-state", contract.Validation{Valid: &valid})
		bitstest.Must(t, err, s.Resume(ctx, job.ID)) // what is there now is the job's own
		s.Await(job.ID, bits.StateTransferred)
	})
}

// Another method: an error that is otherwise passing makes the job ERROR, and Resume begins at the first byte.
func TestMethod(t *testing.T) {
	t.Parallel()
	s, o := bitstest.Start(t), bitstest.NewOrigin(t)
	data := bitstest.Content(11, 200_000)
	o.Page("/f", func(w http.ResponseWriter, r *http.Request) {
		if body, err := io.ReadAll(r.Body); r.Method != "POST" || len(body) > 0 || err != nil {
			http.Error(w, "no", http.StatusMethodNotAllowed)
			return
		}
		w.Header().Set("ETag", `"1"`)
		w.Header().Set("Content-Length", fmt.Sprint(len(data)))
		if len(o.Seen()) == 2 {
			w.Write(data[:100_000])
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}
		w.Write(data)
	})
	o.Page("/moved", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", "/f")
		w.WriteHeader(http.StatusTemporaryRedirect)
	})
	job := s.NewJob(with(o.Trust(), "http_method", "POST"), o.Plain+"/moved")
	bitstest.Must(t, s.Resume(ctx, job.ID))
	now := s.Await(job.ID, bits.StateError)
	if now.Error.Code != hresult.ERROR_WINHTTP_CONNECTION_ERROR || now.Priority != bits.Foreground {
		t.Errorf("%+v, %v", now.Error, now.Priority)
	}
	bitstest.Must(t, s.Resume(ctx, job.ID))
	s.Await(job.ID, bits.StateTransferred)
	finish(t, s, job, data)
	if seen := o.Seen(); !slices.Equal(seen, []string{"POST /moved ", "POST /f ", "POST /moved ", "POST /f "}) {
		t.Errorf("%q", seen)
	}
}

// max_download_size counts all files of the job.
func TestMaxDownloadSize(t *testing.T) {
	t.Parallel()
	s, o := bitstest.Start(t), bitstest.NewOrigin(t)
	o.File("/a", make([]byte, 600))
	o.File("/b", make([]byte, 401))
	job := s.NewJob(with(o.Trust(), "max_download_size", 1000), o.Plain+"/a", o.Plain+"/b")
	bitstest.Must(t, s.Resume(ctx, job.ID))
	if e := s.Await(job.ID, bits.StateError).Error; e.Code != hresult.BG_E_MAX_DOWNLOAD_SIZE_LIMIT_REACHED || e.Context != bits.ContextRemoteFile || *e.File != 1 {
		t.Errorf("%+v", e)
	}
}

// A position that is set while the file comes takes hold at once.
func TestUpdateDownloadPosition(t *testing.T) {
	t.Parallel()
	s := bitstest.Start(t)
	data := bitstest.Content(12, 12_000_000)
	url := real(t)["nginx"]("f", data, time.Now().Add(-time.Hour)) + "slow/f"
	job, err := s.Create(ctx, spec(s, url, "f", nil, nil))
	bitstest.Must(t, err, s.Resume(ctx, job.ID))
	s.Until(job.ID, func(j *bits.Job) bool { return j.Files[0].Received > 0 })
	offset := int64(9_000_000)
	_, err = s.FileCall(ctx, job.ID, 0, "update-download-position", contract.Position{Offset: &offset})
	bitstest.Must(t, err)
	now := s.Until(job.ID, func(j *bits.Job) bool {
		d := j.Files[0].Done
		return len(d) > 0 && d[len(d)-1].Start == offset
	})
	if now.Files[0].Done[0].End >= offset {
		t.Errorf("%v", now.Files[0].Done)
	}
	s.Await(job.ID, bits.StateTransferred)
	finish(t, s, job, data)
}

// The service is killed in the middle of files with ranges, on-demand and high-performance ones: what is recorded as filled is there,
// and at the end every byte is the origin's.
func TestKillServiceWithRanges(t *testing.T) {
	t.Parallel()
	r := newRig(t, 6<<20)
	data := r.files["f0"]
	ranges, want := someRanges(data, 100)
	create := func(name string, ranges []bits.FileRange, property string) string {
		sp := bits.Spec{Files: []bits.FileSpec{{RemoteName: r.url + "f0", LocalName: filepath.Join(r.Dir, name), Ranges: ranges}}, Properties: r.properties()}
		if property != "" {
			sp.Properties[property] = bits.RawMessage("true")
		}
		job, err := r.Create(ctx, sp)
		bitstest.Must(t, err)
		return job.ID
	}
	ids := []string{create("ranged", ranges, ""), create("demand", nil, "on_demand_mode"), create("fast", nil, "high_performance")}
	for i := range 64 {
		_, err := r.FileCall(ctx, ids[1], 0, "request-ranges", contract.Ranges{Ranges: []bits.FileRange{{Offset: int64(i) * 90_000, Length: 50_000}}})
		bitstest.Must(t, err)
	}
	wants := [][]byte{want, data, data}
	resume := func() {
		for _, id := range ids {
			bitstest.Must(t, r.Resume(ctx, id))
		}
	}
	resume()
	for range max(kills()/2, 5) {
		time.Sleep(rand.N(500 * time.Millisecond))
		r.Kill()
		r.Restart()
		for i, id := range ids {
			now, err := r.Job(ctx, id)
			bitstest.Must(t, err)
			there, err := os.ReadFile(now.Files[0].Temporary)
			for _, d := range now.Files[0].Done {
				if err != nil || d.End > int64(len(there)) || !bytes.Equal(there[d.Start:d.End], wants[i][d.Start:d.End]) {
					t.Fatalf("%s: what is recorded as done, %v, is not there (%v)", now.Files[0].LocalName, d, err)
				}
			}
		}
	}
	until := func(id string, state bits.State) *bits.Job {
		for end := time.Now().Add(60 * time.Second); ; time.Sleep(5 * time.Millisecond) {
			now, err := r.Job(ctx, id)
			bitstest.Must(t, err)
			if now.State == state {
				return now
			}
			if now.State == bits.StateError || time.Now().After(end) {
				t.Fatalf("the job is %v: %+v", now.State, now.Error)
			}
		}
	}
	now := until(ids[1], bits.StateSuspended)
	if text, _ := json.Marshal(now.Files[0].Done); now.Files[0].Done.Len() != 64*50_000 {
		t.Errorf("filled: %s", text)
	}
	_, err := r.FileCall(ctx, ids[1], 0, "request-ranges", contract.Ranges{Ranges: []bits.FileRange{{Length: bits.ToEOF}}})
	bitstest.Must(t, err)
	resume()
	for i, id := range ids {
		local := until(id, bits.StateTransferred).Files[0].LocalName
		_, err := r.Complete(ctx, id)
		bitstest.Must(t, err)
		same(t, local, wants[i])
	}
}
