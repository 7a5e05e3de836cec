package bitstest

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"bits"
	"bits/internal/pki"
)

// JSON is a value as JSON.
func JSON(v any) bits.RawMessage {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return text
}

// Content is n bytes that are the same for the same seed.
func Content(seed byte, n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{seed}).Read(b)
	return b
}

// Origin is a web server in the test's process, over HTTP and HTTPS, that the test can make behave badly.
type Origin struct {
	Root     *pki.Pair
	URL      string       // of HTTPS, by the name localhost
	Plain    string       // of HTTP
	Requests atomic.Int64 // that reached a handler
	Shaken   atomic.Int64 // TLS handshakes that ended well

	mu      sync.Mutex
	leaf    *pki.Pair
	pages   map[string]http.HandlerFunc
	conns   map[net.Conn]bool
	methods []string
}

// NewOrigin starts an origin whose certificate is for localhost and 127.0.0.1.
// Each change may alter the configuration of TLS.
func NewOrigin(t testing.TB, changes ...func(*tls.Config)) *Origin {
	t.Helper()
	o := &Origin{Root: pki.Root("test authority"), pages: map[string]http.HandlerFunc{}, conns: map[net.Conn]bool{}}
	o.leaf = o.Root.Server([]string{"localhost", "127.0.0.1"})
	config := &tls.Config{
		NextProtos: []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			o.mu.Lock()
			defer o.mu.Unlock()
			pair := o.leaf.TLS()
			return &pair, nil
		},
	}
	for _, change := range changes {
		change(config)
	}
	o.URL = "https://localhost:" + o.listen(t, config)
	o.Plain = "http://127.0.0.1:" + o.listen(t, nil)
	return o
}

// Listen makes the origin listen for HTTPS at one more port, and returns its URL.
func (o *Origin) Listen(t testing.TB, leaf func() *pki.Pair) string {
	return "https://localhost:" + o.listen(t, &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		pair := leaf().TLS()
		return &pair, nil
	}})
}

func (o *Origin) listen(t testing.TB, config *tls.Config) (port string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ = net.SplitHostPort(l.Addr().String())
	server := &http.Server{
		Handler:  o,
		ErrorLog: log.New(io.Discard, "", 0),
		ConnState: func(c net.Conn, s http.ConnState) {
			o.mu.Lock()
			defer o.mu.Unlock()
			switch s {
			case http.StateNew:
				o.conns[c] = true
			case http.StateActive:
				if config != nil {
					o.Shaken.Add(1)
				}
			case http.StateClosed:
				delete(o.conns, c)
			}
		},
		TLSConfig: config,
	}
	if config == nil {
		go server.Serve(l)
	} else {
		go server.ServeTLS(l, "", "")
	}
	t.Cleanup(func() { server.Close() })
	return port
}

// ServeHTTP serves the page that was set for a path.
func (o *Origin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o.Requests.Add(1)
	o.mu.Lock()
	page := o.pages[r.URL.Path]
	o.methods = append(o.methods, r.Method+" "+r.URL.Path+" "+r.Header.Get("Range"))
	o.mu.Unlock()
	if page == nil {
		http.NotFound(w, r)
		return
	}
	page(w, r)
}

// Seen are the requests so far: method, path, range.
func (o *Origin) Seen() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]string(nil), o.methods...)
}

// Page sets what is at a path.
func (o *Origin) Page(path string, page http.HandlerFunc) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.pages[path] = page
}

// File puts a file at a path, with a strong ETag and ranges.
func (o *Origin) File(path string, data []byte) {
	etag := fmt.Sprintf(`"%d-%x"`, len(data), data[:min(len(data), 8)])
	o.Page(path, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", etag)
		http.ServeContent(w, r, "", time.Now().Add(-time.Hour), bytes.NewReader(data))
	})
}

// Gate is a file whose bytes from a number on come when the gate is opened; negative: not even the header comes before.
// The gate opens by itself when the client goes.
func (o *Origin) Gate(path string, data []byte, from int) (open func()) {
	gate := make(chan struct{})
	etag := fmt.Sprintf(`"g%d"`, len(data))
	o.Page(path, func(w http.ResponseWriter, r *http.Request) {
		wait := func() {
			select {
			case <-gate:
			case <-r.Context().Done():
			}
		}
		if from < 0 {
			wait()
		}
		w.Header().Set("ETag", etag)
		select {
		case <-gate:
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
			return
		default:
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(data)))
		w.Header().Set("Accept-Ranges", "bytes")
		w.Write(data[:max(from, 0)])
		w.(http.Flusher).Flush()
		wait()
		w.Write(data[max(from, 0):])
	})
	return sync.OnceFunc(func() { close(gate) })
}

// Leaf is the certificate that the origin shows now.
func (o *Origin) Leaf() *pki.Pair {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.leaf
}

// Show makes the origin show another certificate on new connections.
func (o *Origin) Show(leaf *pki.Pair) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.leaf = leaf
}

// Drop closes every connection.
func (o *Origin) Drop() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for c := range o.conns {
		c.Close()
	}
}

// Trust are the properties of a job that trusts the origin's authority and tries again after a second.
func (o *Origin) Trust() map[string]any {
	return map[string]any{"roots": string(o.Root.PEM()), "backoff": bits.Backoff{First: 1, Max: 1}}
}

// Judge is an application that judges certificates and remembers what it was asked.
type Judge struct {
	mu      sync.Mutex
	asked   []bits.Question
	Verdict func(context.Context, bits.Question) error // nil: accept
}

// ValidateServerCertificate implements client.ServerCertificateValidationCallback.
func (j *Judge) ValidateServerCertificate(ctx context.Context, q bits.Question) error {
	j.mu.Lock()
	j.asked = append(j.asked, q)
	verdict := j.Verdict
	j.mu.Unlock()
	if verdict == nil {
		return nil
	}
	return verdict(ctx, q)
}

// Asked are the questions so far.
func (j *Judge) Asked() []bits.Question {
	j.mu.Lock()
	defer j.mu.Unlock()
	return append([]bits.Question(nil), j.asked...)
}
