// Package transport makes the connections of one run of one job.
//
// A Transport is never shared between jobs, and a new one is made for each run: connections, TLS sessions and cookies cannot leak from
// a job that trusts a server to one that does not, nor from the rules of yesterday to those of today.
// Every certificate, also of a resumed or tunnelled connection, goes the same way: tls.Config.VerifyConnection, before the handshake ends.
package transport

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"time"

	"bits"
	"bits/internal/certcheck"
	"bits/internal/fileserver"
	"bits/internal/netmon"
)

// Timeouts of a connection.
const (
	ConnectTime   = 60 * time.Second
	offlineTime   = 2 * time.Second  // instead of ConnectTime, on a machine without a network; what is near answers sooner
	HandshakeTime = 30 * time.Second // without the time the application takes for its verdict
	HeaderTime    = 120 * time.Second
	headerSize    = 1 << 20
	readSize      = 256 << 10 // few large reads under TLS halve the CPU time
)

// keepAlive notices a path that has gone silent within a minute, also where no byte is awaited soon.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 15 * time.Second, Count: 3}

// Verify checks the certificate of an endpoint (name:port) during the handshake.
type Verify func(ctx context.Context, endpoint string, cs tls.ConnectionState) error

// Transport is an http.RoundTripper.
type Transport struct {
	ctx    context.Context
	cancel context.CancelFunc
	origin party
	proxy  party
	route  Route
	failed *Failed
	logins func(via *url.URL) Answerer
	dialer func(ctx context.Context, network, addr string) (net.Conn, error)
	asked  sync.Map // who asks for a certificate of ours: asker to whether one was shown
	files  *fileserver.Server

	modern http.Transport // for https: dials, tunnels and shakes hands by itself
	http1  http.Transport // the same, without HTTP/2
	older  http.Transport // the same, with TLS 1.2: only there can a server ask for a certificate late
	speaks sync.Map       // addresses to one of these, if it is not modern

	mu     sync.Mutex
	closed bool
	plain  map[string]*http.Transport // for http, by the proxy
	conns  map[*tracked]bool
	dials  sync.WaitGroup
	asking int // dials that have no connection yet
}

// Config is what the connections of a run go by.
type Config struct {
	Origin Verify                                                            // of the servers of the job
	Proxy  Verify                                                            // of proxies that are reached over TLS
	Route  Route                                                             // nil: no proxies at all
	Dial   func(ctx context.Context, network, addr string) (net.Conn, error) // nil: the system's

	Certificate Certificate                                                                          // nil: none is shown to anybody
	Share       func(ctx context.Context, server *url.URL, kerberos bool) (*fileserver.Login, error) // for shares; nil: as a guest
	Logins      func(via *url.URL) Answerer                                                          // answers a proxy that asks for a login; nil, or a nil one: nobody
	Failed      *Failed                                                                              // what is known to several; nil: to this one alone
}

// Answerer sends a request with the authorizations that a proxy asks for, one after another, over the same connection.
// Refused says why an answer still asks for one.
type Answerer interface {
	Do(ctx context.Context, method, uri string, send func(authorization string, http1 bool) (*http.Response, error)) (answer *http.Response, refused *bits.Error, err error)
}

// Route finds the way to a URL: proxies that are tried in order, where nil is a direct connection.
type Route func(ctx context.Context, u *url.URL) ([]*url.URL, error)

// New makes the Transport of a run.
// Every connection ends with ctx at the latest.
func New(ctx context.Context, c Config) *Transport {
	t := &Transport{route: c.Route, logins: c.Logins, conns: map[*tracked]bool{}, plain: map[string]*http.Transport{}, failed: c.Failed}
	t.origin = party{verify: c.Origin, certificate: c.Certificate, needs: errCertificateNeeded}
	t.proxy = party{verify: c.Proxy, needs: errProxyCertificateNeeded}
	t.ctx, t.cancel = context.WithCancel(ctx)
	if t.route == nil {
		t.route = func(context.Context, *url.URL) ([]*url.URL, error) { return []*url.URL{nil}, nil }
	}
	if t.failed == nil {
		t.failed = new(Failed)
	}
	if t.dialer = c.Dial; t.dialer == nil {
		t.dialer = (&net.Dialer{KeepAliveConfig: keepAlive}).DialContext
	}
	t.files = fileserver.New(fileserver.Config{Dial: t.dial, Login: c.Share})
	t.speak(&t.modern, 0, "h2", "http/1.1")
	t.modern.ForceAttemptHTTP2 = true
	// No larger frames than all servers send: lighttpd (1.4.69) that is told to send slowly falls silent when it may make larger ones.
	t.modern.HTTP2 = &http.HTTP2Config{MaxReceiveBufferPerStream: 8 << 20, MaxReceiveBufferPerConnection: 16 << 20}
	t.speak(&t.http1, 0, "http/1.1")
	t.speak(&t.older, tls.VersionTLS12, "http/1.1")
	return t
}

func common(h *http.Transport) {
	h.ResponseHeaderTimeout = HeaderTime
	h.ReadBufferSize = 64 << 10
	h.MaxResponseHeaderBytes = headerSize
	h.DisableCompression = true
	h.IdleConnTimeout = 60 * time.Second
}

// speak makes what speaks https, in these protocols and no newer version of TLS.
func (t *Transport) speak(h *http.Transport, newest uint16, protocols ...string) {
	common(h)
	h.DialTLSContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		return t.dialOrigin(ctx, network, addr, newest, protocols...)
	}
}

// RoundTrip sends one request.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	switch r.URL.Scheme {
	case "https":
	case "file", "smb":
		return t.file(r)
	default:
		return t.roundTripPlain(r)
	}
	addr, by := address(r.URL), &t.modern
	if other, ok := t.speaks.Load(address(r.URL)); ok {
		by = other.(*http.Transport)
	}
	answer, err := trip(by, r)
	if by != &t.older && t.asksLate(addr, r, answer, err) {
		if answer != nil {
			answer.Body.Close()
		}
		t.speaks.Store(addr, &t.older)
		if answer, err = trip(&t.older, r); err != nil && alert(70)(err) {
			err = tooNew(r.URL)
		}
	} else if by == &t.modern && err != nil && http1Required(err) && !hasBody(r) {
		t.HTTP1(r.URL)
		answer, err = trip(&t.http1, r)
	}
	if err != nil {
		err = t.refusal(r.Context(), addr, err)
	}
	return answer, err
}

func address(u *url.URL) string { return net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), "443")) }

// HTTP1 makes later requests to the origin of a URL go over HTTP/1.1.
func (t *Transport) HTTP1(u *url.URL) { t.speaks.LoadOrStore(address(u), &t.http1) }

// trip sends a request, and once more if what came over a connection that was in use before is no answer: bytes too many behind the
// answer before are none.
func trip(h *http.Transport, r *http.Request) (*http.Response, error) {
	used := false
	ctx := httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{GotConn: func(c httptrace.GotConnInfo) { used = c.Reused }})
	answer, err := h.RoundTrip(r.WithContext(ctx))
	if err != nil && used && noHTTP(err) && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
		answer, err = h.RoundTrip(r)
	} else if err == nil {
		answer.Request = r
		answer, err = oneLength(answer)
	}
	return answer, err
}

func hasBody(r *http.Request) bool { return r.Body != nil && r.Body != http.NoBody }

// oneLength refuses an answer that tells several lengths, or one that is no number. In HTTP/1.1 net/http does so, but in HTTP/2, where such
// an answer is malformed too (RFC 9110, section 8.6; RFC 9113, section 8.1.1), it passes over them.
func oneLength(a *http.Response) (*http.Response, error) {
	for _, length := range a.Header["Content-Length"] {
		if _, err := strconv.ParseUint(length, 10, 63); err != nil || length != a.Header["Content-Length"][0] {
			a.Body.Close()
			return nil, fmt.Errorf("bad Content-Length %q", a.Header["Content-Length"])
		}
	}
	return a, nil
}

// Close ends every connection and waits until no dial and no handshake is under way.
func (t *Transport) Close() {
	t.mu.Lock()
	t.closed = true
	t.cancel()
	conns, spoken := slices.Collect(maps.Keys(t.conns)), slices.Collect(maps.Values(t.plain))
	t.mu.Unlock()
	for _, c := range conns {
		c.Close()
	}
	t.files.Close()
	t.dials.Wait()
	for _, h := range append(spoken, &t.modern, &t.http1, &t.older) {
		h.CloseIdleConnections()
	}
}

// begin counts a dial, unless the Transport is closed.
// The context returned ends with the request's and with the run's: net/http detaches its dials from both.
func (t *Transport) begin(ctx context.Context) (context.Context, func(), error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil, nil, net.ErrClosed
	}
	t.dials.Add(1)
	merged, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(t.ctx, func() { cancel(context.Cause(t.ctx)) })
	return merged, func() { stop(); cancel(nil); t.dials.Done() }, nil
}

func (t *Transport) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	ctx, end, err := t.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	most := ConnectTime
	if hurry, ok := ctx.Value(hurried{}).(time.Duration); ok {
		most = hurry
	}
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	ctx, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	patience := time.AfterFunc(offlineTime, func() {
		if !netmon.Online() {
			giveUp(errOffline)
		}
	})
	defer patience.Stop()
	t.count(1)
	conn, err := t.dialer(ctx, network, addr)
	t.count(-1)
	if err != nil {
		if cause := context.Cause(ctx); cause == errOffline {
			return nil, cause
		}
		return nil, err
	}
	c := &tracked{Conn: conn, t: t}
	if !t.track(c) {
		conn.Close()
		return nil, net.ErrClosed
	}
	return c, nil
}

// track notes a connection, unless the Transport is closed.
func (t *Transport) track(c *tracked) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.closed {
		t.conns[c] = true
	}
	return !t.closed
}

func (t *Transport) count(by int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.asking += by
}

// Dialing reports whether a connection is being made: a name resolved, or an answer awaited.
func (t *Transport) Dialing() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.asking > 0
}

// From reports whether there is a connection from one of these addresses of this machine to another machine.
func (t *Transport) From(is func(netip.Addr) bool) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for c := range t.conns {
		local, ok := c.LocalAddr().(*net.TCPAddr)
		remote, known := c.RemoteAddr().(*net.TCPAddr)
		if !ok || !known || local.IP.IsLoopback() || local.IP.Equal(remote.IP) {
			continue
		}
		if is(local.AddrPort().Addr().Unmap().WithZone("")) {
			return true
		}
	}
	return false
}

// tracked forgets itself when it is closed.
type tracked struct {
	net.Conn
	t *Transport
}

func (c *tracked) Close() error {
	c.t.mu.Lock()
	delete(c.t.conns, c)
	c.t.mu.Unlock()
	return c.Conn.Close()
}

// dialOrigin connects to the origin, through the proxy's tunnel if there is one, and shakes hands with the origin.
func (t *Transport) dialOrigin(ctx context.Context, network, addr string, newest uint16, protocols ...string) (net.Conn, error) {
	ctx, end, err := t.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	route, err := t.route(ctx, &url.URL{Scheme: "https", Host: addr})
	if err != nil {
		return nil, err
	}
	conn, err := along(ctx, t, route, func(ctx context.Context, via *url.URL) (net.Conn, error) { return t.reach(ctx, network, via, addr) })
	if err != nil {
		return nil, err
	}
	of := t.origin
	of.newest = newest
	return t.shake(ctx, conn, addr, of, protocols...)
}

// shake does the TLS handshake.
// The endpoint is the address that was dialled; the party's verify runs in the middle of the handshake, and an error of it ends the connection
// before a byte of a request is sent.
func (t *Transport) shake(ctx context.Context, conn net.Conn, addr string, with party, protocols ...string) (net.Conn, error) {
	ctx, end, err := t.begin(ctx)
	if err != nil {
		conn.Close()
		return nil, err
	}
	defer end()
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		conn.Close()
		return nil, err
	}
	endpoint := certcheck.Endpoint(host, port)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	most := HandshakeTime
	if hurry, ok := ctx.Value(hurried{}).(time.Duration); ok { // with a proxy, and there are others
		most = min(most, hurry)
	}
	patience := time.AfterFunc(most, func() { cancel(&timeoutError{"the TLS handshake took longer than " + most.String()}) })
	defer patience.Stop()
	secure := tls.Client(&buffered{Conn: conn, r: bufio.NewReaderSize(conn, readSize)}, &tls.Config{
		ServerName: host,
		NextProtos: protocols,
		MinVersion: tls.VersionTLS12,
		MaxVersion: with.newest,

		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			patience.Stop()
			defer patience.Reset(most)
			return t.show(ctx, addr, endpoint, with)
		},
		Renegotiation:      tls.RenegotiateOnceAsClient, // the certificate of the server must stay the same in it
		InsecureSkipVerify: true,                        // VerifyConnection does it, for every connection and in full
		VerifyConnection: func(cs tls.ConnectionState) error {
			patience.Stop()
			defer patience.Reset(most)
			return with.verify(ctx, endpoint, cs)
		},
	})
	if err := secure.HandshakeContext(ctx); err != nil {
		conn.Close()
		if cause := context.Cause(ctx); cause != nil {
			return nil, cause
		}
		return nil, fmt.Errorf("TLS handshake with %s: %w", endpoint, t.demanded(addr, with, err))
	}
	return secure, nil
}

var errOffline = errors.New("this machine has no network")

// timeoutError is a net.Error that is a timeout.
type timeoutError struct{ text string }

func (e *timeoutError) Error() string   { return e.text }
func (e *timeoutError) Timeout() bool   { return true }
func (e *timeoutError) Temporary() bool { return true }

// ErrStalled is the cause of a request that was given up because no byte came.
func ErrStalled(after time.Duration) error {
	return &timeoutError{"no byte came for " + after.String()}
}

// buffered gives TLS large reads.
type buffered struct {
	net.Conn
	r *bufio.Reader
}

func (c *buffered) Read(p []byte) (int, error) { return c.r.Read(p) }
