// Package certcheck decides whether a connection may be trusted.
//
// Phase one is the platform's verification, relaxed or narrowed by the security flags of the job ([Policy]).
// Phase two is the answer of the application, asked in mid-handshake and remembered for the job ([Check]).
// There is one way through it for every certificate: [Check.Connection].
package certcheck

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"net"
	"strings"

	"bits"
	"bits/hresult"
)

// Memory are the certificates that the application of a job accepted before.
type Memory interface {
	Accepted(ctx context.Context, endpoint string, sha256 [32]byte) (bool, error)
	Accept(ctx context.Context, endpoint string, sha256 [32]byte) error
}

// Asker asks the application of a job.
// Nil accepts; any error ends the connection.
type Asker interface {
	Ask(ctx context.Context, q Question) error
}

// Question is what the application must know.
type Question struct {
	Job      string
	File     int
	URL      string
	Endpoint string
	Chain    []*x509.Certificate // as the server sent it, leaf first
	Verified []*x509.Certificate // as phase one built it, leaf first, root last
}

// Check is what every connection to an origin must pass.
type Check struct {
	Policy
	Job      string
	Required bool // phase two is configured
	Memory   Memory
	Asker    Asker
}

// Connection passes judgement on one connection, before its handshake ends.
// The file and its URL are the ones that the connection is opened for.
func (c Check) Connection(ctx context.Context, endpoint string, cs tls.ConnectionState, file int, url string) error {
	host, _, err := net.SplitHostPort(endpoint)
	if err != nil {
		return err
	}
	chains, err := c.Verify(ctx, host, cs.PeerCertificates)
	if err != nil || !c.Required {
		return err
	}
	sum := sha256.Sum256(cs.PeerCertificates[0].Raw)
	if known, err := c.Memory.Accepted(ctx, endpoint, sum); err != nil || known {
		return err
	}
	if err := c.Asker.Ask(ctx, Question{
		Job: c.Job, File: file, URL: url, Endpoint: endpoint,
		Chain: cs.PeerCertificates, Verified: chains[0],
	}); err != nil {
		return err
	}
	return c.Memory.Accept(ctx, endpoint, sum)
}

// Endpoint is the key of a server in the memory: name:port, the name in lower case and without a final dot.
func Endpoint(host, port string) string {
	return net.JoinHostPort(strings.ToLower(strings.TrimSuffix(host, ".")), port)
}

// SerializedStore writes certificates as a serialized store, which CertOpenStore(CERT_STORE_PROV_SERIALIZED) reads.
// The format is in MS-OSHARED, section "Serialized Certificate Store".
func SerializedStore(certs []*x509.Certificate) []byte {
	const version, magic, certificate, encoding = 0, 0x54524543, 0x20, 1
	b := binary.LittleEndian.AppendUint32(nil, version)
	b = binary.LittleEndian.AppendUint32(b, magic)
	for _, c := range certs {
		b = binary.LittleEndian.AppendUint32(b, certificate)
		b = binary.LittleEndian.AppendUint32(b, encoding)
		b = binary.LittleEndian.AppendUint32(b, uint32(len(c.Raw)))
		b = append(b, c.Raw...)
	}
	return append(b, make([]byte, 12)...)
}

// refused makes the error of phase one for a certificate.
func refused(code hresult.Code, host string, cert *x509.Certificate, format string, args ...any) *bits.Error {
	const day = "2006-01-02 15:04:05Z"
	e := bits.Errorf(code, format, args...)
	e.Message = "cannot trust the certificate of " + host + ": " + e.Message +
		" (subject " + short(cert.Subject) + "; issuer " + short(cert.Issuer) +
		"; valid " + cert.NotBefore.UTC().Format(day) + " to " + cert.NotAfter.UTC().Format(day) + ")"
	return e.In(bits.ContextRemoteFile)
}

// short cuts a name that fills the screen.
func short(name pkix.Name) string {
	if s := []rune(name.String()); len(s) > 200 {
		return string(s[:200]) + "..."
	}
	return name.String()
}
