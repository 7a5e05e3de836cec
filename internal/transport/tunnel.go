package transport

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"bits"
	"bits/hresult"
	"bits/internal/proxy"
)

// tunnel asks the proxy for a tunnel to addr, and logs in if the proxy wants it. All of that goes over one connection, as long as the
// proxy keeps it open.
func (t *Transport) tunnel(ctx context.Context, network string, via *url.URL, addr string) (net.Conn, error) {
	c := &connecting{t: t, network: network, via: via, addr: addr}
	answer, refused, err := t.answerer(via).Do(ctx, http.MethodConnect, addr, func(authorization string, _ bool) (*http.Response, error) {
		return c.send(ctx, authorization)
	})
	if err == nil && refused != nil {
		err = refused
	} else if err == nil {
		err = c.refusal(answer)
	}
	if err != nil {
		c.close()
		return nil, err
	}
	c.conn.SetDeadline(time.Time{})
	return c.conn, nil
}

// refusal is why an answer is no tunnel: any status of success makes one (RFC 9110, section 9.3.6), and nobody speaks in it before we do.
func (c *connecting) refusal(answer *http.Response) error {
	code, why := hresult.FromHTTPStatus(answer.StatusCode), "it answered "+answer.Status
	switch {
	case answer.StatusCode/100 == 3:
		why += ", and where it sends us to is not the server"
	case answer.StatusCode/100 != 2:
	case c.r.Buffered() > 0:
		code, why = hresult.ERROR_WINHTTP_INVALID_SERVER_RESPONSE, why+" with a page in the place of a tunnel"
	default:
		return nil
	}
	return bits.Errorf(code, "cannot reach %s through the proxy %s: %s", c.addr, proxy.Name(c.via), why).In(bits.ContextRemoteFile).
		WithHint("the proxy says so, and not the server; bits proxy explain URL --job JOB says why it is used")
}

func (t *Transport) answerer(via *url.URL) Answerer {
	if t.logins != nil {
		if a := t.logins(via); a != nil {
			return a
		}
	}
	return nobody{}
}

// nobody has no login.
type nobody struct{}

func (nobody) Do(_ context.Context, _, _ string, send func(string, bool) (*http.Response, error)) (*http.Response, *bits.Error, error) {
	answer, err := send("", false)
	return answer, nil, err
}

// connecting is a connection to a proxy until it is a tunnel.
type connecting struct {
	t       *Transport
	network string
	via     *url.URL
	addr    string

	conn net.Conn
	r    *bufio.Reader
	more *io.LimitedReader
	last *http.Response
}

func (c *connecting) close() {
	if c.conn != nil {
		c.conn.Close()
		c.conn = nil
	}
}

func (c *connecting) dial(ctx context.Context) error {
	at := proxy.Address(c.via)
	conn, err := c.t.dial(ctx, c.network, at)
	if err == nil && c.via.Scheme == "https" {
		conn, err = c.t.shake(ctx, conn, at, c.t.proxy, "http/1.1")
	}
	if err != nil {
		return err
	}
	c.conn, c.more = conn, &io.LimitedReader{R: conn}
	c.r = bufio.NewReader(c.more)
	return nil
}

// send asks once. The answer before was read to its end, or its connection is not used again.
func (c *connecting) send(ctx context.Context, authorization string) (*http.Response, error) {
	if c.last != nil && (c.last.Close || c.last.ContentLength < 0 && len(c.last.TransferEncoding) == 0) {
		c.close()
	}
	if c.conn == nil {
		if err := c.dial(ctx); err != nil {
			return nil, err
		}
	}
	conn := c.conn
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	conn.SetDeadline(time.Now().Add(HeaderTime))
	request := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: c.addr}, Host: c.addr, Header: http.Header{}}
	if authorization != "" {
		request.Header.Set("Proxy-Authorization", authorization)
	}
	if err := request.Write(conn); err != nil {
		return nil, err
	}
	c.more.N = headerSize
	answer, err := http.ReadResponse(c.r, request)
	for err == nil && answer.StatusCode/100 == 1 && answer.StatusCode != http.StatusSwitchingProtocols {
		answer, err = http.ReadResponse(c.r, request) // one that goes before; all of them have the room of one
	}
	if err != nil && c.more.N <= 0 {
		return nil, fmt.Errorf("server response headers exceeded %d bytes", headerSize) // as net/http says it
	} else if err != nil {
		return nil, c.t.demanded(proxy.Address(c.via), c.t.proxy, err)
	}
	c.last = answer
	return answer, nil
}
