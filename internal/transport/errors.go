package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/textproto"
	"strings"
	"syscall"

	"bits"
	"bits/hresult"
	"bits/internal/netmon"
	"bits/internal/proxy"
)

// faults maps what goes wrong between us and a server to codes; the first row that fits decides.
// Sources: the WinHTTP error messages page, and RFC 8446 section 6 for the alerts.
var faults = []struct {
	fits func(error) bool
	code hresult.Code
	why  string // in the place of Go's words, where those are not for people
}{
	{offline, hresult.BG_E_NETWORK_DISCONNECTED, "this machine has no network"},
	{noName, hresult.ERROR_WINHTTP_NAME_NOT_RESOLVED, ""},
	{is(syscall.EMFILE), hresult.ERROR_NO_SYSTEM_RESOURCES, "the service has too many files and connections open"},
	{is(syscall.ENFILE), hresult.ERROR_NO_SYSTEM_RESOURCES, "this machine has too many files and connections open"},
	{is(syscall.ENOBUFS), hresult.ERROR_NO_SYSTEM_RESOURCES, "the system has no room for another connection"},
	{is(syscall.ENOMEM), hresult.E_OUTOFMEMORY, "there is not enough memory"},
	{is(syscall.ECONNREFUSED), hresult.ERROR_WINHTTP_CANNOT_CONNECT, "the connection was refused"},
	{is(syscall.EHOSTUNREACH), hresult.ERROR_WINHTTP_CANNOT_CONNECT, "there is no route to the host"},
	{is(syscall.ENETUNREACH), hresult.ERROR_WINHTTP_CANNOT_CONNECT, "the network is unreachable"},
	{is(syscall.EACCES), hresult.ERROR_WINHTTP_CANNOT_CONNECT, "the system does not allow the connection"},
	{is(syscall.EPERM), hresult.ERROR_WINHTTP_CANNOT_CONNECT, "the system does not allow the connection"},
	{is(syscall.EHOSTDOWN), hresult.ERROR_WINHTTP_CANNOT_CONNECT, "the host is down"},
	{is(syscall.EADDRNOTAVAIL), hresult.ERROR_WINHTTP_CANNOT_CONNECT, ""},
	{is(syscall.ENETDOWN), hresult.BG_E_NETWORK_DISCONNECTED, "the network is down"},
	{alert(112), hresult.ERROR_WINHTTP_SECURE_CERT_CN_INVALID, "the server does not know that name"},
	{is(errProxyCertificateNeeded), hresult.ERROR_WINHTTP_CLIENT_AUTH_CERT_NEEDED_PROXY, errProxyCertificateNeeded.Error()},
	{is(errCertificateRefused), hresult.ERROR_WINHTTP_CLIENT_AUTH_CERT_NEEDED, ""},
	{alert(42, 43, 44, 45, 46, 48, 49, 116), hresult.ERROR_WINHTTP_CLIENT_AUTH_CERT_NEEDED, "the server demands a client certificate"},
	{is(errCertificateNeeded), hresult.ERROR_WINHTTP_CLIENT_AUTH_CERT_NEEDED, errCertificateNeeded.Error()},
	{anyAlert, hresult.ERROR_WINHTTP_SECURE_CHANNEL_ERROR, ""},
	{as[tls.RecordHeaderError], hresult.ERROR_WINHTTP_SECURE_CHANNEL_ERROR, "the server does not speak TLS"},
	{timeout, hresult.ERROR_WINHTTP_TIMEOUT, ""},
	{is(syscall.ECONNRESET), hresult.ERROR_WINHTTP_CONNECTION_ERROR, "the server closed the connection (reset)"},
	{is(syscall.EPIPE), hresult.ERROR_WINHTTP_CONNECTION_ERROR, "the server closed the connection"},
	{is(syscall.ECONNABORTED), hresult.ERROR_WINHTTP_CONNECTION_ERROR, "the connection was aborted"},
	{is(io.ErrUnexpectedEOF), hresult.ERROR_WINHTTP_CONNECTION_ERROR, "the server closed the connection in mid-transfer"},
	{is(io.EOF), hresult.ERROR_WINHTTP_CONNECTION_ERROR, "the server closed the connection without an answer"},
	{contains("server response headers exceeded", "response header list larger than advertised limit"), hresult.ERROR_WINHTTP_HEADER_SIZE_OVERFLOW, ""},
	{contains("malformed chunked encoding", "invalid byte in chunk length", "chunked line ends with bare LF", "http chunk length too large", "header line too long"), hresult.ERROR_WINHTTP_CHUNKED_ENCODING_HEADER_SIZE_OVERFLOW, ""},
	{as[textproto.ProtocolError], hresult.ERROR_WINHTTP_INVALID_SERVER_RESPONSE, ""},
	{contains("bad Content-Length", "multiple Content-Length", "unsupported transfer encoding", "too many transfer encodings"), hresult.ERROR_WINHTTP_INVALID_SERVER_RESPONSE, ""},
	{contains("connection error: COMPRESSION_ERROR", "connection error: FLOW_CONTROL_ERROR", "connection error: FRAME_SIZE_ERROR", "connection error: PROTOCOL_ERROR", "; PROTOCOL_ERROR"), hresult.ERROR_WINHTTP_INVALID_SERVER_RESPONSE, "the server breaks the rules of HTTP/2"},
	{contains("failed to parse Location header"), hresult.ERROR_WINHTTP_REDIRECT_FAILED, ""},
	{noHTTP, hresult.ERROR_WINHTTP_INVALID_SERVER_RESPONSE, ""},
	{contains("failed to parse certificate from server", "x509: "), hresult.ERROR_WINHTTP_SECURE_INVALID_CERT, ""},
	{contains("server selected unsupported protocol version", "tls: "), hresult.ERROR_WINHTTP_SECURE_CHANNEL_ERROR, ""},
	{func(error) bool { return true }, hresult.ERROR_WINHTTP_CONNECTION_ERROR, ""},
}

var noHTTP = contains("malformed HTTP", "malformed MIME header")

// http1Required is how a server refuses HTTP/2 for what it was asked (RFC 9113, section 7).
var http1Required = contains("HTTP_1_1_REQUIRED")

// Error says what went wrong with a request, as an error of the remote file.
// An error of ours inside, a certificate verdict for example, comes out unchanged, and so does the end of the context.
func Error(err error, remote string) error {
	var ours *bits.Error
	if errors.As(err, &ours) {
		return ours
	}
	if errors.Is(err, context.Canceled) {
		return err
	}
	for _, f := range faults {
		if f.fits(err) {
			why := f.why
			if why == "" {
				why = innermost(err)
			}
			through := ""
			var failed *viaError
			if errors.As(err, &failed) && failed.via != nil {
				through = " through the proxy " + proxy.Name(failed.via)
			}
			e := bits.Errorf(f.code, "cannot fetch %s%s: %s", remote, through, why).In(bits.ErrorContext(f.code.Context()))
			if through != "" {
				e = e.WithHint("bits proxy explain URL --job JOB says why that proxy is used")
			}
			e.Err = err
			return e
		}
	}
	return err
}

// innermost drops the wrappers of net/http, which repeat the URL.
func innermost(err error) string {
	text := err.Error()
	var dns *net.DNSError
	if errors.As(err, &dns) {
		return "the name " + dns.Name + " cannot be resolved: " + dns.Err
	}
	if _, after, ok := strings.Cut(text, "\": "); ok {
		return after
	}
	return text
}

func is(target error) func(error) bool {
	return func(err error) bool { return errors.Is(err, target) }
}

func as[T error](err error) bool {
	var t T
	return errors.As(err, &t)
}

func contains(texts ...string) func(error) bool {
	return func(err error) bool {
		for _, t := range texts {
			if strings.Contains(err.Error(), t) {
				return true
			}
		}
		return false
	}
}

// offline reports whether no connection could be made because this machine has no network but its own.
func offline(err error) bool {
	var op *net.OpError
	silent := errors.As(err, &op) && op.Op == "dial" && timeout(err)
	for _, fits := range []func(error) bool{is(errOffline), noName, is(syscall.ENETUNREACH), is(syscall.EHOSTUNREACH), is(syscall.EADDRNOTAVAIL)} {
		silent = silent || fits(err)
	}
	return silent && !netmon.Online()
}

func noName(err error) bool {
	var dns *net.DNSError
	return errors.As(err, &dns)
}

func timeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout() || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, syscall.ETIMEDOUT)
}

func anyAlert(err error) bool { return as[tls.AlertError](err) || contains("remote error: tls:")(err) }

// alert recognises an alert that the server sent.
// Go does not export the type of a received alert outside QUIC, so its text is compared.
func alert(numbers ...uint8) func(error) bool {
	return func(err error) bool {
		for _, n := range numbers {
			if strings.HasSuffix(err.Error(), "remote error: "+tls.AlertError(n).Error()) { // some texts begin with another
				return true
			}
		}
		return false
	}
}
