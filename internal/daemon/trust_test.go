package daemon

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"bits"
	"bits/internal/certcheck"
	"bits/internal/pki"
	"bits/internal/transport"
)

// However a proxy is silent, the fetch of a list ends in time, and leaves nothing behind; so it does where the list that a proxy needs must
// come through that proxy.
func TestListsEndInTime(t *testing.T) {
	root := pki.Root("root")
	job := &bits.Job{Roots: string(root.PEM()), SecurityFlags: bits.CheckRevocation}
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	// It shakes hands with everybody, and answers nothing.
	pair := root.Server([]string{"127.0.0.1"}, func(c *x509.Certificate) { c.CRLDistributionPoints = []string{"http://lists.test/a.crl"} })
	mute := secureListener(t, pair)
	for _, via := range []*url.URL{
		{Scheme: "http", Host: silent.Addr().String()}, {Scheme: "https", Host: silent.Addr().String()}, {Scheme: "socks5h", Host: silent.Addr().String()},
		{Scheme: "https", Host: mute},
	} {
		for _, at := range []string{"http://lists.test/b.crl", "https://lists.test/b.crl"} {
			var log lines
			of, _ := listsOf(rulesOf(job, certcheck.NewCRLCache(t.TempDir())), &log, func() int { return -1 }, transport.Config{
				Route:  func(context.Context, *url.URL) ([]*url.URL, error) { return []*url.URL{via}, nil },
				Logins: func(*url.URL) transport.Answerer { return nil },
			})
			ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
			if err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			if answer, err := of.RoundTrip(r); err == nil || time.Since(began) > 20*time.Second { // the limits of a connection are longer
				t.Errorf("%s through %s: %v, %v after %v", at, via, answer, err, time.Since(began))
			}
			cancel()
		}
	}
}

// A list that begins, and does not go on, ends in time too, and one that nobody reads leaves no connection.
func TestListThatStalls(t *testing.T) {
	gone := make(chan bool, 2)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Write([]byte("begun"))
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		gone <- true
	}))
	defer server.Close()
	of, _ := listsOf(rulesOf(&bits.Job{}, certcheck.NewCRLCache(t.TempDir())), new(lines), func() int { return -1 }, transport.Config{})
	for _, reads := range []bool{true, false} {
		ctx, cancel := context.WithCancel(context.Background())
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := of.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		if reads {
			io.ReadFull(answer.Body, make([]byte, len("begun")))
			cancel()
			if _, err := io.ReadAll(answer.Body); err == nil {
				t.Error("it has come")
			}
		}
		answer.Body.Close()
		<-gone
		cancel()
	}
}

// secureListener shakes hands, and answers nothing.
func secureListener(t *testing.T, pair *pki.Pair) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				io.Copy(io.Discard, tls.Server(c, &tls.Config{Certificates: []tls.Certificate{pair.TLS()}}))
			}()
		}
	}()
	return l.Addr().String()
}
