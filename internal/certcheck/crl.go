package certcheck

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"bits"
	"bits/hresult"
)

// Limits of the check of revocation: what servers and their lists can cost us.
const (
	CRLTime   = 15 * time.Second // for all lists of one handshake together
	CRLPoints = 4                // distribution points of a certificate that are asked
	CRLSize   = 64 << 20         // of a list, and of all lists in memory together
	CRLMemory = 64               // lists in memory
	CRLFiles  = 256              // lists on disk

	crlRedirects = 10
)

// CRLCache keeps revocation lists until their nextUpdate, in memory and on disk, as far as its limits go.
// What it holds is not trusted: signature and issuer are verified at each use.
type CRLCache struct {
	dir  string
	mu   sync.Mutex
	kept []keptList // the one used last at the end
}

type keptList struct {
	point string
	list  *x509.RevocationList
}

// NewCRLCache keeps its lists in a folder, which is made when it is needed.
func NewCRLCache(dir string) *CRLCache {
	return &CRLCache{dir: dir}
}

var errRevoked = errors.New("it is revoked")

// unrevoked returns the chains of which no certificate but the root is revoked.
// A list that cannot be had in time, or not be believed, is a failure (SetSecurityFlags, BG_SSL_ENABLE_CRL_CHECK).
// The end of the context is no verdict: its cause comes out as it is.
func (p Policy) unrevoked(ctx context.Context, host string, chains [][]*x509.Certificate) ([][]*x509.Certificate, error) {
	limited, cancel := context.WithTimeoutCause(ctx, CRLTime, fmt.Errorf("the lists did not come within %s", CRLTime))
	defer cancel()
	var good [][]*x509.Certificate
	var bad, unknown error
	for _, chain := range chains {
		var fault error
		for i := 0; i < len(chain) && fault == nil; i++ {
			if fault = p.revocation(limited, chain[i:]); fault == nil {
				continue
			}
			if errors.Is(fault, errRevoked) {
				bad = refused(hresult.ERROR_WINHTTP_SECURE_CERT_REVOKED, host, chain[i], "its authority %w", fault)
			} else {
				unknown = refused(hresult.ERROR_WINHTTP_SECURE_CERT_REV_FAILED, host, chain[i], "its revocation cannot be checked: %w", fault)
			}
		}
		if fault == nil {
			good = append(good, chain)
		}
	}
	switch {
	case len(good) > 0:
		return good, nil
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case bad != nil:
		return nil, bad
	}
	return nil, unknown
}

// revocation returns nil if a list of its issuer says that the first certificate of the chain is not revoked, or if it needs none.
func (p Policy) revocation(ctx context.Context, chain []*x509.Certificate) error {
	cert := chain[0]
	if len(chain) == 1 {
		// Only where an unknown authority is forgiven does a chain end with a certificate that somebody else answers for.
		if p.Flags&bits.IgnoreUnknownCA == 0 || selfIssued(cert) || p.Roots.has(cert) {
			return nil
		}
		return errors.New("the authority that would say so is not at hand")
	}
	now := time.Now()
	if p.Now != nil {
		now = p.Now()
	}
	fault := errors.New("it names no revocation list")
	points := cert.CRLDistributionPoints[:min(len(cert.CRLDistributionPoints), CRLPoints)]
	for i, point := range points {
		// Also lists that are at hand cost time.
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		// A server that does not answer leaves time to those after it.
		deadline, _ := ctx.Deadline()
		share, cancel := context.WithTimeout(ctx, time.Until(deadline)/time.Duration(len(points)-i))
		list, err := p.CRLs.get(share, point, chain[1], now, p.Lists)
		cancel()
		if err == nil {
			if err = listed(list, cert); err == nil || errors.Is(err, errRevoked) {
				return err
			}
		}
		fault = err
	}
	return fault
}

// get returns a list that is valid now, from the cache or from its distribution point.
func (c *CRLCache) get(ctx context.Context, point string, issuer *x509.Certificate, now time.Time, by http.RoundTripper) (*x509.RevocationList, error) {
	sum := sha256.Sum256([]byte(point))
	path := filepath.Join(c.dir, hex.EncodeToString(sum[:])+".crl")
	list := c.recall(point)
	if list == nil {
		if data, err := os.ReadFile(path); err == nil {
			list, _ = x509.ParseRevocationList(data)
		}
	}
	if list != nil && believable(list, point, issuer, now) == nil {
		return list, nil
	}
	data, err := fetch(ctx, point, by)
	if err != nil {
		return nil, err
	}
	if block, _ := pem.Decode(data); block != nil {
		data = block.Bytes
	}
	if list, err = x509.ParseRevocationList(data); err == nil {
		err = believable(list, point, issuer, now)
	}
	if err != nil {
		return nil, fmt.Errorf("the list at %s: %w", point, err)
	}
	c.remember(point, list)
	// On disk it saves a fetch after a restart; that it cannot be kept is no fault of the certificate.
	if os.MkdirAll(c.dir, 0o700) == nil {
		if f, err := os.CreateTemp(c.dir, "new-*"); err == nil {
			_, err = f.Write(data)
			if errors.Join(err, f.Close()) != nil || os.Rename(f.Name(), path) != nil {
				os.Remove(f.Name())
			}
		}
		c.clear()
	}
	return list, nil
}

// recall returns the list of a distribution point from memory, or nil.
func (c *CRLCache) recall(point string) *x509.RevocationList {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := slices.IndexFunc(c.kept, func(k keptList) bool { return k.point == point })
	if i < 0 {
		return nil
	}
	k := c.kept[i]
	c.kept = append(slices.Delete(c.kept, i, i+1), k)
	return k.list
}

// remember keeps a list in memory; those that were not used for longest make room.
func (c *CRLCache) remember(point string, list *x509.RevocationList) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.kept = slices.DeleteFunc(c.kept, func(k keptList) bool { return k.point == point })
	c.kept = append(c.kept, keptList{point, list})
	size := 0
	for _, k := range c.kept {
		size += len(k.list.Raw)
	}
	for len(c.kept) > CRLMemory || size > CRLSize {
		size -= len(c.kept[0].list.Raw)
		c.kept = slices.Delete(c.kept, 0, 1)
	}
}

// clear removes the oldest files when there are too many, also what a crash left of a file that was being written.
func (c *CRLCache) clear() {
	entries, err := os.ReadDir(c.dir)
	if err != nil || len(entries) <= CRLFiles {
		return
	}
	var files []fs.FileInfo
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			files = append(files, info)
		}
	}
	slices.SortFunc(files, func(a, b fs.FileInfo) int { return a.ModTime().Compare(b.ModTime()) })
	for _, f := range files[:max(len(files)-CRLFiles, 0)] {
		os.Remove(filepath.Join(c.dir, f.Name()))
	}
}

// fetch gets what is at a distribution point, over http and https only, also behind a redirect, of which it follows a few.
func fetch(ctx context.Context, point string, by http.RoundTripper) ([]byte, error) {
	if by == nil {
		return nil, errors.New("there is no way to fetch lists") // http.Client would take one of its own, by our environment
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, point, nil)
	if err != nil {
		return nil, fmt.Errorf("%q is not a URL", point)
	}
	if !onTheWeb(request.URL) {
		return nil, fmt.Errorf("%s is not at an http URL", point)
	}
	request.Header.Set("User-Agent", "bits/1")
	client := http.Client{Transport: by, CheckRedirect: func(next *http.Request, via []*http.Request) error {
		switch {
		case len(via) >= crlRedirects:
			return fmt.Errorf("the list at %s is redirected too often", point)
		case !onTheWeb(next.URL):
			return fmt.Errorf("the list at %s is redirected to what is not at an http URL", point)
		}
		return nil
	}}
	answer, err := client.Do(request)
	if err != nil {
		return nil, err.(*url.Error).Err // which names the URL, as what it is packed in does
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answered %s", point, answer.Status)
	}
	data, err := io.ReadAll(io.LimitReader(answer.Body, CRLSize+1))
	if err == nil && len(data) > CRLSize {
		err = fmt.Errorf("the list at %s has more than %d bytes", point, CRLSize)
	}
	return data, err
}

func onTheWeb(u *url.URL) bool { return (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" }

// believable checks issuer, signature, dates, that the list is the one of its distribution point, and that it says nothing that we do
// not understand.
func believable(list *x509.RevocationList, point string, issuer *x509.Certificate, now time.Time) error {
	switch {
	case !bytes.Equal(list.RawIssuer, issuer.RawSubject):
		return fmt.Errorf("it is of another issuer, %s", list.Issuer)
	case now.Before(list.ThisUpdate):
		return fmt.Errorf("it is valid from %s only", list.ThisUpdate)
	case list.NextUpdate.IsZero():
		return errors.New("it has no date of its next update")
	case now.After(list.NextUpdate):
		return fmt.Errorf("it ended on %s", list.NextUpdate)
	}
	for _, x := range list.Extensions {
		if x.Critical && !x.Id.Equal(oidIssuingDistributionPoint) {
			return fmt.Errorf("it has the critical extension %s, which is unknown", x.Id)
		}
	}
	scope, err := scopeOf(list)
	if err != nil {
		return err
	}
	if !scope.at(point) {
		return errors.New("it does not cover this distribution point")
	}
	return list.CheckSignatureFrom(issuer)
}

var (
	oidIssuingDistributionPoint = asn1.ObjectIdentifier{2, 5, 29, 28}
	oidCertificateIssuer        = asn1.ObjectIdentifier{2, 5, 29, 29}
)

// distributionPoint is the IssuingDistributionPoint of RFC 5280, section 5.2.5.
type distributionPoint struct {
	Name            asn1.RawValue  `asn1:"optional,tag:0"`
	OnlyUsers       bool           `asn1:"optional,tag:1"`
	OnlyAuthorities bool           `asn1:"optional,tag:2"`
	SomeReasons     asn1.BitString `asn1:"optional,tag:3"`
	Indirect        bool           `asn1:"optional,tag:4"`
	OnlyAttributes  bool           `asn1:"optional,tag:5"`
}

// scopeOf returns what a list covers; the zero value is everything of its issuer.
func scopeOf(list *x509.RevocationList) (scope distributionPoint, err error) {
	for _, x := range list.Extensions {
		if !x.Id.Equal(oidIssuingDistributionPoint) {
			continue
		}
		if rest, err := asn1.Unmarshal(x.Value, &scope); err != nil || len(rest) > 0 {
			return scope, errors.New("its scope cannot be read")
		}
	}
	return scope, nil
}

// at reports whether the list is the one of this URL: if it carries the name of its distribution point, one of its URIs must be that.
// An authority that divides its certificates among several lists signs them all alike, and one of them proves nothing about the
// certificates of another. A name that is relative to the issuer is not a URL.
func (d distributionPoint) at(point string) bool {
	if len(d.Name.FullBytes) == 0 {
		return true
	}
	const fullName, uri = 0, 6
	var names asn1.RawValue
	if rest, err := asn1.Unmarshal(d.Name.Bytes, &names); err != nil || len(rest) > 0 || names.Class != asn1.ClassContextSpecific || names.Tag != fullName {
		return false
	}
	for rest := names.Bytes; len(rest) > 0; {
		var name asn1.RawValue
		var err error
		if rest, err = asn1.Unmarshal(rest, &name); err != nil {
			return false
		}
		if name.Class == asn1.ClassContextSpecific && name.Tag == uri && string(name.Bytes) == point {
			return true
		}
	}
	return false
}

// listed returns nil if the list covers the certificate and does not hold it.
func listed(list *x509.RevocationList, cert *x509.Certificate) error {
	scope, err := scopeOf(list)
	if err != nil {
		return err
	}
	if scope.Indirect || scope.OnlyAttributes || scope.SomeReasons.BitLength > 0 || scope.OnlyUsers && cert.IsCA || scope.OnlyAuthorities && !cert.IsCA {
		return errors.New("the list does not cover it")
	}
	for _, entry := range list.RevokedCertificateEntries {
		for _, x := range entry.Extensions {
			if x.Critical || x.Id.Equal(oidCertificateIssuer) {
				return fmt.Errorf("the list has an entry with the extension %s, which is unknown", x.Id)
			}
		}
		if entry.SerialNumber.Cmp(cert.SerialNumber) == 0 {
			return fmt.Errorf("says since %s that %w", entry.RevocationTime.UTC().Format(time.DateOnly), errRevoked)
		}
	}
	return nil
}
