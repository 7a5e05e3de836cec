package transport_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"bits"
	"bits/hresult"
	"bits/internal/login"
	"bits/internal/pki"
	"bits/internal/transport"
)

// asked writes down the requests that a server gets: method, target, and the logins.
type asked struct {
	mu  sync.Mutex
	all []string
}

func (a *asked) add(r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	scheme := func(name string) string {
		first, _, _ := strings.Cut(r.Header.Get(name), " ")
		return first
	}
	a.all = append(a.all, strings.TrimSpace(r.Method+" "+r.RequestURI+" "+scheme("Proxy-Authorization")+scheme("Authorization")))
}

func (a *asked) text() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return strings.Join(a.all, "|")
}

// serve serves HTTP/1.1 at the IPv6 address of this machine, over TLS if there is a certificate.
func serve(t *testing.T, pair *pki.Pair, h http.HandlerFunc) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Skip(err)
	}
	address = l.Addr().String()
	if pair != nil {
		l = tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{pair.TLS()}})
	}
	s := &http.Server{Handler: h}
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
	return address
}

// A proxy over TLS, and a server, both at an IPv6 address: each is judged before it hears a word, and shown its own login, when it asks.
func TestSecureProxyAtIPv6(t *testing.T) {
	pair := pki.Root("root").Server([]string{"::1"})
	for _, secure := range []bool{true, false} {
		var atOrigin, atProxy asked
		name := map[bool]*pki.Pair{true: pair}[secure]
		origin := serve(t, name, func(w http.ResponseWriter, r *http.Request) {
			atOrigin.add(r)
			if r.Header.Get("Authorization") == "" {
				w.Header().Set("WWW-Authenticate", `Basic realm="o"`)
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			io.WriteString(w, "there")
		})
		via := serve(t, pair, func(w http.ResponseWriter, r *http.Request) {
			atProxy.add(r)
			if r.Header.Get("Proxy-Authorization") == "" {
				w.Header().Set("Proxy-Authenticate", `Basic realm="p"`)
				w.WriteHeader(http.StatusProxyAuthRequired)
				return
			}
			if r.Method != http.MethodConnect {
				if r.Header.Get("Authorization") == "" {
					w.Header().Set("WWW-Authenticate", `Basic realm="o"`)
					w.WriteHeader(http.StatusUnauthorized)
					return
				}
				io.WriteString(w, "there")
				return
			}
			to, err := net.Dial("tcp", r.RequestURI)
			if err != nil {
				w.WriteHeader(http.StatusBadGateway)
				return
			}
			from, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				return
			}
			io.WriteString(from, "HTTP/1.1 200 Connection established\r\n\r\n")
			go io.Copy(to, from)
			io.Copy(from, to)
			to.Close()
			from.Close()
		})
		user, forProxy, forOrigin := "ann", "of-proxy", "of-origin"
		for refused, fault := range map[string]error{"": nil, via: errors.New("no such proxy"), origin: errors.New("no such server")} {
			if refused == origin && !secure {
				continue
			}
			atOrigin, atProxy = asked{}, asked{}
			l := &login.Login{Credentials: []bits.Credential{
				{Target: bits.AuthServer, Scheme: bits.Basic, User: &user, Password: &forOrigin},
				{Target: bits.AuthProxy, Scheme: bits.Basic, User: &user, Password: &forProxy},
			}}
			judge := func(at string) transport.Verify {
				return func(_ context.Context, endpoint string, _ tls.ConnectionState) error {
					if endpoint != at {
						t.Errorf("judged %s, and not %s", endpoint, at)
					}
					if at == refused {
						return fault
					}
					return nil
				}
			}
			tr := transport.New(context.Background(), transport.Config{
				Origin: judge(origin), Proxy: judge(via),
				Route: func(context.Context, *url.URL) ([]*url.URL, error) {
					return []*url.URL{{Scheme: "https", Host: via}}, nil
				},
				Logins: func(via *url.URL) transport.Answerer { return l.Proxy(via) },
			})
			u := &url.URL{Scheme: "http", Host: origin, Path: "/f"}
			tunnel := "GET " + u.String() + "|GET " + u.String() + " Basic|GET " + u.String() + " BasicBasic"
			direct := ""
			if secure {
				u.Scheme, tunnel, direct = "https", "CONNECT "+origin+"|CONNECT "+origin+" Basic", "GET /f|GET /f Basic"
			}
			switch refused {
			case via:
				tunnel, direct = "", ""
			case origin:
				direct = ""
			}
			r, err := http.NewRequestWithContext(login.With(context.Background(), &login.Request{Named: u}), "GET", u.String(), nil)
			if err != nil {
				t.Fatal(err)
			}
			answer, err := login.RoundTripper{Login: l, Base: tr}.RoundTrip(r)
			if (err == nil) != (fault == nil) || err == nil && answer.StatusCode != http.StatusOK {
				t.Errorf("%s, refused %q: %v, %v", u, refused, answer, err)
			}
			if err == nil {
				answer.Body.Close()
			}
			tr.Close()
			if atProxy.text() != tunnel || atOrigin.text() != direct {
				t.Errorf("%s, refused %q: the proxy has heard %s, the server %s", u, refused, atProxy.text(), atOrigin.text())
			}
		}
	}
}

// Every answer of success makes a tunnel, whatever its headers say of a body, also after answers that go before it; every other one is an
// error that names the proxy.
func TestAnswersToCONNECT(t *testing.T) {
	pair := pki.Root("root").Server([]string{"::1"})
	origin := serve(t, pair, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "there") })
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	via := &url.URL{Scheme: "http", User: url.UserPassword("ann", "s3cret"), Host: l.Addr().String()}
	for head, want := range map[string]hresult.Code{
		"HTTP/1.1 200 Connection established":                                          0,
		"HTTP/1.0 200 OK":                                                              0,
		"HTTP/1.1 200 OK\r\nContent-Length: 5":                                         0,
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked":                                0,
		"HTTP/1.1 201 Created\r\nContent-Length: 0":                                    0,
		"HTTP/1.1 204 No Content":                                                      0,
		"HTTP/1.1 299 Whatever\r\nConnection: close":                                   0,
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK": 0,
		"HTTP/1.1 101 Switching Protocols":                                             hresult.FromHTTPStatus(101),
		"HTTP/1.1 302 Found\r\nLocation: https://login.test/\r\nContent-Length: 0":     hresult.FromHTTPStatus(302),
		"HTTP/1.1 403 Forbidden\r\nContent-Length: 0":                                  hresult.FromHTTPStatus(403),
		"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0":              hresult.FromHTTPStatus(407),
		"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 3\r\n\r\nsad":                     hresult.FromHTTPStatus(502),
		"HTTP/1.1 503 Busy":                                                            hresult.FromHTTPStatus(503),
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello":                            hresult.ERROR_WINHTTP_INVALID_SERVER_RESPONSE,
		"SSH-2.0-OpenSSH_9.2":                                                          hresult.ERROR_WINHTTP_INVALID_SERVER_RESPONSE,
		"HTTP/1.1 200 OK\r\nA: " + strings.Repeat("x", 2<<20):                          hresult.ERROR_WINHTTP_HEADER_SIZE_OVERFLOW,
	} {
		go func() {
			here, err := l.Accept()
			if err != nil {
				return
			}
			defer here.Close()
			if _, err := http.ReadRequest(bufio.NewReader(here)); err != nil {
				return
			}
			if !strings.HasSuffix(head, "hello") && !strings.HasSuffix(head, "sad") {
				head += "\r\n\r\n"
			}
			if _, err := io.WriteString(here, head); err != nil || want != 0 {
				return
			}
			there, err := net.Dial("tcp", origin)
			if err != nil {
				return
			}
			defer there.Close()
			go io.Copy(there, here)
			io.Copy(here, there)
		}()
		tr := transport.New(context.Background(), transport.Config{
			Origin: func(context.Context, string, tls.ConnectionState) error { return nil },
			Route:  func(context.Context, *url.URL) ([]*url.URL, error) { return []*url.URL{via}, nil },
		})
		answer, err := (&http.Client{Transport: tr}).Get("https://" + origin + "/f")
		got := hresult.Code(0)
		if err != nil {
			e := bits.AsError(transport.Error(err, "f"))
			if got = e.Code; !strings.Contains(e.Message, "through the proxy http://"+via.Host) || strings.Contains(e.Message, "s3cret") || e.Context != bits.ContextRemoteFile {
				t.Errorf("%.60q: %v", head, e)
			}
		} else {
			answer.Body.Close()
		}
		if got != want {
			t.Errorf("%.60q: %v, %v; want %v", head, got, err, want)
		}
		tr.Close()
	}
}
