package login_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode/utf16"

	"golang.org/x/crypto/md4" //lint:ignore SA1019 NTLM is made of it

	"bits"
	"bits/hresult"
	"bits/internal/login"
	"bits/internal/transport"
)

// exam is a server that asks for logins and writes down what it is shown.
type exam struct {
	asks  []string // its challenges
	check func(authorization string, r *http.Request) (ok bool, again string)

	mu    sync.Mutex
	shown []string // the authorizations, "" for none
	conns map[string]bool
}

func (e *exam) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a := r.Header.Get("Authorization")
	e.mu.Lock()
	e.shown = append(e.shown, a)
	if e.conns == nil {
		e.conns = map[string]bool{}
	}
	e.conns[r.RemoteAddr+" "+r.Proto] = true
	e.mu.Unlock()
	ok, again := e.check(a, r)
	if ok {
		io.WriteString(w, "open")
		return
	}
	asks := e.asks
	if again != "" {
		asks = []string{again}
	}
	for _, c := range asks {
		w.Header().Add("WWW-Authenticate", c)
	}
	w.WriteHeader(http.StatusUnauthorized)
	io.WriteString(w, strings.Repeat("no ", 1000))
}

// schemes are the first words of what was shown.
func (e *exam) schemes() string {
	var all []string
	for _, a := range e.shown {
		first, _, _ := strings.Cut(a, " ")
		all = append(all, first)
	}
	return strings.Join(all, ",")
}

func basic(user, password string) func(string, *http.Request) (bool, string) {
	return func(a string, _ *http.Request) (bool, string) {
		return a == "Basic "+base64.StdEncoding.EncodeToString([]byte(user+":"+password)), ""
	}
}

func secret(target bits.AuthTarget, s bits.AuthScheme, user, password string) bits.Credential {
	return bits.Credential{Target: target, Scheme: s, User: &user, Password: &password}
}

// ask sends one request with the logins of a job, as the owner named it.
func ask(t *testing.T, l *login.Login, base login.Connections, u, named string) (int, *bits.Error) {
	t.Helper()
	x := &login.Request{}
	var err error
	x.Named, err = url.Parse(named)
	r, err2 := http.NewRequestWithContext(login.With(context.Background(), x), "GET", u, nil)
	if err != nil || err2 != nil {
		t.Fatal(err, err2)
	}
	answer, err := (&http.Client{Transport: login.RoundTripper{Login: l, Base: base}}).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, answer.Body)
	answer.Body.Close()
	return answer.StatusCode, x.Refused
}

func connections(t *testing.T) *transport.Transport {
	trust := func(context.Context, string, tls.ConnectionState) error { return nil }
	tr := transport.New(context.Background(), transport.Config{Origin: trust})
	t.Cleanup(tr.Close)
	return tr
}

func TestSchemes(t *testing.T) {
	both := []bits.Credential{secret(bits.AuthServer, bits.Basic, "joe", "pw"), secret(bits.AuthServer, bits.Digest, "joe", "pw")}
	other := []bits.Credential{secret(bits.AuthServer, bits.Basic, "joe", "pw"), secret(bits.AuthServer, bits.Digest, "jim", "xy")}
	for _, c := range []struct {
		name   string
		asks   []string
		check  func(string, *http.Request) (bool, string)
		have   []bits.Credential
		status int
		shown  string // two requests
	}{
		{"nothing is shown without a challenge", nil, func(string, *http.Request) (bool, string) { return true, "" }, both, 200, ","},
		{"no login", []string{`Basic realm="r"`}, basic("joe", "pw"), nil, 401, ","},
		{"the proxy's login is not for servers", []string{`Basic realm="r"`}, basic("joe", "pw"), []bits.Credential{secret(bits.AuthProxy, bits.Basic, "joe", "pw")}, 401, ","},
		{"passport is never offered", []string{`Passport1.4 x`, `Basic realm="r"`}, basic("joe", "pw"), []bits.Credential{secret(bits.AuthServer, bits.Passport, "joe", "pw")}, 401, ","},
		{"basic", []string{`Basic realm="r"`}, basic("joe", "pw"), both, 200, ",Basic,Basic"},
		{"a wrong password is shown once", []string{`Basic realm="r"`}, basic("joe", "other"), both, 401, ",Basic,"},
		{"a refused password is not shown in a weaker scheme", []string{`Basic realm="r", Digest realm="r", nonce="n"`}, basic("joe", "pw"), both, 401, ",Digest,"},
		{"another one is", []string{`Basic realm="r", Digest realm="r", nonce="n"`}, basic("joe", "pw"), other, 200, ",Digest,Basic,Basic"},
		{"an algorithm that is unknown", []string{`Digest realm="r", nonce="n", algorithm=SHA3`, `Basic realm="r"`}, basic("joe", "pw"), both, 200, ",Basic,Basic"},
		{"md5", []string{`Digest realm="r", nonce="n", qop="auth,auth-int"`}, digest(t, md5.New, "", "joe", "pw"), both, 200, ",Digest,Digest"},
		{"md5 without qop", []string{`Digest realm="r", nonce="n"`}, digest(t, md5.New, "", "joe", "pw"), both, 200, ",Digest,Digest"},
		{"md5-sess", []string{`Digest realm="r", nonce="n", algorithm=MD5-sess, qop="auth"`}, digest(t, md5.New, "MD5-sess", "joe", "pw"), both, 200, ",Digest,Digest"},
		{"sha-256 is stronger than md5", []string{`Digest realm="r", nonce="n", algorithm=MD5, qop="auth"`, `Digest realm="r", nonce="n", algorithm=SHA-256, qop="auth"`, `Basic realm="r"`}, digest(t, sha256.New, "SHA-256", "joe", "pw"), both, 200, ",Digest,Digest"},
		{"sha-256-sess, hashed name", []string{`Digest realm="r", nonce="n", algorithm=SHA-256-sess, qop="auth", userhash=true`}, digest(t, sha256.New, "SHA-256-sess", "joe", "pw"), both, 200, ",Digest,Digest"},
		{"utf-8", []string{`Digest realm="r", nonce="n", algorithm=SHA-256, qop="auth", charset=UTF-8`}, digest(t, sha256.New, "SHA-256", "jö", "pä"), []bits.Credential{secret(bits.AuthServer, bits.Digest, "jö", "pä")}, 200, ",Digest,Digest"},
		{"a nonce that is always stale ends", []string{`Digest realm="r", nonce="n", stale=true`}, func(string, *http.Request) (bool, string) { return false, "" }, both, 401, ",Digest,Digest,Digest,"},
		{"a server that never has enough", []string{`Negotiate`, `NTLM`, `Basic realm="r"`}, func(string, *http.Request) (bool, string) { return false, "" }, append(both, secret(bits.AuthServer, bits.NTLM, "a", "b")), 401, ",NTLM,Basic,"},
		{"ntlm", []string{`Negotiate`, `NTLM`}, ntlm(t, `DOM\joe`, "pw"), []bits.Credential{secret(bits.AuthServer, bits.NTLM, `DOM\joe`, "pw")}, 200, ",NTLM,NTLM,"},
		{"ntlm, wrong", []string{`NTLM`}, ntlm(t, `DOM\joe`, "other"), []bits.Credential{secret(bits.AuthServer, bits.NTLM, `DOM\joe`, "pw")}, 401, ",NTLM,NTLM,"},
		{"ntlm without a name", []string{`NTLM`}, ntlm(t, `DOM\joe`, "pw"), []bits.Credential{{Target: bits.AuthServer, Scheme: bits.NTLM}}, 401, ","},
	} {
		for _, h := range []string{"http", "https", "h2"} {
			t.Run(c.name+"/"+h, func(t *testing.T) {
				e := &exam{asks: c.asks, check: c.check}
				s := httptest.NewUnstartedServer(e)
				if s.EnableHTTP2 = h == "h2"; h == "http" {
					s.Start()
				} else {
					s.StartTLS()
				}
				defer s.Close()
				l, base := &login.Login{Credentials: c.have}, connections(t)
				for range 2 {
					status, refused := ask(t, l, base, s.URL+"/a/b?c=d", s.URL)
					if status != c.status || (refused != nil) != (status == 401) {
						t.Errorf("%d, %v", status, refused)
					}
					if refused != nil && (refused.Code != hresult.BG_E_HTTP_ERROR_401 || refused.Context != bits.ContextRemoteFile || refused.Hint == "" || strings.Contains(refused.Error(), "pw")) {
						t.Errorf("%+v", refused)
					}
				}
				if e.schemes() != c.shown {
					t.Errorf("shown: %s, want %s", e.schemes(), c.shown)
				}
			})
		}
	}
}

// A server to which a redirect leads is not the one that the owner has named, also if only the port is another.
func TestOtherOrigins(t *testing.T) {
	e := &exam{asks: []string{`Basic realm="r"`}, check: basic("joe", "pw")}
	s := httptest.NewServer(e)
	defer s.Close()
	from := httptest.NewServer(http.RedirectHandler(s.URL, http.StatusFound))
	defer from.Close()
	l := &login.Login{Credentials: []bits.Credential{secret(bits.AuthServer, bits.Basic, "joe", "pw")}}
	status, refused := ask(t, l, connections(t), from.URL, from.URL)
	if status != 401 || refused == nil || e.schemes() != "" || !strings.Contains(refused.Error(), from.URL) {
		t.Errorf("%d, %v, shown %q", status, refused, e.shown)
	}
	if status, _ := ask(t, l, connections(t), s.URL, s.URL); status != 200 {
		t.Errorf("%d", status)
	}
}

func TestSources(t *testing.T) {
	dir := t.TempDir()
	netrc, token := filepath.Join(dir, "netrc"), filepath.Join(dir, "token")
	write := func(path, text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(netrc, "machine 127.0.0.1 login joe password pw")
	write(token, "t1\n")
	good := "t1"
	e := &exam{asks: []string{`Bearer realm="r"`}, check: func(a string, _ *http.Request) (bool, string) { return a == "Bearer "+good, "" }}
	s := httptest.NewServer(e)
	defer s.Close()
	l, base := &login.Login{Sources: bits.LoginSources{Netrc: netrc, BearerTokenFile: token}}, connections(t)
	for i, want := range []int{200, 401, 200} {
		if i == 1 {
			good = "t2"
		} else if i == 2 {
			write(token, good) // a token that was replaced is found
		}
		if status, refused := ask(t, l, base, s.URL, s.URL); status != want {
			t.Errorf("%d: %d, %v", i, status, refused)
		}
	}
	e.asks, e.check = []string{`Basic realm="r"`}, basic("joe", "pw")
	if status, refused := ask(t, l, base, s.URL, s.URL); status != 200 {
		t.Errorf("netrc: %d, %v", status, refused)
	}
	// What was given with the job leaves no room for others.
	l = &login.Login{Sources: l.Sources, Credentials: []bits.Credential{secret(bits.AuthServer, bits.Digest, "x", "y")}}
	if status, _ := ask(t, l, base, s.URL, s.URL); status != 401 {
		t.Errorf("given: %d", status)
	}
	l = &login.Login{Sources: bits.LoginSources{Netrc: dir}}
	if status, refused := ask(t, l, base, s.URL, s.URL); status != 401 || !strings.Contains(refused.Error(), "not a regular file") {
		t.Errorf("a folder: %d, %v", status, refused)
	}
}

// Who hears a bearer token has it.
func TestBearerOverTLSOnly(t *testing.T) {
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	e := &exam{asks: []string{`Bearer`}, check: func(a string, _ *http.Request) (bool, string) { return a != "", "" }}
	l := &login.Login{Sources: bits.LoginSources{BearerTokenFile: token}}
	status, refused := ask(t, l, handled{e}, "http://example.com/", "http://example.com/")
	if status != 401 || !strings.Contains(refused.Error(), "https only") || e.schemes() != "" {
		t.Errorf("%d, %v, %q", status, refused, e.shown)
	}
	if status, _ := ask(t, l, handled{e}, "https://example.com/", "https://example.com/"); status != 200 {
		t.Errorf("%d", status)
	}
}

// handled calls a handler without a network.
type handled struct{ http.Handler }

func (h handled) HTTP1(*url.URL) {}

func (h handled) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result(), nil
}

// digest checks an answer as RFC 7616 says, by its own means.
func digest(t *testing.T, h func() hash.Hash, algorithm, user, password string) func(string, *http.Request) (bool, string) {
	sum := func(parts ...string) string {
		s := h()
		io.WriteString(s, strings.Join(parts, ":"))
		return hex.EncodeToString(s.Sum(nil))
	}
	var last string
	return func(a string, r *http.Request) (bool, string) {
		if a == "" {
			last = "" // a new client
			return false, ""
		}
		c := login.Parse([]string{a})
		if len(c) != 1 || c[0].Scheme != "digest" {
			t.Errorf("not readable: %s", a)
			return false, ""
		}
		p := c[0].Params
		name := user
		if p["userhash"] == "true" {
			name = sum(user, "r")
		}
		if star := p["username*"]; star != "" {
			name = "UTF-8''" + url.QueryEscape(user)
			p["username"] = star
		}
		a1 := sum(user, "r", password)
		if strings.HasSuffix(algorithm, "-sess") {
			a1 = sum(a1, "n", p["cnonce"])
		}
		want := sum(a1, "n", p["nc"], p["cnonce"], "auth", sum(r.Method, r.RequestURI))
		if p["qop"] == "" {
			want = sum(a1, "n", sum(r.Method, r.RequestURI))
		} else if p["nc"] <= last {
			t.Errorf("the count %s was used before", p["nc"])
		}
		last = p["nc"]
		if p["algorithm"] != algorithm || p["uri"] != r.RequestURI || p["nonce"] != "n" || p["username"] != name {
			t.Errorf("%s", a)
		}
		return p["response"] == want, ""
	}
}

// ntlm checks NTLMv2 as MS-NLMP says, by its own means: three legs, over one connection of HTTP/1.1, with the channel's binding.
func ntlm(t *testing.T, user, password string) func(string, *http.Request) (bool, string) {
	domain, name, _ := strings.Cut(user, `\`)
	challenge := []byte("12345678")
	var mu sync.Mutex
	state := map[string]int{} // by connection: 1 asked, 2 in
	return func(a string, r *http.Request) (bool, string) {
		mu.Lock()
		defer mu.Unlock()
		if r.ProtoMajor != 1 {
			return false, ""
		}
		text, ok := strings.CutPrefix(a, "NTLM ")
		if !ok {
			return state[r.RemoteAddr] == 2, ""
		}
		m, err := base64.StdEncoding.DecodeString(text)
		if err != nil || len(m) < 12 || string(m[:8]) != "NTLMSSP\x00" {
			t.Errorf("not readable: %s", a)
			return false, ""
		}
		if m[8] == 1 {
			state[r.RemoteAddr] = 1
			info := append([]byte{2, 0, 6, 0}, wide("DOM")...)
			info = append(info, 0, 0, 0, 0)
			c := append([]byte("NTLMSSP\x00"), 2, 0, 0, 0)
			c = append(c, 0, 0, 0, 0, 48, 0, 0, 0)
			c = binary.LittleEndian.AppendUint32(c, 0x00880201) // target information, extended security, NTLM, Unicode
			c = append(c, challenge...)
			c = append(c, make([]byte, 8)...)
			c = binary.LittleEndian.AppendUint16(c, uint16(len(info)))
			c = binary.LittleEndian.AppendUint16(c, uint16(len(info)))
			c = binary.LittleEndian.AppendUint32(c, 48)
			return false, "NTLM " + base64.StdEncoding.EncodeToString(append(c, info...))
		}
		if state[r.RemoteAddr] != 1 {
			t.Errorf("the third leg came over another connection")
			return false, ""
		}
		field := func(at int) []byte {
			n, from := int(binary.LittleEndian.Uint16(m[at:])), int(binary.LittleEndian.Uint32(m[at+4:]))
			return m[from : from+n]
		}
		response := field(20)
		if got := field(28); !bytes.Equal(got, wide(domain)) || !bytes.Equal(field(36), wide(name)) {
			t.Errorf("%q %q", got, field(36))
		}
		hash := md4.New()
		hash.Write(wide(password))
		key := mac(hash.Sum(nil), wide(strings.ToUpper(name)+domain))
		if !hmac.Equal(response[:16], mac(key, append(slices.Clone(challenge), response[16:]...))) {
			state[r.RemoteAddr] = 0
			return false, ""
		}
		if r.TLS != nil {
			if !bytes.Contains(response, binding()) {
				t.Error("the answer is not bound to the TLS connection")
			}
		}
		state[r.RemoteAddr] = 2
		return true, ""
	}
}

// binding is the attribute MsvAvChannelBindings for the server's certificate.
func binding() []byte {
	any := httptest.NewTLSServer(nil) // they all have the same certificate
	defer any.Close()
	sum := sha256.Sum256(any.Certificate().Raw)
	data := append([]byte("tls-server-end-point:"), sum[:]...)
	all := append(make([]byte, 16), byte(len(data)), 0, 0, 0)
	bound := md5.Sum(append(all, data...))
	return append([]byte{10, 0, 16, 0}, bound[:]...)
}

func wide(s string) (b []byte) {
	for _, u := range utf16.Encode([]rune(s)) {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	return b
}

func mac(key, data []byte) []byte {
	m := hmac.New(md5.New, key)
	m.Write(data)
	return m.Sum(nil)
}

// proxies of both kinds ask for logins; what they are shown, the origin behind never sees.
func TestProxies(t *testing.T) {
	var mu sync.Mutex
	var seen []string
	note := func(s string) { mu.Lock(); seen = append(seen, s); mu.Unlock() }
	origin := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		note("origin " + r.Header.Get("Authorization") + r.Header.Get("Proxy-Authorization"))
		if r.Header.Get("Authorization") == "" {
			w.Header().Set("WWW-Authenticate", `Basic realm="o"`)
			w.WriteHeader(401)
		}
	})
	plain, secure := httptest.NewServer(origin), httptest.NewTLSServer(origin)
	defer plain.Close()
	defer secure.Close()
	enter := basic("user", "word")
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a := r.Header.Get("Proxy-Authorization")
		note(r.Method + " " + a)
		if ok, _ := enter(a, r); !ok {
			w.Header().Set("Proxy-Authenticate", `Basic realm="p"`)
			w.WriteHeader(407)
			io.WriteString(w, "who?")
			return
		}
		r.Header.Del("Proxy-Authorization")
		if r.Method != http.MethodConnect {
			r.RequestURI = ""
			answer, err := http.DefaultTransport.RoundTrip(r)
			if err != nil {
				w.WriteHeader(502)
				return
			}
			for name, v := range answer.Header {
				w.Header()[name] = v
			}
			w.WriteHeader(answer.StatusCode)
			return
		}
		tunnel(w, r)
	}))
	defer proxy.Close()
	shown, joe := "Basic "+base64.StdEncoding.EncodeToString([]byte("user:word")), "Basic "+base64.StdEncoding.EncodeToString([]byte("joe:pw"))
	for _, c := range []struct {
		name, url, in string
		have          []bits.Credential
		want          []string
	}{
		{"plain", plain.URL, "", []bits.Credential{secret(bits.AuthProxy, bits.Basic, "user", "word")}, []string{"GET ", "GET " + shown, "origin ", "GET " + shown, "origin " + joe}},
		{"tunnel", secure.URL, "", []bits.Credential{secret(bits.AuthProxy, bits.Basic, "user", "word")}, []string{"CONNECT ", "CONNECT " + shown, "origin ", "origin " + joe}},
		{"plain, in the URL", plain.URL, "user:word@", nil, []string{"GET ", "GET " + shown, "origin ", "GET " + shown, "origin " + joe}},
		{"tunnel, in the URL", secure.URL, "user:word@", nil, []string{"CONNECT ", "CONNECT " + shown, "origin ", "origin " + joe}},
		{"plain, none", plain.URL, "", nil, []string{"GET "}},
		{"tunnel, none", secure.URL, "", nil, []string{"CONNECT "}},
	} {
		t.Run(c.name, func(t *testing.T) {
			seen = nil
			via, err := url.Parse(strings.Replace(proxy.URL, "://", "://"+c.in, 1))
			if err != nil {
				t.Fatal(err)
			}
			l := &login.Login{Credentials: append(c.have, secret(bits.AuthServer, bits.Basic, "joe", "pw"))}
			base := transport.New(context.Background(), transport.Config{
				Origin: func(context.Context, string, tls.ConnectionState) error { return nil },
				Route:  func(context.Context, *url.URL) ([]*url.URL, error) { return []*url.URL{via}, nil },
				Logins: func(u *url.URL) transport.Answerer { return l.Proxy(u) },
			})
			defer base.Close()
			named, _ := url.Parse(c.url)
			r, _ := http.NewRequestWithContext(login.With(context.Background(), &login.Request{Named: named}), "GET", c.url+"/x", nil)
			answer, err := login.RoundTripper{Login: l, Base: base}.RoundTrip(r)
			if len(c.want) > 1 {
				if err != nil || answer.StatusCode != 200 {
					t.Errorf("%v %v", answer, err)
				}
			} else if e := bits.AsError(err); e.Code != hresult.BG_E_HTTP_ERROR_407 || !strings.Contains(e.Error(), "Basic") || strings.Contains(fmt.Sprintf("%+v", e), "word") {
				t.Errorf("%v", err)
			}
			if answer != nil {
				answer.Body.Close()
			}
			if !slices.Equal(seen, c.want) {
				t.Errorf("%q\nwant %q", seen, c.want)
			}
		})
	}
}

// An origin that asks as a proxy does is none: it is never shown what is for proxies, neither straight nor over another proxy's tunnel.
func TestOriginAsksAsProxy(t *testing.T) {
	var mu sync.Mutex
	var seen []string
	origin := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		seen = append(seen, r.Header.Get("Proxy-Authorization")+r.Header.Get("Authorization"))
		mu.Unlock()
		w.Header().Set("Proxy-Authenticate", `Basic realm="p"`)
		w.Header().Set("WWW-Authenticate", `Basic realm="p"`)
		w.WriteHeader(http.StatusProxyAuthRequired)
	}))
	defer origin.Close()
	plain := httptest.NewServer(origin.Config.Handler)
	defer plain.Close()
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Proxy-Authorization") == "" {
			w.Header().Set("Proxy-Authenticate", `Basic realm="p"`)
			w.WriteHeader(http.StatusProxyAuthRequired)
			return
		}
		tunnel(w, r)
	}))
	defer proxy.Close()
	via, err := url.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		url string
		via *url.URL
	}{{plain.URL, nil}, {origin.URL, nil}, {origin.URL, via}} {
		seen = nil
		l := &login.Login{Credentials: []bits.Credential{secret(bits.AuthProxy, bits.Basic, "user", "word")}}
		base := transport.New(context.Background(), transport.Config{
			Origin: func(context.Context, string, tls.ConnectionState) error { return nil },
			Route:  func(context.Context, *url.URL) ([]*url.URL, error) { return []*url.URL{c.via}, nil },
			Logins: func(u *url.URL) transport.Answerer { return l.Proxy(u) },
		})
		status, _ := ask(t, l, base, c.url, c.url)
		base.Close()
		if status != http.StatusProxyAuthRequired || !slices.Equal(seen, []string{""}) {
			t.Errorf("%s via %v: %d, shown %q", c.url, c.via, status, seen)
		}
	}
}

// tunnel answers CONNECT, and carries both ways until one side ends.
func tunnel(w http.ResponseWriter, r *http.Request) {
	there, err := net.Dial("tcp", r.Host)
	here, _, err2 := w.(http.Hijacker).Hijack()
	if err != nil || err2 != nil {
		return
	}
	io.WriteString(here, "HTTP/1.1 200 OK\r\n\r\n")
	go func() { io.Copy(there, here); there.Close() }()
	io.Copy(here, there)
	here.Close()
}
