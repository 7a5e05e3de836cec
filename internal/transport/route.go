package transport

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"sync"
	"time"

	socks "golang.org/x/net/proxy"

	"bits"
	"bits/hresult"
	"bits/internal/proxy"
)

const (
	// failoverTime is how long a proxy may take for a connection if there is another way to try.
	failoverTime = 15 * time.Second
	// grudge is how long a proxy that could not be reached is tried after the others.
	grudge = 5 * time.Minute
	// maxPlain is how many proxies have idle connections at once.
	maxPlain = 16
)

// viaError is why a way could not be used: nothing was sent to the server.
type viaError struct {
	via *url.URL
	err error
}

func (e *viaError) Error() string { return e.err.Error() }
func (e *viaError) Unwrap() error { return e.err }

// Timeout is asked for by url.Error, which does not look behind it.
func (e *viaError) Timeout() bool { return timeout(e.err) }

// along tries the ways of a route until one can be used. What failed lately is tried after the others.
// An answer of a proxy, and a certificate that cannot be trusted, are verdicts and no failures: they end it.
func along[T any](ctx context.Context, t *Transport, route []*url.URL, try func(context.Context, *url.URL) (T, error)) (got T, err error) {
	route = t.failed.order(route)
	for i, via := range route {
		last := i == len(route)-1
		if got, err = try(context.WithValue(ctx, hurried{}, t.hurry(ctx, len(route)-i)), via); err == nil {
			return got, nil
		}
		var verdict *bits.Error
		var failed *viaError
		if last || !errors.As(err, &failed) || errors.As(err, &verdict) || ctx.Err() != nil {
			return got, err
		}
		if via != nil {
			t.failed.add(via)
		}
	}
	return got, err
}

// hurried is the key of a context that says how long a dial may take.
type hurried struct{}

// hurry is how long the first of so many ways may take for a connection: where time is short, each gets its share of it.
func (t *Transport) hurry(ctx context.Context, ways int) time.Duration {
	if ways == 1 {
		return ConnectTime
	}
	most := failoverTime
	for _, c := range []context.Context{ctx, t.ctx} {
		if end, ok := c.Deadline(); ok {
			most = min(most, time.Until(end)/time.Duration(ways))
		}
	}
	return most
}

// Failed remembers the proxies that could not be reached, so that others are tried before them.
type Failed struct {
	mu sync.Mutex
	at map[string]time.Time
}

func (f *Failed) add(via *url.URL) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.at == nil {
		f.at = map[string]time.Time{}
	}
	f.at[proxy.Name(via)] = time.Now()
}

// order puts what failed lately behind the rest.
func (f *Failed) order(route []*url.URL) []*url.URL {
	f.mu.Lock()
	defer f.mu.Unlock()
	failed := func(via *url.URL) int {
		if at, ok := f.at[proxy.Name(via)]; ok && time.Since(at) < grudge {
			return 1
		}
		return 0
	}
	return slices.SortedStableFunc(slices.Values(route), func(a, b *url.URL) int { return failed(a) - failed(b) })
}

// reach connects to addr by one way. Every error but a verdict is a viaError.
func (t *Transport) reach(ctx context.Context, network string, via *url.URL, addr string) (conn net.Conn, err error) {
	switch {
	case via == nil:
		conn, err = t.dial(ctx, network, addr)
	case proxy.SOCKS(via):
		conn, err = t.dialSOCKS(ctx, network, via, addr)
	default:
		conn, err = t.tunnel(ctx, network, via, addr)
	}
	if err != nil {
		return nil, &viaError{via, err}
	}
	return conn, nil
}

// dialSOCKS connects to addr through a SOCKS server. With socks5 the name is resolved here, with socks5h there.
func (t *Transport) dialSOCKS(ctx context.Context, network string, via *url.URL, addr string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	if _, err := netip.ParseAddr(host); via.Scheme == "socks5" && err != nil {
		found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		if err != nil {
			return nil, err
		}
		addr = net.JoinHostPort(found[0].Unmap().String(), port)
	}
	var login *socks.Auth
	if via.User != nil {
		password, _ := via.User.Password()
		login = &socks.Auth{User: via.User.Username(), Password: password}
	}
	d, err := socks.SOCKS5(network, proxy.Address(via), login, forward{t})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, HeaderTime)
	defer cancel()
	conn, err := d.(socks.ContextDialer).DialContext(ctx, network, addr)
	if err != nil {
		return nil, socksFault(via, addr, err)
	}
	return conn, nil
}

// forward is the Transport as what a SOCKS client dials with.
type forward struct{ t *Transport }

func (f forward) Dial(network, addr string) (net.Conn, error) {
	return f.DialContext(f.t.ctx, network, addr)
}

func (f forward) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	return f.t.dial(ctx, network, addr)
}

// socksFaults are what a SOCKS server can say (RFC 1928 section 6, RFC 1929 section 2), as the library words it.
var socksFaults = []struct {
	text string
	code hresult.Code
	why  string
}{
	{"username/password authentication failed", hresult.FromHTTPStatus(http.StatusProxyAuthRequired), "it refuses the login"},
	{"no acceptable authentication methods", hresult.FromHTTPStatus(http.StatusProxyAuthRequired), "it wants a login"},
	{"invalid username/password", hresult.FromHTTPStatus(http.StatusProxyAuthRequired), "the login is longer than SOCKS can carry"},
	{"not allowed by ruleset", hresult.FromHTTPStatus(http.StatusForbidden), "its rules do not allow the connection"},
	{"unexpected protocol version", hresult.ERROR_WINHTTP_INVALID_SERVER_RESPONSE, "it does not speak SOCKS 5"},
	{"unreachable", hresult.ERROR_WINHTTP_CANNOT_CONNECT, "it cannot reach the server"},
	{"connection refused", hresult.ERROR_WINHTTP_CANNOT_CONNECT, "the server refuses the connection"},
	{"TTL expired", hresult.ERROR_WINHTTP_CANNOT_CONNECT, "it cannot reach the server"},
	{"general SOCKS server failure", hresult.ERROR_WINHTTP_CANNOT_CONNECT, "it cannot reach the server, and does not say why"},
}

// socksFault tells what a SOCKS server has said from a server that could not be reached or asked.
func socksFault(via *url.URL, addr string, err error) error {
	var op *net.OpError
	if !errors.As(err, &op) || op.Op != "socks connect" {
		return err
	}
	var dial *net.OpError
	if errors.As(op.Err, &dial) {
		return op.Err // the server itself
	}
	for _, f := range socksFaults {
		if contains(f.text)(op.Err) {
			return bits.Errorf(f.code, "cannot reach %s through the proxy %s: %s", addr, proxy.Name(via), f.why).In(bits.ContextRemoteFile)
		}
	}
	return op.Err
}

// roundTripPlain sends a request for an http URL.
func (t *Transport) roundTripPlain(r *http.Request) (*http.Response, error) {
	route, err := t.route(r.Context(), r.URL)
	if err != nil {
		return nil, err
	}
	used := false
	return along(r.Context(), t, route, func(ctx context.Context, via *url.URL) (*http.Response, error) {
		next := r.WithContext(ctx)
		if used && r.GetBody != nil {
			if next.Body, err = r.GetBody(); err != nil {
				return nil, err
			}
		}
		used = true
		return t.plainLogin(via, next)
	})
}

// plainLogin sends a request for an http URL by one way, and logs in to the proxy on it.
func (t *Transport) plainLogin(via *url.URL, r *http.Request) (*http.Response, error) {
	if via == nil || proxy.SOCKS(via) {
		return trip(t.plainVia(via), r)
	}
	answer, refused, err := t.answerer(via).Do(r.Context(), r.Method, r.URL.String(), func(authorization string, _ bool) (*http.Response, error) {
		again := r.Clone(r.Context()) // a RoundTripper changes no request of others
		if authorization != "" {
			again.Header.Set("Proxy-Authorization", authorization)
		}
		return trip(t.plainVia(via), again)
	})
	if refused != nil {
		answer.Body.Close()
		return nil, refused
	}
	return answer, err
}

// plainVia is what sends requests for http URLs by one way. Each proxy has its own, so that no connection is taken for one of another.
func (t *Transport) plainVia(via *url.URL) *http.Transport {
	key := ""
	if via != nil {
		key = via.String()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if h := t.plain[key]; h != nil {
		return h
	}
	for other := range t.plain {
		if len(t.plain) < maxPlain {
			break
		}
		delete(t.plain, other) // its idle connections end by themselves
	}
	h := new(http.Transport)
	common(h)
	dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := t.dial(ctx, network, addr)
		if err != nil {
			return nil, &viaError{via, err}
		}
		return conn, nil
	}
	h.DialContext = dial
	switch {
	case proxy.SOCKS(via):
		h.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			return t.reach(ctx, network, via, addr)
		}
	case via != nil:
		bare := *via // net/http would show its login before anybody asks
		bare.User = nil
		h.Proxy = http.ProxyURL(&bare)
		h.DialTLSContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := dial(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			if conn, err = t.shake(ctx, conn, addr, t.proxy, "http/1.1"); err != nil {
				return nil, &viaError{via, err}
			}
			return conn, nil
		}
	}
	t.plain[key] = h
	return h
}
