package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"bits"
	"bits/hresult"
	"bits/internal/pki"
)

// A server that says nothing is given up after HandshakeTime; the time in which the application thinks does not count.
func TestHandshakeTime(t *testing.T) {
	root := pki.Root("root")
	pair := root.Server([]string{"localhost"})
	for _, silent := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			tr := New(context.Background(), Config{Origin: func(context.Context, string, tls.ConnectionState) error {
				time.Sleep(10 * time.Minute)
				return nil
			}})
			defer tr.Close()
			here, there := net.Pipe()
			defer there.Close()
			if !silent {
				server := tls.Server(there, &tls.Config{Certificates: []tls.Certificate{pair.TLS()}})
				go func() {
					if server.Handshake() == nil {
						server.Read(make([]byte, 1)) // until the client goes
					}
				}()
			}
			began := time.Now()
			conn, err := tr.shake(context.Background(), here, "localhost:443", tr.origin, "http/1.1")
			took := time.Since(began)
			if conn != nil {
				defer there.Close()
				defer here.Close()
			}
			switch {
			case silent && (err == nil || took != HandshakeTime || !timeout(err)):
				t.Errorf("a silent server: %v after %v", err, took)
			case !silent && (err != nil || took < 10*time.Minute):
				t.Errorf("an application that thinks: %v after %v", err, took)
			}
		})
	}
}

// A server that takes the request and does not begin its answer is given up after HeaderTime; so is a proxy that is asked for a tunnel.
func TestHeaderTime(t *testing.T) {
	for _, remote := range []string{"http://origin.test/f", "https://origin.test/f"} {
		synctest.Test(t, func(t *testing.T) {
			tr := New(context.Background(), Config{Route: func(_ context.Context, u *url.URL) ([]*url.URL, error) {
				if u.Scheme == "http" {
					return []*url.URL{nil}, nil
				}
				return []*url.URL{{Scheme: "http", Host: "proxy.test"}}, nil
			}})
			defer tr.Close()
			here, there := net.Pipe()
			defer there.Close()
			go io.Copy(io.Discard, there)
			tr.dialer = func(context.Context, string, string) (net.Conn, error) { return here, nil }
			began := time.Now()
			_, err := (&http.Client{Transport: tr}).Get(remote)
			if e := bits.AsError(Error(err, remote)); e.Code != hresult.ERROR_WINHTTP_TIMEOUT || e.Context != bits.ContextRemoteFile || time.Since(began) != HeaderTime {
				t.Errorf("%s: %v %v after %v", remote, e.Code, e, time.Since(began))
			}
		})
	}
}

// A dial to a machine that does not answer is given up after ConnectTime.
func TestConnectTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := New(context.Background(), Config{})
		defer tr.Close()
		tr.dialer = func(ctx context.Context, _, _ string) (net.Conn, error) {
			<-ctx.Done()
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: ctx.Err()}
		}
		began := time.Now()
		_, err := (&http.Client{Transport: tr}).Get("http://origin.test/f")
		if e := bits.AsError(Error(err, "x")); e.Code != hresult.ERROR_WINHTTP_TIMEOUT || e.Context != bits.ContextRemoteFile || time.Since(began) != ConnectTime {
			t.Errorf("%v after %v", e, time.Since(began))
		}
	})
}

// Where time is short, a proxy that does not answer leaves a share of it to those after it; what is known of it others need not find out.
func TestShareOfTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(context.Background(), 9*time.Second)
		defer cancel()
		var dialled []string
		c := Config{
			Route: func(context.Context, *url.URL) ([]*url.URL, error) {
				return []*url.URL{{Scheme: "https", Host: "a.test"}, {Scheme: "http", Host: "b.test"}, {Scheme: "http", Host: "c.test"}}, nil
			},
			Dial: func(ctx context.Context, _, addr string) (net.Conn, error) {
				dialled = append(dialled, addr)
				here, there := net.Pipe()
				switch addr {
				case "a.test:443": // takes the connection, and says nothing
					go io.Copy(io.Discard, there)
					return here, nil
				case "b.test:80":
					<-ctx.Done()
					return nil, &net.OpError{Op: "dial", Net: "tcp", Err: ctx.Err()}
				}
				go func() {
					there.Read(make([]byte, 4<<10))
					io.WriteString(there, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
				}()
				return here, nil
			},
			Failed: new(Failed),
		}
		for _, want := range []time.Duration{6 * time.Second, 0} {
			tr, began := New(ctx, c), time.Now()
			answer, err := (&http.Client{Transport: tr}).Get("http://origin.test/f")
			if err != nil || answer.StatusCode != http.StatusNotFound || time.Since(began) != want {
				t.Errorf("%v, %v after %v", answer, err, time.Since(began))
			}
			tr.Close()
		}
		if got := strings.Join(dialled, " "); got != "a.test:443 b.test:80 c.test:80 c.test:80" {
			t.Error(got)
		}
	})
}

// A dial that is under way, and one that comes later, end with Close.
func TestCloseEndsDials(t *testing.T) {
	asked := make(chan bool)
	tr := New(context.Background(), Config{Origin: func(ctx context.Context, _ string, _ tls.ConnectionState) error {
		close(asked)
		<-ctx.Done()
		return context.Cause(ctx)
	}})
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pki.Root("root").Server([]string{"localhost"}).TLS()}})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		if c, err := l.Accept(); err == nil {
			c.(*tls.Conn).Handshake()
		}
	}()
	ended := make(chan error)
	go func() {
		_, err := tr.modern.DialTLSContext(context.Background(), "tcp", l.Addr().String())
		ended <- err
	}()
	<-asked
	go tr.Close()
	if err := <-ended; err == nil {
		t.Error("the dial went well")
	}
	tr.Close()
	if _, err := tr.modern.DialTLSContext(context.Background(), "tcp", l.Addr().String()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}
