package certcheck

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"bits"
	"bits/hresult"
)

// Policy is phase one: the platform's verification as the security flags say.
type Policy struct {
	Flags bits.SecurityFlags
	Roots *Roots
	Now   func() time.Time // nil: time.Now
	CRLs  *CRLCache        // needed with bits.CheckRevocation
	// Lists fetches what is not in CRLs; needed with bits.CheckRevocation. It must not check revocation by a Policy that fetches in the same way.
	Lists http.RoundTripper
}

// defects are what flags can forgive, in the order in which they are reported when there are several.
// The rank is ours; the flags and codes are from SetSecurityFlags and the WinHTTP error messages page.
var defects = []struct {
	flag bits.SecurityFlags
	code hresult.Code
	text string
}{
	{bits.IgnoreUnknownCA, hresult.ERROR_WINHTTP_SECURE_INVALID_CA, "no trusted authority stands behind it"},
	{bits.IgnoreCertName, hresult.ERROR_WINHTTP_SECURE_CERT_CN_INVALID, "it is made for another name"},
	{bits.IgnoreCertDate, hresult.ERROR_WINHTTP_SECURE_CERT_DATE_INVALID, "it, or an authority behind it, is outside its dates"},
	{bits.IgnoreCertUsage, hresult.ERROR_WINHTTP_SECURE_CERT_WRONG_USAGE, "it is not made for a server"},
}

const forgivable = bits.IgnoreUnknownCA | bits.IgnoreCertName | bits.IgnoreCertDate | bits.IgnoreCertUsage

// maxSent is how many certificates a server may send: a bound on the work that a hostile one can cause.
const maxSent = 32

// Verify checks the chain that a host sent, leaf first, and returns the chains that lead to a root.
// Each flag forgives its own defect and nothing else; a broken signature, a weak algorithm, a name constraint, a path length or a
// malformed certificate is forgiven by none.
func (p Policy) Verify(ctx context.Context, host string, sent []*x509.Certificate) ([][]*x509.Certificate, error) {
	if len(sent) == 0 {
		return nil, bits.Errorf(hresult.ERROR_WINHTTP_SECURE_INVALID_CERT, "cannot trust %s: it sent no certificate", host).In(bits.ContextRemoteFile)
	}
	if len(sent) > maxSent {
		return nil, refused(hresult.ERROR_WINHTTP_SECURE_INVALID_CERT, host, sent[0], "%d certificates came with it, and %d are allowed", len(sent)-1, maxSent-1)
	}
	chains, err := p.verify(host, sent, p.Flags&forgivable)
	if err != nil {
		return nil, p.explain(host, sent, err)
	}
	if p.Flags&bits.CheckRevocation == 0 {
		return chains, nil
	}
	return p.unrevoked(ctx, host, chains)
}

// explain finds out what is wrong, by asking what must be forgiven for the chain to pass.
func (p Policy) explain(host string, sent []*x509.Certificate, err error) error {
	_, hopeless := p.verify(host, sent, forgivable)
	for _, d := range defects {
		if p.Flags&d.flag != 0 || hopeless != nil && d.flag != bits.IgnoreCertName {
			continue
		}
		if _, why := p.verify(host, sent, forgivable&^d.flag); why != nil && (hopeless == nil || sent[0].VerifyHostname(trimmed(host)) != nil) {
			return refused(d.code, host, sent[0], "%s: %s", d.text, reason(why))
		}
	}
	if hopeless != nil {
		return refused(hresult.ERROR_WINHTTP_SECURE_INVALID_CERT, host, sent[0], "it breaks a rule that no flag forgives: %s", reason(hopeless))
	}
	return refused(hresult.ERROR_WINHTTP_SECURE_FAILURE, host, sent[0], "several things are wrong with it: %s", reason(err))
}

// reason drops Go's prefix and the hint that it adds to an unknown authority.
func reason(err error) string {
	text, _, _ := strings.Cut(err.Error(), " (possibly because of")
	return strings.TrimPrefix(text, "x509: ")
}

func trimmed(host string) string { return strings.TrimSuffix(host, ".") }

// verify is one verification with the defects of some flags forgiven.
func (p Policy) verify(host string, sent []*x509.Certificate, forgive bits.SecurityFlags) ([][]*x509.Certificate, error) {
	leaf := sent[0]
	now := time.Now()
	if p.Now != nil {
		now = p.Now()
	}
	top, err := p.top(sent)
	if err != nil {
		return nil, err
	}
	if forgive&bits.IgnoreCertName == 0 {
		if err := leaf.VerifyHostname(trimmed(host)); err != nil {
			return nil, err
		}
	}
	opts := x509.VerifyOptions{Roots: p.Roots.pool, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	if forgive&bits.IgnoreCertUsage != 0 {
		opts.KeyUsages = []x509.ExtKeyUsage{x509.ExtKeyUsageAny}
	}
	times := []time.Time{now}
	used := sent
	if forgive&bits.IgnoreCertDate != 0 {
		// The dates of all that we hold are taken away. Roots that only the system holds keep theirs: for them some moment at which
		// something below was valid is tried.
		used = dateless(sent)
		if len(p.Roots.certs) > 0 {
			opts.Roots = x509.NewCertPool()
			for _, root := range dateless(p.Roots.certs) {
				opts.Roots.AddCert(root)
			}
		}
		for _, c := range sent {
			times = append(times, c.NotBefore, c.NotAfter)
		}
	}
	if forgive&bits.IgnoreUnknownCA != 0 {
		opts.Roots = opts.Roots.Clone()
		for i, c := range sent {
			if c == top {
				opts.Roots.AddCert(used[i])
			}
		}
	}
	opts.Intermediates = x509.NewCertPool()
	for _, c := range used[1:] {
		opts.Intermediates.AddCert(c)
	}
	var first error
	for _, opts.CurrentTime = range times {
		chains, err := used[0].Verify(opts)
		if err == nil {
			return originals(chains, sent, p.Roots.certs), nil
		}
		if first == nil {
			first = err
		}
		if invalid := new(x509.CertificateInvalidError); !errors.As(err, invalid) || invalid.Reason != x509.Expired {
			break // no other moment makes that right
		}
	}
	return nil, first
}

// top walks from the leaf to the last certificate that the server sent of its chain.
// An issuer that is at hand, by its name and its key identifier, but did not sign, is an error.
func (p Policy) top(sent []*x509.Certificate) (*x509.Certificate, error) {
	c := sent[0]
	for seen := map[*x509.Certificate]bool{}; !seen[c]; {
		seen[c] = true
		if p.Roots.has(c) {
			return c, nil
		}
		if len(c.RawIssuer) <= 2 {
			return nil, fmt.Errorf("%s names no issuer", c.Subject)
		}
		if weak[c.SignatureAlgorithm] {
			return nil, fmt.Errorf("the signature of %s uses the algorithm %s, which is broken", c.Subject, c.SignatureAlgorithm)
		}
		if selfIssued(c) {
			if err := c.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature); err != nil {
				return nil, fmt.Errorf("the signature of %s is broken: %w", c.Subject, err)
			}
			return c, nil
		}
		var issuer *x509.Certificate
		var broken error
		for _, list := range [][]*x509.Certificate{p.Roots.certs, sent[1:]} {
			for _, candidate := range list {
				if candidate == c || !issued(candidate, c) {
					continue
				}
				err := c.CheckSignatureFrom(candidate)
				if err == nil && issuer == nil {
					issuer = candidate
				} else if err != nil && broken == nil {
					broken = fmt.Errorf("%s is no rightful issuer of %s: %w", candidate.Subject, c.Subject, err)
				}
			}
		}
		if issuer == nil {
			return c, broken
		}
		c = issuer
	}
	return c, nil
}

// issued reports whether the issuer's name, and its key identifier where both are given, stand in the certificate.
func issued(issuer, c *x509.Certificate) bool {
	return bytes.Equal(issuer.RawSubject, c.RawIssuer) &&
		(len(issuer.SubjectKeyId) == 0 || len(c.AuthorityKeyId) == 0 || bytes.Equal(issuer.SubjectKeyId, c.AuthorityKeyId))
}

// selfIssued reports whether a certificate names itself as its issuer, by name and by key.
func selfIssued(c *x509.Certificate) bool {
	return issued(c, c) && (len(c.AuthorityKeyId) == 0 || bytes.Equal(c.AuthorityKeyId, c.SubjectKeyId))
}

var weak = map[x509.SignatureAlgorithm]bool{
	x509.MD2WithRSA: true, x509.MD5WithRSA: true, x509.SHA1WithRSA: true, x509.DSAWithSHA1: true, x509.ECDSAWithSHA1: true,
}

// dateless returns copies that are always valid.
func dateless(certs []*x509.Certificate) (copies []*x509.Certificate) {
	for _, c := range certs {
		d := *c
		d.NotBefore, d.NotAfter = time.Time{}, time.Unix(1<<40, 0)
		copies = append(copies, &d)
	}
	return copies
}

// originals puts the certificates in the place of their copies.
func originals(chains [][]*x509.Certificate, lists ...[]*x509.Certificate) [][]*x509.Certificate {
	for _, chain := range chains {
		for i, c := range chain {
			for _, list := range lists {
				for _, o := range list {
					if c.Equal(o) {
						chain[i] = o
					}
				}
			}
		}
	}
	return chains
}
