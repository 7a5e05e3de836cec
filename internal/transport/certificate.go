package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"bits"

	"bits/hresult"
	"bits/internal/certcheck"
)

// Certificate finds the certificate that the job shows to an endpoint (name:port), when that asks for one; nil: it is shown none.
type Certificate func(ctx context.Context, endpoint string) (*tls.Certificate, error)

// party is the other side of a handshake.
type party struct {
	verify      Verify
	certificate Certificate // nil: it is shown none
	needs       error       // that it demands one
	newest      uint16      // version of TLS; 0: that of this program
}

// asker is one who asks for a certificate of ours: a server, or a proxy, at an address.
type asker struct {
	addr  string
	needs error
}

var (
	errCertificateNeeded      = errors.New("the server demands a client certificate")
	errCertificateRefused     = errors.New("the server has refused the client certificate")
	errProxyCertificateNeeded = errors.New("the proxy demands a client certificate")
)

// alertTime is how long is waited for an alert.
const alertTime = time.Second

// show answers somebody who asks for a certificate; who is shown none may go on without.
func (t *Transport) show(ctx context.Context, addr, endpoint string, to party) (*tls.Certificate, error) {
	var found *tls.Certificate
	var err error
	if to.certificate != nil {
		found, err = to.certificate(ctx, endpoint)
	}
	t.asked.Store(asker{addr, to.needs}, found != nil)
	if found == nil {
		found = new(tls.Certificate)
	}
	return found, err
}

// demanded says of an alert of somebody who has asked for a certificate that it is about that.
func (t *Transport) demanded(addr string, by party, err error) error {
	shown, asked := t.asked.Load(asker{addr, by.needs})
	switch {
	case !asked || !anyAlert(err):
		return err
	case shown.(bool):
		_, alert, _ := strings.Cut(err.Error(), "remote error: tls: ")
		return fmt.Errorf("%w: %s%w", errCertificateRefused, alert, silent{err})
	}
	return fmt.Errorf("%w: %w", by.needs, err)
}

// silent is an error that is there, and not read out.
type silent struct{ error }

func (silent) Error() string   { return "" }
func (s silent) Unwrap() error { return s.error }

// refusal finds out whether a server that has asked for a certificate of ours broke off for want of it.
// With TLS 1.3 it says so after the handshake, in an alert that net/http may lose: another connection, without a request, hears it.
func (t *Transport) refusal(ctx context.Context, addr string, err error) error {
	if _, asked := t.asked.Load(asker{addr, t.origin.needs}); !asked || ctx.Err() != nil {
		return err
	}
	if anyAlert(err) {
		return t.demanded(addr, t.origin, err)
	}
	conn, derr := t.modern.DialTLSContext(ctx, "tcp", addr)
	if derr != nil {
		return err
	}
	defer conn.Close()
	conn.SetReadDeadline(time.Now().Add(alertTime))
	if _, rerr := conn.Read(make([]byte, 1)); rerr != nil && anyAlert(rerr) {
		return t.demanded(addr, t.origin, rerr)
	}
	return err
}

// asksLate reports whether a server may have wanted a certificate of ours that it could not ask for any more: only when it has read the
// path does it know that it wants one. TLS 1.2 shakes hands anew then, which HTTP/2 forbids; what TLS 1.3 has for it Go does not.
func (t *Transport) asksLate(addr string, r *http.Request, answer *http.Response, err error) bool {
	if t.origin.certificate == nil || hasBody(r) || r.Context().Err() != nil {
		return false
	}
	if _, asked := t.asked.Load(asker{addr, t.origin.needs}); asked {
		return false
	}
	if err != nil && !http1Required(err) {
		return false
	}
	if host, port, err := net.SplitHostPort(addr); err != nil {
		return false
	} else if found, err := t.origin.certificate(r.Context(), certcheck.Endpoint(host, port)); found == nil && err == nil {
		return false
	}
	return err != nil || answer.StatusCode == http.StatusForbidden && answer.TLS != nil && (answer.TLS.Version == tls.VersionTLS13 || answer.ProtoMajor == 2)
}

// tooNew is the error of a server that may want a certificate, and speaks nothing in which we could be asked for it.
func tooNew(u *url.URL) error {
	return bits.Errorf(hresult.BG_E_HTTP_ERROR_403, "cannot fetch %s: the server answered 403 Forbidden, and it speaks TLS 1.3 alone, in which it cannot ask us for a certificate for this path", u).
		In(bits.ContextRemoteFile).WithHint("if it wants the client certificate: let it ask for that in every handshake, or speak TLS 1.2 too")
}
