package demo

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"bits/internal/pki"
)

const (
	originSize = 256 << 20
	originRate = 32 << 20 // bytes a second
)

// origin is the web server of the demonstration.
type origin struct {
	url      string
	root     *pki.Pair
	server   *http.Server
	sent     atomic.Int64
	requests atomic.Int64

	mu    sync.Mutex
	leaf  *pki.Pair
	conns map[net.Conn]bool
}

func newOrigin() (*origin, error) {
	o := &origin{root: pki.Root("bits demo authority"), conns: map[net.Conn]bool{}}
	o.leaf = o.root.Server([]string{"localhost"})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	o.url = "https://localhost:" + port
	o.server = &http.Server{
		Handler:  http.HandlerFunc(o.serve),
		ErrorLog: log.New(io.Discard, "", 0),
		ConnState: func(c net.Conn, s http.ConnState) {
			o.mu.Lock()
			defer o.mu.Unlock()
			if s == http.StateNew {
				o.conns[c] = true
			} else if s == http.StateClosed {
				delete(o.conns, c)
			}
		},
		TLSConfig: &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			o.mu.Lock()
			defer o.mu.Unlock()
			pair := o.leaf.TLS()
			return &pair, nil
		}},
	}
	go o.server.ServeTLS(listener, "", "")
	return o, nil
}

func (o *origin) close() { o.server.Close() }

// fingerprint is the SHA-256 of the certificate that the server shows now.
func (o *origin) fingerprint() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	sum := sha256.Sum256(o.leaf.Cert.Raw)
	return hex.EncodeToString(sum[:])
}

// drop closes every connection.
func (o *origin) drop() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for c := range o.conns {
		c.Close()
	}
}

// rotate takes a new certificate and closes every connection.
func (o *origin) rotate() {
	leaf := o.root.Server([]string{"localhost"})
	o.mu.Lock()
	o.leaf = leaf
	o.mu.Unlock()
	o.drop()
}

func (o *origin) serve(w http.ResponseWriter, r *http.Request) {
	o.requests.Add(1)
	n := int64(originSize)
	if r.URL.Path == "/update.img" {
		n /= 2
	}
	w.Header().Set("ETag", `"demo-1"`)
	http.ServeContent(&slow{ResponseWriter: w, o: o, began: time.Now()}, r, "", time.Time{}, newContent(n))
}

// slow limits the rate of an answer.
type slow struct {
	http.ResponseWriter
	o     *origin
	began time.Time
	n     int64
}

func (s *slow) Write(p []byte) (int, error) {
	n, err := s.ResponseWriter.Write(p)
	s.n += int64(n)
	s.o.sent.Add(int64(n))
	time.Sleep(time.Until(s.began.Add(time.Duration(s.n) * time.Second / originRate)))
	return n, err
}

// content is a file of pseudo-random bytes that is not stored anywhere.
type content struct{ size, at int64 }

func newContent(size int64) *content { return &content{size: size} }

const contentBlock = 1 << 12

func (c *content) Read(p []byte) (int, error) {
	if c.at >= c.size {
		return 0, io.EOF
	}
	n := 0
	for n < len(p) && c.at < c.size {
		var seed [32]byte
		binary.LittleEndian.PutUint64(seed[:], uint64(c.at/contentBlock))
		var block [contentBlock]byte
		rand.NewChaCha8(seed).Read(block[:])
		m := copy(p[n:], block[c.at%contentBlock:])
		m = int(min(int64(m), c.size-c.at))
		n, c.at = n+m, c.at+int64(m)
	}
	return n, nil
}

func (c *content) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += c.at
	case io.SeekEnd:
		offset += c.size
	}
	if offset < 0 {
		return 0, errors.New("cannot seek before the beginning")
	}
	c.at = offset
	return offset, nil
}
