package tests

import (
	"bytes"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"bits"
	"bits/client/bitstest"
)

// A file is replaced under its URL in mid-transfer, on real servers: what arrives is the new version, and never both. In the worst case
// size and date stay, and with them the ETags that these servers make: then the bytes before the seam tell.
func TestReplacedInMidTransfer(t *testing.T) {
	t.Parallel()
	s := bitstest.Start(t)
	before, after := bitstest.Content(21, 8_000_000), bitstest.Content(22, 8_000_000)
	at := time.Now().Add(-time.Hour)
	for name, put := range real(t) {
		for kind, c := range map[string]struct {
			data []byte
			at   time.Time
		}{
			"nothing else":       {after, at},
			"another date":       {after, at.Add(time.Minute)},
			"an older date":      {after, at.Add(-time.Minute)},
			"another size":       {after[:7_999_999], at},
			"shorter than there": {after[:10], at},
			"no change":          {before, at},
		} {
			for _, strict := range []bool{false, true}[:1+strings.Count(kind, "nothing else")] {
				t.Run(fmt.Sprintf("%s/%s/%v", name, kind, strict), func(t *testing.T) {
					t.Parallel()
					file := strings.NewReplacer("/", "-", " ", "-").Replace(t.Name())
					url := put(file, before, at)
					var job *bits.Job
					for begun := false; !begun; { // a busy machine may let it arrive before it is looked at
						var err error
						job, err = s.Create(ctx, spec(s, url+"slow/"+file, file, nil, map[string]any{"strict": strict}))
						bitstest.Must(t, err, s.Resume(ctx, job.ID))
						s.Until(job.ID, func(j *bits.Job) bool { return j.Files[0].Done.Len() > 0 })
						s.Suspend(ctx, job.ID)
						now := s.Until(job.ID, func(j *bits.Job) bool { return j.State == bits.StateSuspended || j.State == bits.StateTransferred })
						if f := now.Files[0]; now.State == bits.StateSuspended && f.Done.Len() < *f.Size {
							begun = true
						} else {
							_, err = s.Cancel(ctx, job.ID)
							bitstest.Must(t, err)
						}
					}
					if kind != "no change" { // the ETags of some tell the same file from the same content
						put(file, c.data, c.at)
					}
					bitstest.Must(t, s.Resume(ctx, job.ID))
					now := s.Await(job.ID, bits.StateTransferred)
					if n := now.Progress.BytesTransferred; n != int64(len(c.data)) {
						t.Errorf("%d bytes, want %d", n, len(c.data))
					}
					h := headers(t, s, job.ID)
					continued := strings.Contains(h, "Content-Range: ") && !strings.Contains(h, "Content-Range: bytes 0-")
					if continued != (kind == "no change") {
						t.Errorf("continued: %v", continued)
					}
					finish(t, s, job, c.data)
				})
			}
		}
	}
}

// A redirect leads to an address that is good for one request: each try begins at the name that the owner gave, goes on where it was,
// and shows its login to nobody else.
func TestRetriesBeginAtTheOriginalName(t *testing.T) {
	t.Parallel()
	data := bitstest.Content(23, 300_000)
	for name, policy := range map[string]bits.SecurityFlags{"silent": bits.RedirectSilent, "reported": bits.RedirectReport} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, o, other := bitstest.Start(t), bitstest.NewOrigin(t), bitstest.NewOrigin(t)
			var mu sync.Mutex
			given, used, logins := 0, 0, 0
			o.Page("/f", func(w http.ResponseWriter, r *http.Request) {
				mu.Lock()
				defer mu.Unlock()
				if r.Header.Get("Authorization") == "secret" {
					logins++
				}
				given++
				http.Redirect(w, r, fmt.Sprintf("%s/g?signature=%d", other.Plain, given), http.StatusFound)
			})
			var ranges []string
			other.Page("/g", func(w http.ResponseWriter, r *http.Request) {
				mu.Lock()
				defer mu.Unlock()
				ranges = append(ranges, r.Header.Get("Range"))
				if n, _ := strconv.Atoi(r.FormValue("signature")); n != given || n == used || r.Header.Get("Authorization") != "" {
					w.WriteHeader(http.StatusForbidden)
					return
				}
				used = given
				w.Header().Set("ETag", `"x"`)
				if given == 1 {
					w.Header().Set("Content-Length", "300000")
					w.Write(data[:200_000])
					w.(http.Flusher).Flush()
					panic(http.ErrAbortHandler)
				}
				http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
			})
			job := s.NewJob(with(o.Trust(), "security_flags", policy, "custom_headers", "Authorization: secret\r\n"), o.Plain+"/f")
			bitstest.Must(t, s.Resume(ctx, job.ID))
			now := s.Await(job.ID, bits.StateTransferred)
			mu.Lock()
			defer mu.Unlock()
			want := o.Plain + "/f"
			if policy == bits.RedirectReport {
				want = other.Plain + "/g?signature=2"
			}
			if f := now.Files[0]; f.RemoteName != want || f.Validator.URL != other.Plain+"/g" || strings.Join(ranges, " ") != "bytes=0- bytes=134464-" || logins != 2 {
				t.Errorf("%s, from %s, asked for %q with %d logins", f.RemoteName, f.Validator.URL, ranges, logins)
			}
			finish(t, s, job, data)
		})
	}
}

// What a server asks for with Retry-After is seen in the job, and is kept over a restart of the service; Resume does not wait for it.
func TestRetryAfterOfAServer(t *testing.T) {
	t.Parallel()
	s, o := bitstest.Start(t), bitstest.NewOrigin(t)
	for path, c := range map[string]struct {
		status int
		value  string
		want   bits.Seconds
	}{
		"/503":  {503, "120", 120},
		"/429":  {429, "120", 120},
		"/date": {503, time.Now().Add(2 * time.Minute).UTC().Format(http.TimeFormat), 120},
		"/500":  {500, "120", 0},
	} {
		var busy atomic.Bool
		busy.Store(true)
		o.Page(path, func(w http.ResponseWriter, _ *http.Request) {
			if w.Header().Set("Retry-After", c.value); busy.Load() {
				w.WriteHeader(c.status)
			}
		})
		job := s.NewJob(with(o.Trust(), "backoff", bits.Backoff{First: 30, Max: 30}), o.Plain+path)
		bitstest.Must(t, s.Resume(ctx, job.ID))
		near := func(now *bits.Job) {
			t.Helper()
			wait := time.Until(*now.NextRetry).Seconds()
			if got := now.Error.RetryAfter; got > c.want || got+10 < c.want || wait > float64(max(c.want, 30)) || wait < float64(max(c.want, 30))-15 {
				t.Errorf("%s: asked for %d, waits %v s", path, got, wait)
			}
		}
		near(s.Await(job.ID, bits.StateTransientError))
		s.Restart()
		near(s.Await(job.ID, bits.StateTransientError))
		busy.Store(false)
		bitstest.Must(t, s.Resume(ctx, job.ID))
		s.Await(job.ID, bits.StateTransferred)
	}
}
