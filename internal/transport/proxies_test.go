package transport_test

import (
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
