package bitstest

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"bits"
	"bits/internal/pki"
)

// Origin is a web server in the test's process, over HTTP and HTTPS, with an authority of its own, that the test can make behave badly.
// Its methods may be called from several goroutines.
type Origin struct {
	URL   string // of HTTPS, by the name localhost: "https://localhost:1234"
	Plain string // of HTTP: "http://127.0.0.1:1235"

	t    testing.TB
	root *pki.Pair
	tls  *tls.Config
	file func() string

	mu     sync.Mutex
	leaf   tls.Certificate
	pages  map[string]http.HandlerFunc
	faults map[string][]Fault
	conns  map[net.Conn]bool
	seen   []string
	shaken int
}

// NewOrigin starts an origin, which ends with the test.
// Its certificate is for localhost and 127.0.0.1, from an authority that nobody trusts yet: see [Origin.Trust].
// Each change may alter the configuration of TLS: the versions, HTTP/2, client certificates.
func NewOrigin(t testing.TB, changes ...func(*tls.Config)) *Origin {
	t.Helper()
	o := &Origin{
		t: t, root: pki.Root("test authority"),
		pages: map[string]http.HandlerFunc{}, faults: map[string][]Fault{}, conns: map[net.Conn]bool{},
	}
	o.file = sync.OnceValue(func() string {
		name := filepath.Join(t.TempDir(), "roots.pem")
		Must(t, os.WriteFile(name, o.root.PEM(), 0o600))
		return name
	})
	o.Certify()
	o.tls = &tls.Config{
		NextProtos: []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			o.mu.Lock()
			defer o.mu.Unlock()
			leaf := o.leaf
			return &leaf, nil
		},
	}
	for _, change := range changes {
		change(o.tls)
	}
	o.URL = o.Listen()
	o.Plain = "http://127.0.0.1:" + o.listen(nil)
	return o
}

// Listen makes the origin listen for HTTPS at one more port, and returns its URL: to the service that is another server.
func (o *Origin) Listen() string { return "https://localhost:" + o.listen(o.tls.Clone()) }

func (o *Origin) listen(config *tls.Config) (port string) {
	o.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	Must(o.t, err)
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
					o.shaken++
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
	o.t.Cleanup(func() { server.Close() })
	return port
}

// ServeHTTP serves the page that was set for a path, with the fault whose turn it is.
func (o *Origin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	page := o.pages[r.URL.Path]
	o.seen = append(o.seen, r.Method+" "+r.URL.Path+" "+r.Header.Get("Range"))
	var fault Fault
	if turn := o.faults[r.URL.Path]; len(turn) > 0 {
		if fault = turn[0]; !fault.always {
			o.faults[r.URL.Path] = turn[1:]
		}
	}
	o.mu.Unlock()
	if page == nil {
		page = http.NotFound
	}
	if fault.serve != nil {
		fault.serve(w, r, page)
		return
	}
	page(w, r)
}

// Seen are the requests so far: method, path and range, as "GET /f bytes=1000-".
func (o *Origin) Seen() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.seen)
}

// Requests is the number of requests so far.
func (o *Origin) Requests() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.seen)
}

// Handshakes is the number of TLS handshakes so far that ended well.
func (o *Origin) Handshakes() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.shaken
}

// Page sets what is at a path, instead of what was there.
func (o *Origin) Page(path string, page http.HandlerFunc) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.pages[path] = page
}

// File puts a file at a path, instead of what was there.
// It has a strong ETag, which is another one for other data, a time that is an hour old, and ranges.
func (o *Origin) File(path string, data []byte) {
	sum := sha256.Sum256(data)
	etag, at := fmt.Sprintf(`"%x"`, sum[:8]), time.Now().Add(-time.Hour)
	o.Page(path, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", etag)
		http.ServeContent(w, r, "", at, bytes.NewReader(data))
	})
}

// Gate is a file whose bytes from a number on come when the gate is opened; negative: not even the header comes before.
// A request ends without them when its client goes.
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

// Drop closes every connection.
func (o *Origin) Drop() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for c := range o.conns {
		c.Close()
	}
}

// Trust are the properties of a job that trusts the origin's authority and no other, and that tries again a second after a failure.
// The map is the caller's, who may change it.
func (o *Origin) Trust() map[string]any {
	return map[string]any{"roots": string(o.Roots()), "backoff": bits.Backoff{First: 1, Max: 1}}
}
