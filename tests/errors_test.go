package tests

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"bits"
	"bits/client/bitstest"
	"bits/hresult"
	"bits/internal/pki"
	"bits/internal/program"
)

// fault is something that goes wrong for real, and what the job must say of it.
type fault struct {
	name    string
	url     string
	set     map[string]any    // properties of the job
	env     map[string]string // of its creator
	state   bits.State
	context bits.ErrorContext
	code    hresult.Code
}

const (
	again = bits.StateTransientError
	fatal = bits.StateError
)

// provoke runs a job into each fault, and looks at all that its error says.
func provoke(t *testing.T, s *bitstest.Service, faults []fault) {
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			spec := bits.Spec{Environment: f.env, Properties: map[string]bits.RawMessage{"priority": bitstest.JSON("FOREGROUND")}}
			spec.Files = []bits.FileSpec{{RemoteName: f.url, LocalName: s.Path("f")}}
			for name, v := range f.set {
				spec.Properties[name] = bitstest.JSON(v)
			}
			job, err := s.Create(ctx, spec)
			bitstest.Must(t, err)
			says(t, ended(t, s, job), f)
			_, err = s.Cancel(ctx, job.ID)
			bitstest.Must(t, err)
		})
	}
}

// says holds the error of a job against a fault.
func says(t *testing.T, now *bits.Job, f fault) {
	t.Helper()
	wantError(t, now, f.state, f.context, f.code)
	e := now.Error
	if e.Name != f.code.Name() || !strings.HasPrefix(e.Message, "cannot ") || f.code.Hint() != "" && e.Hint == "" {
		t.Errorf("%+v", e)
	}
	if wants := f.context == bits.ContextRemoteFile; (e.Protocol == "http") != wants || wants && (e.File == nil || e.URL != now.Files[*e.File].RemoteName) {
		t.Errorf("protocol %q, file %v, URL %q", e.Protocol, e.File, e.URL)
	}
	if counted := now.ErrorCount > 0; counted == (f.code == hresult.BG_E_NETWORK_DISCONNECTED) {
		t.Errorf("%d errors are counted", now.ErrorCount)
	}
	timed := f.code != hresult.BG_E_NETWORK_DISCONNECTED // that one waits for a network, whenever it comes
	if f.state == again && (now.NextRetry == nil || now.Waiting == nil || (now.Waiting.Until != nil) != timed || now.Waiting.Code != f.code) {
		t.Errorf("it does not say when it will try again: %+v", now.Waiting)
	}
}

// listen is a server that does one thing with every connection, and closes it.
func listen(t *testing.T, serve func(*net.TCPConn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	bitstest.Must(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				serve(c.(*net.TCPConn))
			}()
		}
	}()
	return l.Addr().String()
}

// speaker is a server of HTTP that hears a request, says something, and does one more thing before it closes.
func speaker(t *testing.T, text string, then func(*net.TCPConn)) string {
	return "http://" + listen(t, func(c *net.TCPConn) {
		if _, err := http.ReadRequest(bufio.NewReader(c)); err != nil {
			return
		}
		io.WriteString(c, text)
		if then != nil {
			then(c)
		}
	}) + "/f"
}

// reset breaks the connection with an RST.
func reset(c *net.TCPConn) {
	time.Sleep(20 * time.Millisecond) // what was said arrives first
	c.SetLinger(0)
}

// record reads one TLS record.
func record(r io.Reader) ([]byte, error) {
	head := make([]byte, 5)
	if _, err := io.ReadFull(r, head); err != nil {
		return nil, err
	}
	body := make([]byte, int(head[3])<<8|int(head[4]))
	_, err := io.ReadFull(r, body)
	return append(head, body...), err
}

// tlsSpeaker is a server that answers the first message of a handshake with a record.
func tlsSpeaker(t *testing.T, answer []byte) string {
	return "https://" + listen(t, func(c *net.TCPConn) {
		if _, err := record(c); err == nil {
			c.Write(answer)
		}
	}) + "/f"
}

// What goes wrong between the service and a server.
func TestServersThatAreNone(t *testing.T) {
	t.Parallel()
	s, o := bitstest.Start(t), bitstest.NewOrigin(t)
	strict := map[string]any{"strict": true}
	proxied := hostsName(o.Plain) + "/f"
	tunnelled := hostsName(o.URL) + "/f"
	closed := "127.0.0.1:" + itoa(program.Port(t))
	via := func(proxy string) map[string]string {
		return map[string]string{"all_proxy": strings.TrimSuffix(proxy, "/f")}
	}
	const ok = "HTTP/1.1 200 OK\r\n"
	o.Page("/long", func(w http.ResponseWriter, _ *http.Request) {
		for range 105 { // more than that, and HTTP/2 cannot say what it was
			w.Header().Add("X", strings.Repeat("x", 10_000))
		}
	})
	o.Page("/longer", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X", strings.Repeat("x", 2<<20)) })
	o.Page("/unsized", func(w http.ResponseWriter, _ *http.Request) { w.(http.Flusher).Flush() })
	o.Page("/whole", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "4")
		io.WriteString(w, "whole"[:4])
	})
	o.Page("/elsewhere", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "2")
		if r.Method == http.MethodGet {
			w.Header().Set("Content-Range", "bytes 5-6/10")
			w.WriteHeader(http.StatusPartialContent)
		}
		io.WriteString(w, "xx")
	})
	o.Page("/loop", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/loop", http.StatusFound) })
	o.Page("/down", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, o.Plain+"/f", http.StatusFound) })
	o.File("/f", []byte("x"))
	const remote = bits.ContextRemoteFile
	provoke(t, s, []fault{
		{"port is closed", "http://" + closed + "/f", nil, nil, again, remote, hresult.ERROR_WINHTTP_CANNOT_CONNECT},
		{"name is unknown", "http://no.such.host.invalid/f", nil, nil, again, remote, hresult.ERROR_WINHTTP_NAME_NOT_RESOLVED},
		{"reset before the answer", speaker(t, "", reset), nil, nil, again, remote, hresult.ERROR_WINHTTP_CONNECTION_ERROR},
		{"reset in the head", speaker(t, ok, reset), nil, nil, again, remote, hresult.ERROR_WINHTTP_CONNECTION_ERROR},
		{"reset in the body", speaker(t, ok+"Content-Length: 9\r\n\r\nx", reset), nil, nil, again, remote, hresult.ERROR_WINHTTP_CONNECTION_ERROR},
		{"end before the answer", speaker(t, "", nil), nil, nil, again, remote, hresult.ERROR_WINHTTP_CONNECTION_ERROR},
		{"end in the head", speaker(t, ok, nil), nil, nil, again, remote, hresult.ERROR_WINHTTP_CONNECTION_ERROR},
		{"end in the body", speaker(t, ok+"Content-Length: 9\r\n\r\nx", nil), nil, nil, again, remote, hresult.ERROR_WINHTTP_CONNECTION_ERROR},
		{"end in a chunk", speaker(t, ok+"Transfer-Encoding: chunked\r\n\r\n9\r\nx", nil), nil, nil, again, remote, hresult.ERROR_WINHTTP_CONNECTION_ERROR},
		{"no HTTP", speaker(t, "SSH-2.0-OpenSSH_9.6\r\n", nil), nil, nil, again, remote, hresult.ERROR_WINHTTP_INVALID_SERVER_RESPONSE},
		{"status that is none", speaker(t, "HTTP/1.1 abc\r\n\r\n", nil), nil, nil, again, remote, hresult.ERROR_WINHTTP_INVALID_SERVER_RESPONSE},
		{"version that is none", speaker(t, "HTTP/x 200 OK\r\n\r\n", nil), nil, nil, again, remote, hresult.ERROR_WINHTTP_INVALID_SERVER_RESPONSE},
		{"header that is none", speaker(t, ok+"no header\r\n\r\n", nil), nil, nil, again, remote, hresult.ERROR_WINHTTP_INVALID_SERVER_RESPONSE},
		{"length that is none", speaker(t, ok+"Content-Length: x\r\n\r\n", nil), nil, nil, again, remote, hresult.ERROR_WINHTTP_INVALID_SERVER_RESPONSE},
		{"encoding that is none", speaker(t, ok+"Transfer-Encoding: x\r\n\r\n", nil), nil, nil, again, remote, hresult.ERROR_WINHTTP_INVALID_SERVER_RESPONSE},
		{"two lengths", speaker(t, ok+"Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx", nil), nil, nil, again, remote, hresult.ERROR_WINHTTP_INVALID_SERVER_RESPONSE},
		{"chunk that is none", speaker(t, ok+"Transfer-Encoding: chunked\r\n\r\nzz\r\n", nil), nil, nil, again, remote, hresult.ERROR_WINHTTP_CHUNKED_ENCODING_HEADER_SIZE_OVERFLOW},
		{"chunk too long", speaker(t, ok+"Transfer-Encoding: chunked\r\n\r\n"+strings.Repeat("f", 20)+"\r\n", nil), nil, nil, again, remote, hresult.ERROR_WINHTTP_CHUNKED_ENCODING_HEADER_SIZE_OVERFLOW},
		{"chunk without its end", speaker(t, ok+"Transfer-Encoding: chunked\r\n\r\n1\r\nxyz\r\n", nil), nil, nil, again, remote, hresult.ERROR_WINHTTP_CHUNKED_ENCODING_HEADER_SIZE_OVERFLOW},
		{"headers too long", o.Plain + "/long", nil, nil, fatal, remote, hresult.ERROR_WINHTTP_HEADER_SIZE_OVERFLOW},
		{"headers too long, HTTP/2", o.URL + "/long", o.Trust(), nil, fatal, remote, hresult.ERROR_WINHTTP_HEADER_SIZE_OVERFLOW},
		{"header too long for HTTP/2", o.URL + "/longer", o.Trust(), nil, again, remote, hresult.ERROR_WINHTTP_INVALID_SERVER_RESPONSE},
		{"no size", o.Plain + "/unsized", strict, nil, fatal, remote, hresult.BG_E_MISSING_FILE_SIZE},
		{"no ranges", o.Plain + "/whole", strict, nil, fatal, remote, hresult.BG_E_INSUFFICIENT_RANGE_SUPPORT},
		{"another range", o.Plain + "/elsewhere", strict, nil, fatal, remote, hresult.BG_E_INVALID_SERVER_RESPONSE},
		{"HTTP/1.0", speaker(t, "HTTP/1.0 200 OK\r\nContent-Length: 9\r\n\r\n", nil), strict, nil, fatal, remote, hresult.BG_E_INSUFFICIENT_HTTP_SUPPORT},
		{"too many redirects", o.Plain + "/loop", nil, nil, fatal, remote, hresult.ERROR_WINHTTP_REDIRECT_FAILED},
		{"redirect to http", o.URL + "/down", o.Trust(), nil, fatal, remote, hresult.ERROR_WINHTTP_REDIRECT_FAILED},
		{"proxy that cannot be read", proxied, nil, via("ftp://127.0.0.1"), fatal, bits.ContextQueueManager, hresult.BG_E_INVALID_PROXY_INFO},
		{"proxy: port is closed", proxied, nil, via(closed), again, remote, hresult.ERROR_WINHTTP_CANNOT_CONNECT},
		{"proxy: port is closed, https", tunnelled, nil, via(closed), again, remote, hresult.ERROR_WINHTTP_CANNOT_CONNECT},
		{"proxy: name is unknown", proxied, nil, via("no.such.host.invalid:3128"), again, remote, hresult.ERROR_WINHTTP_NAME_NOT_RESOLVED},
		{"proxy: name is unknown, https", tunnelled, nil, via("no.such.host.invalid:3128"), again, remote, hresult.ERROR_WINHTTP_NAME_NOT_RESOLVED},
		{"proxy: no HTTP", tunnelled, nil, via(speaker(t, "hello\r\n", nil)), again, remote, hresult.ERROR_WINHTTP_INVALID_SERVER_RESPONSE},
		{"proxy: end before the answer", tunnelled, nil, via(speaker(t, "", nil)), again, remote, hresult.ERROR_WINHTTP_CONNECTION_ERROR},
		{"proxy: reset", tunnelled, nil, via(speaker(t, "", reset)), again, remote, hresult.ERROR_WINHTTP_CONNECTION_ERROR},
		{"proxy: forbidden", tunnelled, nil, via(speaker(t, "HTTP/1.1 403 Forbidden\r\n\r\n", nil)), fatal, remote, hresult.FromHTTPStatus(403)},
		{"proxy: bad gateway", tunnelled, nil, via(speaker(t, "HTTP/1.1 502 Bad Gateway\r\n\r\n", nil)), again, remote, hresult.FromHTTPStatus(502)},
		{"proxy: redirect", tunnelled, nil, via(speaker(t, "HTTP/1.1 302 Found\r\nLocation: http://x/\r\n\r\n", nil)), fatal, remote, hresult.FromHTTPStatus(302)},
		{"proxy: no TLS", tunnelled, nil, via(strings.Replace(o.Plain, "http", "https", 1)), again, remote, hresult.ERROR_WINHTTP_SECURE_CHANNEL_ERROR},
	})
}

// Every HTTP status that ends a job has its code, a text and a class; also those that nobody has named.
func TestErrorsOfStatuses(t *testing.T) {
	t.Parallel()
	s, o := bitstest.Start(t), bitstest.NewOrigin(t)
	var rows []fault
	for status := 201; status < 600; status++ {
		code := hresult.FromHTTPStatus(status)
		if named := strings.HasSuffix(code.Name(), fmt.Sprint("_", status)); !named || code.Message() == "" {
			t.Errorf("%v is %q: %q", code, code.Name(), code.Message())
		}
		if status == 206 || http.StatusText(status) == "" && status%50 != 49 {
			continue // content, or one of those that are all the same
		}
		want := again
		if status/100 == 3 && status <= 308 && status != 306 || status/100 == 4 && status != 408 && status != 409 && status != 429 || status == 501 || status == 505 {
			want = fatal
		}
		o.Page(fmt.Sprint("/", status), func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
		rows = append(rows, fault{fmt.Sprint(status), fmt.Sprint(o.Plain, "/", status), nil, nil, want, bits.ContextRemoteFile, code})
	}
	provoke(t, s, rows)
}

// Every alert of TLS has a code, and so has whatever else ends a handshake.
func TestErrorsOfTLS(t *testing.T) {
	t.Parallel()
	s, o := bitstest.Start(t), bitstest.NewOrigin(t)
	o.File("/f", bitstest.Content(1, 100_000))
	plain := strings.Replace(o.Plain, "http", "https", 1) + "/f"
	server := func(change func(*tls.Config)) string {
		config := &tls.Config{Certificates: []tls.Certificate{pki.Of(o.Authority()).Server([]string{"localhost", "127.0.0.1"}).TLS()}}
		change(config)
		return "https://" + listen(t, func(c *net.TCPConn) {
			if server := tls.Server(c, config); server.Handshake() == nil {
				server.Read(make([]byte, 1)) // a refusal of TLS 1.3 comes late
			}
		}) + "/f"
	}
	const remote, channel = bits.ContextRemoteFile, hresult.ERROR_WINHTTP_SECURE_CHANNEL_ERROR
	rows := []fault{
		{"plain HTTP", plain, nil, nil, again, remote, channel},
		{"end", tlsSpeaker(t, nil), nil, nil, again, remote, hresult.ERROR_WINHTTP_CONNECTION_ERROR},
		{"nonsense in a handshake", tlsSpeaker(t, []byte{22, 3, 3, 0, 4, 9, 0, 0, 0}), nil, nil, again, remote, channel},
		{"no protocol in common", server(func(c *tls.Config) { c.NextProtos = []string{"smtp"} }), nil, nil, again, remote, channel},
		{"no version in common", server(func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 }), nil, nil, again, remote, channel},
		{"no cipher in common", server(func(c *tls.Config) {
			c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_RSA_WITH_3DES_EDE_CBC_SHA}
		}), nil, nil, again, remote, channel},
		{"server fails within itself", server(func(c *tls.Config) {
			c.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return nil, errors.New("no") }
		}), nil, nil, again, remote, channel},
		{"client certificate", server(func(c *tls.Config) { c.ClientAuth = tls.RequireAnyClientCert }), o.Trust(), nil, fatal, remote, hresult.ERROR_WINHTTP_CLIENT_AUTH_CERT_NEEDED},
		{"record changed on the way", falsified(t, o.URL) + "/f", o.Trust(), nil, again, remote, channel},
	}
	ours := map[byte]bool{42: true, 43: true, 44: true, 45: true, 46: true, 48: true, 49: true, 116: true}
	for _, alert := range []byte{10, 20, 21, 22, 30, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 60, 70, 71, 80, 86, 90, 109, 110, 111, 112, 113, 114, 115, 116, 120, 121} {
		f := fault{fmt.Sprint("alert ", alert), tlsSpeaker(t, []byte{21, 3, 3, 0, 2, 2, alert}), nil, nil, again, remote, channel}
		switch {
		case ours[alert]:
			f.state, f.code = fatal, hresult.ERROR_WINHTTP_CLIENT_AUTH_CERT_NEEDED
		case alert == 112:
			f.code = hresult.ERROR_WINHTTP_SECURE_CERT_CN_INVALID
		}
		rows = append(rows, f)
	}
	provoke(t, s, rows)
}

// falsified is a way to a server on which the last byte of each long record is changed.
func falsified(t *testing.T, url string) string {
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(url, "https://"))
	at := listen(t, func(c *net.TCPConn) {
		there, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err != nil {
			return
		}
		defer there.Close()
		go func() { io.Copy(there, c); there.Close() }()
		for {
			r, err := record(there)
			if err != nil {
				return
			}
			if len(r) > 1000 && r[0] == 23 {
				r[len(r)-1] ^= 1
			}
			c.Write(r)
		}
	})
	return "https://" + strings.Replace(at, "127.0.0.1", "localhost", 1)
}

// OpenSSL refuses a name that it does not know, and a client without a certificate, with alerts of its own.
func TestErrorsOfOpenSSL(t *testing.T) {
	t.Parallel()
	openssl := program.Need(t, "openssl")
	s, o := bitstest.Start(t), bitstest.NewOrigin(t)
	cert, key := s.Path("cert.pem"), s.Path("key.pem")
	leaf := pki.Of(o.Authority()).Server([]string{"localhost", "127.0.0.1"})
	bitstest.Must(t, os.WriteFile(cert, leaf.PEM(), 0o600), os.WriteFile(key, leaf.KeyPEM(), 0o600))
	start := func(args ...string) string {
		cmd := exec.Command(openssl, append([]string{"s_server", "-accept", "127.0.0.1:0", "-cert", cert, "-key", key, "-www"}, args...)...)
		out, err := cmd.StdoutPipe()
		bitstest.Must(t, err, cmd.Start())
		t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if at, ok := strings.CutPrefix(lines.Text(), "ACCEPT 127.0.0.1:"); ok {
				go io.Copy(io.Discard, out)
				return "https://localhost:" + at + "/"
			}
		}
		t.Fatal("openssl s_server does not listen")
		return ""
	}
	const remote = bits.ContextRemoteFile
	provoke(t, s, []fault{
		{"unknown name", start("-servername", "other.example", "-servername_fatal", "-cert2", cert, "-key2", key) + "f", o.Trust(), nil, again, remote, hresult.ERROR_WINHTTP_SECURE_CERT_CN_INVALID},
		{"client certificate, TLS 1.2", start("-Verify", "1", "-tls1_2") + "f", o.Trust(), nil, fatal, remote, hresult.ERROR_WINHTTP_CLIENT_AUTH_CERT_NEEDED},
		{"client certificate, TLS 1.3", start("-Verify", "1", "-tls1_3") + "f", o.Trust(), nil, fatal, remote, hresult.ERROR_WINHTTP_CLIENT_AUTH_CERT_NEEDED},
		{"TLS 1.1", start("-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0") + "f", o.Trust(), nil, again, remote, hresult.ERROR_WINHTTP_SECURE_CHANNEL_ERROR},
		{"no cipher in common", start("-tls1_2", "-cipher", "AES128-CCM@SECLEVEL=0") + "f", o.Trust(), nil, again, remote, hresult.ERROR_WINHTTP_SECURE_CHANNEL_ERROR},
	})
}

// A connection that the server closes while nobody uses it is no error: the request is sent again over another.
func TestStaleConnection(t *testing.T) {
	t.Parallel()
	s := bitstest.Start(t)
	var conns atomic.Int64
	at := listen(t, func(c *net.TCPConn) {
		conns.Add(1)
		r := bufio.NewReader(c)
		if _, err := http.ReadRequest(r); err == nil {
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx")
			http.ReadRequest(r) // and no answer
		}
	})
	now := ended(t, s, s.NewJob(nil, "http://"+at+"/a", "http://"+at+"/b"))
	if now.State != bits.StateTransferred || now.ErrorCount != 0 || conns.Load() != 2 {
		t.Errorf("%v after %d connections, %+v", now.State, conns.Load(), now.Error)
	}
}

// What goes wrong with the local file, on any system.
func TestErrorsOfFiles(t *testing.T) {
	t.Parallel()
	s, o := bitstest.Start(t), bitstest.NewOrigin(t)
	data := bitstest.Content(5, 200_000)
	o.File("/f", data)
	const local = bits.ContextLocalFile
	for _, c := range []struct {
		name  string
		spoil func(folder, file string) error
		code  hresult.Code
	}{
		{"folder is gone", func(folder, _ string) error { return os.RemoveAll(folder) }, hresult.ERROR_PATH_NOT_FOUND},
		{"folder is a file", func(folder, _ string) error {
			return errors.Join(os.RemoveAll(folder), os.WriteFile(folder, nil, 0o600))
		}, hresult.ERROR_PATH_NOT_FOUND},
		{"temporary file is a folder", func(_, file string) error { return os.MkdirAll(file, 0o700) }, hresult.E_ACCESSDENIED},
	} {
		t.Run(c.name, func(t *testing.T) {
			folder := s.Path(c.name)
			bitstest.Must(t, os.Mkdir(folder, 0o700))
			job, err := s.Create(ctx, bits.Spec{Files: []bits.FileSpec{{RemoteName: o.Plain + "/f", LocalName: filepath.Join(folder, "f")}}})
			bitstest.Must(t, err, c.spoil(folder, job.Files[0].Temporary))
			says(t, ended(t, s, job), fault{state: fatal, context: local, code: c.code})
		})
	}
	for _, c := range []struct {
		name  string
		spoil func(file string) error
		code  hresult.Code
	}{
		{"exists", func(file string) error { return os.WriteFile(file, []byte("mine"), 0o600) }, hresult.ERROR_FILE_EXISTS},
		{"is a folder", func(file string) error { return os.Mkdir(file, 0o700) }, hresult.E_ACCESSDENIED},
	} {
		t.Run("destination "+c.name, func(t *testing.T) {
			job := s.NewJob(map[string]any{"no_replace": c.code == hresult.ERROR_FILE_EXISTS}, o.Plain+"/f")
			now := ended(t, s, job)
			bitstest.Must(t, c.spoil(s.Path("f")))
			defer os.RemoveAll(s.Path("f"))
			if _, err := s.Complete(ctx, now.ID); bits.AsError(err).Code != c.code || bits.AsError(err).Context != local {
				t.Errorf("%v", err)
			}
			bitstest.Must(t, os.RemoveAll(s.Path("f")))
			if code, err := s.Complete(ctx, now.ID); err != nil || code != hresult.S_OK {
				t.Errorf("without it: %v, %v", code, err)
			}
			same(t, s.Path("f"), data)
		})
	}
}
