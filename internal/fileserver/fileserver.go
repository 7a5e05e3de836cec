// Package fileserver answers requests for files of this machine (file:) and of shares (smb:) as a good web server would.
//
// So there is one path of a byte, and one set of rules for going on, whatever the source is: an answer has ranges, a size, a date and a
// strong ETag, which is the identity of the file. The identity is looked at again after each piece that is read, before the piece is given
// away: an answer holds bytes of one version, or it breaks off.
package fileserver

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"time"

	"bits"
	"bits/hresult"
)

// rest is how long a file must have been left alone for its identity to prove anything: clocks of file systems tick slowly.
const rest = 2 * time.Second

// How much is read at a time, before it is looked whether the file is still the same. Nobody gets a byte of it before that, so it must not
// take long.
const (
	leastPiece = 64 << 10
	firstPiece = 256 << 10
	mostLocal  = 1 << 20
	mostShare  = 4 << 20 // there the looking costs more
)

// pieceAfter is how much is read at a time after a piece that took some time.
func pieceAfter(size, most int64, took time.Duration) int64 {
	switch {
	case took < time.Second:
		return min(2*size, most)
	case took > 4*time.Second:
		return max(size/2, leastPiece)
	}
	return size
}

// file is a file that is open.
type file interface {
	io.ReaderAt
	io.Closer
	// identify tells which version there is now; after a reading it sees every change from before the end of that.
	identify() (identity, error)
}

// identity is what tells versions of a file apart.
type identity struct {
	size     int64
	modified time.Time
	changed  time.Time     // the last change of any kind, as far as it is known
	ahead    time.Duration // how far the clock of these times is ahead of ours
	is       string        // all that there is
}

// Server is an http.RoundTripper for the schemes file and smb. It takes GET and HEAD.
// Errors are *bits.Error where they are of the file or the share; those of the network are as they came.
type Server struct {
	shares shares
}

// Config is what a Server needs.
type Config struct {
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// Login finds what a server of shares is shown; kerberos: it offers that. Nil, also in the answer: as a guest.
	Login func(ctx context.Context, server *url.URL, kerberos bool) (*Login, error)
}

// New makes a Server. It is closed with Close.
func New(c Config) *Server { return &Server{shares: shares{config: c, idle: map[string][]*session{}}} }

// Close ends the connections to shares.
func (s *Server) Close() { s.shares.close() }

// RoundTrip answers one request.
func (s *Server) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return nil, bits.Errorf(hresult.BG_E_NOT_SUPPORTED_WITH_CUSTOM_HTTP_METHOD, "cannot use the method %s with %s: it is a file", r.Method, r.URL).In(bits.ContextRemoteFile)
	}
	ctx, cancel := context.WithCancel(r.Context())
	f, is, err := s.open(ctx, r.URL)
	if err != nil {
		cancel()
		return nil, err
	}
	in, out := io.Pipe()
	a := &answer{head: http.Header{}, out: out, begun: make(chan struct{})}
	served := make(chan struct{})
	stop := context.AfterFunc(ctx, func() { out.CloseWithError(context.Cause(ctx)) })
	go func() {
		defer close(served)
		defer f.Close()
		c := &content{file: f, name: r.URL, is: is, size: firstPiece, most: mostLocal}
		if r.URL.Scheme != "file" {
			c.most = mostShare
		}
		a.serve(r, c)
		stop()
	}()
	<-a.begun
	left := a.length()
	if r.Method == http.MethodHead {
		left = 0
	}
	return &http.Response{
		Status: fmt.Sprintf("%d %s", a.code, http.StatusText(a.code)), StatusCode: a.code, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: a.head, ContentLength: a.length(), Body: &body{in, left, served, r.Context().Done(), cancel}, Request: r,
	}, nil
}

// open opens a file, and tells which version it is. One of this machine may be on a disk that does not answer, and nothing ends that
// waiting: it is left alone.
func (s *Server) open(ctx context.Context, u *url.URL) (file, identity, error) {
	type opened struct {
		f   file
		is  identity
		err error
	}
	got := make(chan opened, 1)
	go func() {
		var o opened
		if u.Scheme == "file" {
			o.f, o.err = openLocal(u)
		} else {
			o.f, o.err = s.shares.file(ctx, u)
		}
		if o.err == nil {
			if o.is, o.err = o.f.identify(); o.err != nil {
				o.f.Close()
			}
		}
		got <- o
	}()
	patience := time.NewTimer(2 * openTime) // a share has its own
	defer patience.Stop()
	var err error
	select {
	case o := <-got:
		return o.f, o.is, o.err
	case <-ctx.Done():
		err = context.Cause(ctx)
	case <-patience.C:
		err = bits.Errorf(hresult.ERROR_SEM_TIMEOUT, "cannot fetch %s: the disk did not answer for %s", u, 2*openTime).In(bits.ContextRemoteFile)
	}
	go func() {
		if o := <-got; o.err == nil {
			o.f.Close()
		}
	}()
	return nil, identity{}, err
}

// body ends the reading when it is closed. Once all of it was read, it waits for the file to be closed: then the next request finds the
// session in order.
type body struct {
	*io.PipeReader
	left   int64 // less than 0: nobody knows
	served <-chan struct{}
	over   <-chan struct{}
	cancel context.CancelFunc
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.PipeReader.Read(p)
	b.left -= int64(n)
	return n, err
}

func (b *body) Close() error {
	if b.left == 0 {
		select {
		case <-b.served:
		case <-b.over:
		}
	}
	b.cancel()
	return b.PipeReader.Close()
}

// etag is the identity as an ETag; a weak one, which proves nothing, if the file was touched just now.
func etag(is identity, now time.Time) string {
	now = now.Add(is.ahead)
	sum := sha256.Sum256([]byte(is.is))
	tag := `"` + hex.EncodeToString(sum[:16]) + `"`
	if now.Sub(is.modified) < rest || !is.changed.IsZero() && now.Sub(is.changed) < rest {
		return "W/" + tag
	}
	return tag
}

// answer is an http.ResponseWriter for http.ServeContent.
type answer struct {
	head  http.Header
	code  int
	out   *io.PipeWriter
	begun chan struct{}
	once  sync.Once
}

func (a *answer) Header() http.Header { return a.head }

func (a *answer) WriteHeader(code int) {
	a.once.Do(func() {
		a.code = code
		close(a.begun)
	})
}

func (a *answer) Write(b []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return a.out.Write(b)
}

// length is the length of the body, -1 if it is not told.
func (a *answer) length() int64 {
	n, err := strconv.ParseInt(a.head.Get("Content-Length"), 10, 64)
	if err != nil {
		return -1
	}
	return n
}

func (a *answer) serve(r *http.Request, c *content) {
	now := time.Now()
	a.head.Set("Date", now.UTC().Format(http.TimeFormat))
	a.head.Set("Content-Type", "application/octet-stream")
	a.head.Set("ETag", etag(c.is, now))
	http.ServeContent(a, r, "", c.is.modified, c)
	a.WriteHeader(http.StatusOK)
	a.out.CloseWithError(c.failure) // nil is the end
}

// content is what http.ServeContent reads: pieces of a file that were looked at.
type content struct {
	file    file
	name    *url.URL
	is      identity
	size    int64 // of the next piece
	most    int64
	at      int64
	piece   []byte
	start   int64 // of the piece
	failure error
}

// ErrChanged is in the end of an answer whose file changed while it was read.
var ErrChanged = errors.New("the file was changed while it was read")

func (c *content) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += c.at
	case io.SeekEnd:
		offset += c.is.size
	}
	if offset < 0 {
		return 0, errors.New("there is nothing before the file")
	}
	c.at = offset
	return offset, nil
}

func (c *content) Read(p []byte) (int, error) {
	switch {
	case c.failure != nil:
		return 0, c.failure
	case c.at >= c.is.size:
		return 0, io.EOF
	case c.at < c.start || c.at >= c.start+int64(len(c.piece)):
		if c.failure = c.next(); c.failure != nil {
			return 0, c.failure
		}
	}
	n := copy(p, c.piece[c.at-c.start:])
	c.at += int64(n)
	return n, nil
}

// next reads a piece, and then looks whether the file is still the same.
func (c *content) next() error {
	began := time.Now()
	c.start = c.at
	want := min(c.size, c.is.size-c.at)
	c.piece = slices.Grow(c.piece[:0], int(want))[:want]
	n, err := c.file.ReadAt(c.piece, c.at)
	c.piece = c.piece[:n]
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	now, err := c.file.identify()
	c.size = pieceAfter(c.size, c.most, time.Since(began))
	switch {
	case err != nil:
		return err
	case now.is != c.is.is || n == 0:
		return &bits.Error{
			Code: hresult.ERROR_WINHTTP_CONNECTION_ERROR, Context: bits.ContextRemoteFile, Err: ErrChanged,
			Message: fmt.Sprintf("cannot fetch %s: %v", c.name, ErrChanged),
		}
	}
	return nil
}
