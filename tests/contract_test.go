package tests

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"bits"
	"bits/client/bitstest"
	"bits/hresult"
	"bits/internal/pki"
)

// ended resumes a job and waits until nothing more happens to it by itself, or it is to be tried again.
func ended(t *testing.T, s *bitstest.Service, job *bits.Job) *bits.Job {
	t.Helper()
	bitstest.Must(t, s.Resume(ctx, job.ID))
	return s.Until(job.ID, func(j *bits.Job) bool { return j.State.Paused() || j.State == bits.StateTransientError })
}

// with returns the properties with more of them.
func with(properties map[string]any, more ...any) map[string]any {
	for i := 0; i+1 < len(more); i += 2 {
		properties[more[i].(string)] = more[i+1]
	}
	return properties
}

func TestTimes(t *testing.T) {
	t.Parallel()
	s, o := bitstest.Start(t), bitstest.NewOrigin(t)
	o.File("/f", []byte("x"))
	before := time.Now()
	job := s.NewJob(nil, o.Plain+"/f")
	if job.Created.Before(before) || job.Modified.Before(job.Created) || job.Transferred != nil {
		t.Errorf("created %v, modified %v, transferred %v", job.Created, job.Modified, job.Transferred)
	}
	now := ended(t, s, job)
	if now.Transferred == nil || now.Transferred.Before(job.Created) || !now.Modified.After(job.Modified) || !now.Created.Equal(job.Created) {
		t.Errorf("created %v, modified %v, transferred %v", now.Created, now.Modified, now.Transferred)
	}
	// With another file it is TRANSFERRED a second time.
	bitstest.Must(t, s.Add(ctx, job.ID, bits.FileSpec{RemoteName: o.Plain + "/f", LocalName: s.Path("again")}))
	if again := ended(t, s, job); again.Transferred == nil || !again.Transferred.After(*now.Transferred) {
		t.Errorf("transferred %v, then %v", now.Transferred, again.Transferred)
	}
}

// The error object names the file, its URL and the protocol, where it is about them; it lives through Suspend, Resume and a restart,
// until the job is TRANSFERRING again.
func TestErrorObject(t *testing.T) {
	t.Parallel()
	s, o := bitstest.Start(t), bitstest.NewOrigin(t)
	o.File("/a", []byte("a"))
	job := s.NewJob(nil, o.Plain+"/a", o.Plain+"/missing")
	want := func(j *bits.Job) {
		t.Helper()
		e := j.Error
		if e == nil || e.Code != hresult.FromHTTPStatus(404) || e.File == nil || *e.File != 1 || e.URL != o.Plain+"/missing" || e.Protocol != "http" || e.Context != bits.ContextRemoteFile {
			t.Errorf("%v: %+v", j.State, e)
		}
	}
	want(ended(t, s, job))
	bitstest.Must(t, s.Suspend(ctx, job.ID))
	want(s.Await(job.ID, bits.StateSuspended))
	s.Restart()
	want(s.Await(job.ID, bits.StateSuspended))
	open := o.Gate("/missing", []byte("there"), -1)
	bitstest.Must(t, s.Resume(ctx, job.ID))
	want(s.Await(job.ID, bits.StateConnecting))
	open()
	if now := s.Await(job.ID, bits.StateTransferred); now.Error != nil || now.ErrorCount != 1 {
		t.Errorf("%+v, %d errors", now.Error, now.ErrorCount)
	}
	// One that is about a local file has no protocol.
	job = s.NewJob(nil, o.Plain+"/a")
	bitstest.Must(t, os.RemoveAll(s.Path("")))
	if e := ended(t, s, job).Error; e == nil || e.Context != bits.ContextLocalFile || e.Protocol != "" || e.File == nil || *e.File != 0 {
		t.Errorf("%+v", e)
	}
}

// Redirects obey the job's policy, on every hop.
func TestRedirectPolicies(t *testing.T) {
	t.Parallel()
	s, o := bitstest.Start(t), bitstest.NewOrigin(t)
	o.File("/end", []byte("end"))
	to := func(status int, url string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", url)
			w.WriteHeader(status)
		}
	}
	o.Page("/one", to(302, "/two"))
	o.Page("/two", to(301, "/end"))
	o.Page("/plain", to(302, o.Plain+"/end"))
	o.Page("/nowhere", to(302, "ftp://example.com/x"))
	o.Page("/created", to(201, "/end"))
	for _, status := range []int{300, 301, 302, 303, 307, 308} {
		o.Page(fmt.Sprint("/", status), to(status, "/end"))
	}
	http404 := func(status int) hresult.Code { return hresult.FromHTTPStatus(status) }
	cases := []struct {
		path  string
		flags bits.SecurityFlags
		state bits.State
		code  hresult.Code
		name  string // of the remote file afterwards
	}{
		{"/one", bits.RedirectSilent, bits.StateTransferred, 0, "/one"},
		{"/one", bits.RedirectReport, bits.StateTransferred, 0, "/end"},
		{"/one", bits.RedirectDisallow, bits.StateError, http404(302), "/two"},
		{"/308", bits.RedirectSilent, bits.StateTransferred, 0, "/308"},
		{"/300", bits.RedirectSilent, bits.StateError, http404(300), "/300"},
		{"/created", bits.RedirectSilent, bits.StateTransientError, http404(201), "/created"},
		{"/nowhere", bits.RedirectSilent, bits.StateError, hresult.ERROR_WINHTTP_REDIRECT_FAILED, "/nowhere"},
		{"/nowhere", bits.RedirectDisallow, bits.StateError, http404(302), "/nowhere"},
		{"/plain", bits.RedirectSilent, bits.StateError, hresult.ERROR_WINHTTP_REDIRECT_FAILED, "/plain"},
		{"/plain", bits.RedirectReport, bits.StateError, hresult.ERROR_WINHTTP_REDIRECT_FAILED, "/plain"},
		{"/plain", bits.RedirectSilent | bits.RedirectHTTPSToHTTP, bits.StateTransferred, 0, "/plain"},
		{"/plain", bits.RedirectDisallow | bits.RedirectHTTPSToHTTP, bits.StateError, http404(302), "PLAIN/end"},
	}
	for _, status := range []int{300, 301, 302, 303, 307, 308} {
		cases = append(cases, cases[2])
		c := &cases[len(cases)-1]
		c.path, c.code, c.name = fmt.Sprint("/", status), http404(status), "/end"
	}
	for _, c := range cases {
		job := s.NewJob(with(o.Trust(), "security_flags", c.flags, "priority", "FOREGROUND"), o.URL+c.path)
		now := ended(t, s, job)
		name := o.URL + c.name
		if rest, ok := strings.CutPrefix(c.name, "PLAIN"); ok {
			name = o.Plain + rest
		}
		code := hresult.S_OK
		if now.Error != nil {
			code = now.Error.Code
		}
		if now.State != c.state || code != c.code || now.Files[0].RemoteName != name {
			t.Errorf("%s with %#x: %v, %v, remote name %s; want %v, %v, %s", c.path, uint32(c.flags), now.State, code, now.Files[0].RemoteName, c.state, c.code, name)
		}
		_, err := s.Cancel(ctx, job.ID)
		bitstest.Must(t, err)
	}
}

// Custom headers go along with redirects, but those that carry logins never reach another origin, however many hops there are.
func TestSecretsStayWithTheirOrigin(t *testing.T) {
	t.Parallel()
	s, o := bitstest.Start(t), bitstest.NewOrigin(t)
	other := o.Listen()
	echo := func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s|%s|%s|%s|%s", r.Header.Get("X-Mine"), r.Header.Get("Authorization"), r.Header.Get("Cookie"), r.Header.Get("Referer"), r.Header.Get("Accept-Encoding"))
	}
	o.Page("/echo", echo)
	for path, to := range map[string]string{"/same": "/echo", "/away": other + "/again", "/again": "/echo", "/back": other + "/home", "/home": o.URL + "/echo"} {
		o.Page(path, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, to, http.StatusFound) })
	}
	for path, want := range map[string]string{
		"/echo": "1|secret|c=1||identity", "/same": "1|secret|c=1||identity", "/back": "1|secret|c=1||identity",
		"/away": "1||||identity",
	} {
		job := s.NewJob(with(o.Trust(), "custom_headers", "X-Mine: 1\r\nAuthorization: secret\r\nCookie: c=1\r\n", "priority", "FOREGROUND"), o.URL+path+"?signature=x")
		now := ended(t, s, job)
		_, err := s.Complete(ctx, job.ID)
		bitstest.Must(t, err)
		if there, err := os.ReadFile(now.Files[0].LocalName); err != nil || string(there) != want {
			t.Errorf("%s: the server saw %q, want %q (%v)", path, there, want, err)
		}
	}
}

// Cookies live in memory, for one run of one job.
func TestCookies(t *testing.T) {
	t.Parallel()
	s, o := bitstest.Start(t), bitstest.NewOrigin(t)
	o.Page("/login", func(w http.ResponseWriter, r *http.Request) {
		if _, err := r.Cookie("session"); err == nil {
			w.WriteHeader(http.StatusTeapot)
			return
		}
		http.SetCookie(w, &http.Cookie{Name: "session", Value: "1", Path: "/"})
		http.Redirect(w, r, "/inside", http.StatusFound)
	})
	o.Page("/inside", func(w http.ResponseWriter, r *http.Request) {
		if _, err := r.Cookie("session"); err != nil {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		w.Write([]byte("in"))
	})
	for range 2 {
		job := s.NewJob(nil, o.Plain+"/login")
		if now := ended(t, s, job); now.State != bits.StateTransferred {
			t.Errorf("%v: %+v", now.State, now.Error)
		}
		_, err := s.Cancel(ctx, job.ID)
		bitstest.Must(t, err)
	}
}

// A server may ask for a client certificate; one that demands it gets none, and the job says so.
func TestClientCertificateDemanded(t *testing.T) {
	t.Parallel()
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for demand, want := range map[tls.ClientAuthType]bits.State{tls.RequestClientCert: bits.StateTransferred, tls.RequireAnyClientCert: bits.StateError} {
			s := bitstest.Start(t)
			o := bitstest.NewOrigin(t, func(c *tls.Config) { c.MinVersion, c.MaxVersion, c.ClientAuth = version, version, demand })
			o.File("/f", []byte("x"))
			now := ended(t, s, s.NewJob(o.Trust(), o.URL+"/f"))
			if now.State != want || want == bits.StateError && now.Error.Code != hresult.ERROR_WINHTTP_CLIENT_AUTH_CERT_NEEDED {
				t.Errorf("%s, %v: %v, %+v", tls.VersionName(version), demand, now.State, now.Error)
			}
		}
	}
}

// TLS below 1.2 is not spoken.
func TestOldTLS(t *testing.T) {
	t.Parallel()
	s := bitstest.Start(t)
	o := bitstest.NewOrigin(t, func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 })
	o.File("/f", []byte("x"))
	now := ended(t, s, s.NewJob(o.Trust(), o.URL+"/f"))
	if now.State == bits.StateTransferred || now.Error.Code != hresult.ERROR_WINHTTP_SECURE_CHANNEL_ERROR {
		t.Errorf("%v, %+v", now.State, now.Error)
	}
}

// A file that changes in every transfer is given up after ten new beginnings in one run.
func TestChangesAgainAndAgain(t *testing.T) {
	t.Parallel()
	s, o := bitstest.Start(t), bitstest.NewOrigin(t)
	var n atomic.Int64
	o.Page("/f", func(w http.ResponseWriter, r *http.Request) {
		// Half of the file in each answer, and another version for each half.
		start, end := 0, 5
		if r.Header.Get("Range") == "bytes=5-" {
			start, end = 5, 10
		}
		w.Header().Set("ETag", fmt.Sprintf(`"%d"`, n.Add(1)))
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/10", start, end-1))
		w.WriteHeader(http.StatusPartialContent)
		io.WriteString(w, "0123456789"[start:end])
	})
	now := ended(t, s, s.NewJob(nil, o.Plain+"/f"))
	if now.State != bits.StateError || now.Error.Code != hresult.BG_E_REMOTE_FILE_CHANGED || n.Load() > 30 {
		t.Errorf("%v, %+v after %d requests", now.State, now.Error, n.Load())
	}
}

// The time of a file is the server's.
func TestFileTime(t *testing.T) {
	t.Parallel()
	s, o := bitstest.Start(t), bitstest.NewOrigin(t)
	at := time.Date(2020, 2, 3, 4, 5, 6, 0, time.UTC)
	o.Page("/f", func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "", at, strings.NewReader("x"))
	})
	job := s.NewJob(nil, o.Plain+"/f")
	ended(t, s, job)
	_, err := s.Complete(ctx, job.ID)
	bitstest.Must(t, err)
	if info, err := os.Stat(s.Path("f")); err != nil || !info.ModTime().Equal(at) {
		t.Errorf("%v, %v", info.ModTime(), err)
	}
}

// The same target in two jobs is fetched twice, and the last Complete wins.
func TestSameTargetTwice(t *testing.T) {
	t.Parallel()
	s, o := bitstest.Start(t), bitstest.NewOrigin(t)
	o.File("/1/f", []byte("one"))
	o.File("/2/f", []byte("two"))
	one, two := s.NewJob(nil, o.Plain+"/1/f"), s.NewJob(nil, o.Plain+"/2/f")
	ended(t, s, one)
	ended(t, s, two)
	for _, job := range []*bits.Job{two, one} {
		_, err := s.Complete(ctx, job.ID)
		bitstest.Must(t, err)
	}
	same(t, s.Path("f"), []byte("one"))
}

// Attach sets the validator in every state but a final one; what was running goes on, and what was waiting for its owner waits on.
func TestAttachByState(t *testing.T) {
	t.Parallel()
	for state, want := range map[bits.State]func(bits.State) bool{
		bits.StateSuspended:      func(s bits.State) bool { return s == bits.StateSuspended },
		bits.StateTransferred:    func(s bits.State) bool { return s == bits.StateTransferred },
		bits.StateQueued:         active,
		bits.StateConnecting:     active,
		bits.StateTransferring:   active,
		bits.StateTransientError: active,
		bits.StateError:          active,
	} {
		t.Run(state.String(), func(t *testing.T) {
			t.Parallel()
			s, o := bitstest.Start(t), bitstest.NewOrigin(t)
			job := inState(t, s, o, state)
			for _, path := range []string{"/broken", "/missing"} {
				o.Gate(path, nil, -1) // the next try is seen to go on
			}
			v, err := s.Attach(ctx, job.ID, &bitstest.Judge{})
			bitstest.Must(t, err)
			defer v.Close()
			if now := s.Until(job.ID, func(j *bits.Job) bool { return want(j.State) }); !now.ValidatorRequired || !now.ValidatorAttached {
				t.Errorf("required %v, attached %v", now.ValidatorRequired, now.ValidatorAttached)
			}
		})
	}
	for _, state := range []bits.State{bits.StateAcknowledged, bits.StateCancelled} {
		s, o := bitstest.Start(t), bitstest.NewOrigin(t)
		job := inState(t, s, o, state)
		if _, err := s.Attach(ctx, job.ID, &bitstest.Judge{}); bits.AsError(err).Code != hresult.BG_E_INVALID_STATE {
			t.Errorf("%v: %v", state, err)
		}
	}
}

func active(s bits.State) bool { return s == bits.StateQueued || s.Running() }

// A rename that fails in Complete leaves the job as it was, and Complete can be called again.
func TestCompleteThatCannotRename(t *testing.T) {
	t.Parallel()
	s, o := bitstest.Start(t), bitstest.NewOrigin(t)
	o.File("/a", []byte("a"))
	o.File("/b", []byte("b"))
	job := s.NewJob(nil, o.Plain+"/a", o.Plain+"/b")
	ended(t, s, job)
	bitstest.Must(t, os.Mkdir(s.Path("b"), 0o700))
	if _, err := s.Complete(ctx, job.ID); bits.AsError(err).Code != hresult.E_ACCESSDENIED {
		t.Errorf("onto a folder: %v", err)
	}
	now := s.Await(job.ID, bits.StateTransferred)
	if !now.Files[0].Completed || now.Files[1].Completed {
		t.Errorf("completed: %v, %v", now.Files[0].Completed, now.Files[1].Completed)
	}
	bitstest.Must(t, os.Remove(s.Path("b")))
	code, err := s.Complete(ctx, job.ID)
	if err != nil || code != hresult.S_OK {
		t.Errorf("%v, %v", code, err)
	}
	for _, name := range []string{"a", "b"} {
		if there, err := os.ReadFile(s.Path(name)); err != nil || string(there) != name {
			t.Errorf("%q, %v", there, err)
		}
	}
}

// A temporary file that somebody removed is missed in Complete, whatever stands under the final name.
func TestCompleteMissesItsTemporaryFile(t *testing.T) {
	t.Parallel()
	s, o := bitstest.Start(t), bitstest.NewOrigin(t)
	o.File("/f", []byte("x"))
	now := ended(t, s, s.NewJob(nil, o.Plain+"/f"))
	bitstest.Must(t, os.Remove(now.Files[0].Temporary), os.WriteFile(s.Path("f"), []byte("y"), 0o600))
	if _, err := s.Complete(ctx, now.ID); bits.AsError(err).Code != hresult.ERROR_FILE_NOT_FOUND {
		t.Errorf("%v", err)
	}
	s.Await(now.ID, bits.StateTransferred)
	same(t, s.Path("f"), []byte("y"))
}

// proxy is a forward proxy that counts what it forwards, and may refuse.
type proxy struct {
	status  int // 0: forward
	plain   atomic.Int64
	tunnels atomic.Int64
}

func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if p.status != 0 {
		w.WriteHeader(p.status)
		return
	}
	if r.Method != http.MethodConnect {
		p.plain.Add(1)
		r.RequestURI, r.URL.Host = "", strings.Replace(r.URL.Host, hostname, "127.0.0.1", 1)
		resp, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer resp.Body.Close()
		for name, values := range resp.Header {
			w.Header()[name] = values
		}
		w.WriteHeader(resp.StatusCode)
		io.Copy(w, resp.Body)
		return
	}
	p.tunnels.Add(1)
	there, err := net.Dial("tcp", strings.Replace(r.Host, hostname, "127.0.0.1", 1))
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	here, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	io.WriteString(here, "HTTP/1.1 200 OK\r\n\r\n")
	go func() { io.Copy(there, here); there.Close() }()
	io.Copy(here, there)
	here.Close()
}

// A job goes through the proxy that the variables of its creator name; both phases judge the origin behind it.
func TestProxyOfTheCreator(t *testing.T) {
	t.Parallel()
	s, o, p := bitstest.Start(t), bitstest.NewOrigin(t), &proxy{}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	bitstest.Must(t, err)
	server := &http.Server{Handler: p}
	go server.Serve(l)
	defer server.Close()
	via := "http://user:secret@" + l.Addr().String()
	o.File("/f", []byte("x"))
	for _, c := range []struct {
		url, variable, value string
		usage                string
		status               int
		state                bits.State
		code                 hresult.Code
		plain, tunnels       int64
	}{
		{o.Plain, "http_proxy", via, "PRECONFIG", 0, bits.StateTransferred, 0, 1, 0},
		{o.URL, "https_proxy", via, "PRECONFIG", 0, bits.StateTransferred, 0, 0, 1},
		{o.URL, "all_proxy", via, "PRECONFIG", 0, bits.StateTransferred, 0, 0, 1},
		{o.Plain, "http_proxy", via, "PRECONFIG", 407, bits.StateError, 0x80190197, 0, 0},
		{o.URL, "https_proxy", via, "PRECONFIG", 407, bits.StateError, 0x80190197, 0, 0},
		{o.URL, "https_proxy", via, "PRECONFIG", 503, bits.StateTransientError, 0x801901F7, 0, 0},
		{o.URL, "https_proxy", "http://[::1", "PRECONFIG", 0, bits.StateError, hresult.BG_E_INVALID_PROXY_INFO, 0, 0},
		{o.Plain, "http_proxy", "http://[::1", "PRECONFIG", 0, bits.StateError, hresult.BG_E_INVALID_PROXY_INFO, 0, 0},
		{o.URL, "https_proxy", "socks4://127.0.0.1:1", "PRECONFIG", 0, bits.StateError, hresult.BG_E_INVALID_PROXY_INFO, 0, 0},
		{o.Plain, "http_proxy", via, "NO_PROXY", 0, bits.StateTransientError, hresult.ERROR_WINHTTP_NAME_NOT_RESOLVED, 0, 0},
		{o.Plain, "http_proxy", via, "AUTODETECT", 0, bits.StateTransientError, hresult.ERROR_WINHTTP_NAME_NOT_RESOLVED, 0, 0},
		{o.Plain, "http_proxy", "http://127.0.0.1:1", "OVERRIDE", 0, bits.StateTransferred, 0, 1, 0},
		{o.URL, "https_proxy", "http://127.0.0.1:1", "OVERRIDE", 0, bits.StateTransferred, 0, 0, 1},
	} {
		p.status = c.status
		p.plain.Store(0)
		p.tunnels.Store(0)
		spec := bits.Spec{
			Files:       []bits.FileSpec{{RemoteName: hostsName(c.url) + "/f", LocalName: s.Path("f")}},
			Environment: map[string]string{c.variable: c.value},
			Properties:  map[string]bits.RawMessage{"security_flags": bitstest.JSON(bits.IgnoreCertName), "priority": bitstest.JSON("FOREGROUND")},
		}
		settings := bits.ProxySettings{}
		bitstest.Must(t, settings.Usage.UnmarshalText([]byte(c.usage)))
		if settings.Usage == bits.ProxyOverride {
			settings.List = via
		}
		spec.Properties["proxy_settings"] = bitstest.JSON(settings)
		for name, v := range o.Trust() {
			spec.Properties[name] = bitstest.JSON(v)
		}
		job, err := s.Create(ctx, spec)
		bitstest.Must(t, err)
		j := &bitstest.Judge{}
		set(t, s, job.ID, j)
		now := ended(t, s, job)
		code := hresult.S_OK
		if now.Error != nil {
			code = now.Error.Code
			if strings.Contains(now.Error.Message, "secret") {
				t.Errorf("the error tells the password of the proxy: %s", now.Error.Message)
			}
		}
		if now.State != c.state || code != c.code || p.plain.Load() != c.plain || p.tunnels.Load() != c.tunnels {
			t.Errorf("%s=%s %s, status %d: %v, %v (%+v), %d requests, %d tunnels; want %v, %v, %d, %d", c.variable, c.value, c.url, c.status, now.State, code, now.Error, p.plain.Load(), p.tunnels.Load(), c.state, c.code, c.plain, c.tunnels)
		}
		if want := c.tunnels; int64(len(j.Asked())) != want {
			t.Errorf("%s %s: asked %d times, want %d", c.variable, c.url, len(j.Asked()), want)
		} else if want > 0 && !strings.HasPrefix(j.Asked()[0].Endpoint, hostname+":") {
			t.Errorf("asked about %s", j.Asked()[0].Endpoint)
		}
		_, err = s.Cancel(ctx, job.ID)
		bitstest.Must(t, err)
	}
}

// The handshake with a proxy passes phase one, with a code of its own; the application is not asked about it.
func TestProxyThatCannotBeTrusted(t *testing.T) {
	t.Parallel()
	s, o, p := bitstest.Start(t), bitstest.NewOrigin(t), &proxy{}
	for _, trusted := range []bool{true, false} {
		pair := pki.Of(o.Authority()).Server([]string{"localhost"})
		if !trusted {
			pair = pki.Of(o.Authority()).Server([]string{"other.example"})
		}
		l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pair.TLS()}})
		bitstest.Must(t, err)
		server := &http.Server{Handler: p, TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){}}
		go server.Serve(l)
		defer server.Close()
		o.File("/f", []byte("x"))
		_, port, _ := net.SplitHostPort(l.Addr().String())
		job, err := s.Create(ctx, bits.Spec{
			Files:       []bits.FileSpec{{RemoteName: hostsName(o.Plain) + "/f", LocalName: s.Path("f")}},
			Environment: map[string]string{"http_proxy": "https://localhost:" + port},
			Properties:  map[string]bits.RawMessage{"roots": bitstest.JSON(string(o.Roots()))},
		})
		bitstest.Must(t, err)
		j := &bitstest.Judge{}
		set(t, s, job.ID, j)
		now := ended(t, s, job)
		if trusted && now.State != bits.StateTransferred || !trusted && (now.Error == nil || now.Error.Code != hresult.ERROR_WINHTTP_SECURE_FAILURE_PROXY) || len(j.Asked()) != 0 {
			t.Errorf("trusted %v: %v, %+v, asked %d times", trusted, now.State, now.Error, len(j.Asked()))
		}
		_, err = s.Cancel(ctx, job.ID)
		bitstest.Must(t, err)
	}
}

// hostname is the name by which only the proxy knows the origin: net/http sends nothing for loopback through a proxy.
const hostname = "origin.test"

// hostsName is the URL with that name.
func hostsName(url string) string {
	return strings.NewReplacer("127.0.0.1", hostname, "localhost", hostname).Replace(url)
}

// Bytes are kept as they are sent.
func TestContentIsNotDecoded(t *testing.T) {
	t.Parallel()
	s, o := bitstest.Start(t), bitstest.NewOrigin(t)
	data := []byte{0x1f, 0x8b, 8, 0, 1, 2, 3}
	o.Page("/f", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		w.Write(data)
	})
	job := s.NewJob(nil, o.Plain+"/f")
	ended(t, s, job)
	finish(t, s, job, data)
}
