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
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"bits/hresult"
)

// Limits of a revocation list.
const (
	CRLTime = 15 * time.Second // to fetch one
	CRLSize = 64 << 20
)

// CRLCache keeps revocation lists until their nextUpdate, in memory and on disk.
// What it holds is not trusted: signature and issuer are verified at each use.
type CRLCache struct {
	dir  string
	mu   sync.Mutex
	list map[string]*x509.RevocationList // by URL
}

// NewCRLCache keeps its lists in a folder, which is made when it is needed.
func NewCRLCache(dir string) *CRLCache {
	return &CRLCache{dir: dir, list: map[string]*x509.RevocationList{}}
}

var errRevoked = errors.New("it is revoked")

// unrevoked returns the chains of which no certificate but the root is revoked.
// A list that cannot be had, or not be believed, is a failure (SetSecurityFlags, BG_SSL_ENABLE_CRL_CHECK).
func (p Policy) unrevoked(ctx context.Context, host string, chains [][]*x509.Certificate) ([][]*x509.Certificate, error) {
	var good [][]*x509.Certificate
	var bad, unknown error
	for _, chain := range chains {
		var fault error
		for i := 0; i+1 < len(chain) && fault == nil; i++ {
			if fault = p.revocation(ctx, chain[i], chain[i+1]); fault == nil {
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
	case bad != nil:
		return nil, bad
	}
	return nil, unknown
}

// revocation returns nil if a list of the issuer says that the certificate is not revoked.
func (p Policy) revocation(ctx context.Context, cert, issuer *x509.Certificate) error {
	now := time.Now()
	if p.Now != nil {
		now = p.Now()
	}
	fault := errors.New("it names no revocation list")
	for _, point := range cert.CRLDistributionPoints {
		list, err := p.CRLs.get(ctx, point, issuer, now, p.Proxy)
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
func (c *CRLCache) get(ctx context.Context, point string, issuer *x509.Certificate, now time.Time, proxy func(*url.URL) (*url.URL, error)) (*x509.RevocationList, error) {
	sum := sha256.Sum256([]byte(point))
	path := filepath.Join(c.dir, hex.EncodeToString(sum[:])+".crl")
	c.mu.Lock()
	list := c.list[point]
	c.mu.Unlock()
	if list == nil {
		if data, err := os.ReadFile(path); err == nil {
			list, _ = x509.ParseRevocationList(data)
		}
	}
	if list != nil && believable(list, issuer, now) == nil {
		return list, nil
	}
	data, err := fetch(ctx, point, proxy)
	if err != nil {
		return nil, err
	}
	if block, _ := pem.Decode(data); block != nil {
		data = block.Bytes
	}
	if list, err = x509.ParseRevocationList(data); err == nil {
		err = believable(list, issuer, now)
	}
	if err != nil {
		return nil, fmt.Errorf("the list at %s: %w", point, err)
	}
	c.mu.Lock()
	c.list[point] = list
	c.mu.Unlock()
	// On disk it saves a fetch after a restart; that it cannot be kept is no fault of the certificate.
	if os.MkdirAll(c.dir, 0o700) == nil {
		if f, err := os.CreateTemp(c.dir, "new-*"); err == nil {
			_, err = f.Write(data)
			if errors.Join(err, f.Close()) != nil || os.Rename(f.Name(), path) != nil {
				os.Remove(f.Name())
			}
		}
	}
	return list, nil
}

func fetch(ctx context.Context, point string, proxy func(*url.URL) (*url.URL, error)) ([]byte, error) {
	if !strings.HasPrefix(point, "http://") && !strings.HasPrefix(point, "https://") {
		return nil, fmt.Errorf("%s is not at an http URL", point)
	}
	ctx, cancel := context.WithTimeout(ctx, CRLTime)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, point, nil)
	if err != nil {
		return nil, err
	}
	t := &http.Transport{DisableKeepAlives: true}
	if proxy != nil {
		t.Proxy = func(r *http.Request) (*url.URL, error) { return proxy(r.URL) }
	}
	resp, err := (&http.Client{Transport: t}).Do(request)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answered %s", point, resp.Status)
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, CRLSize+1))
	if err == nil && len(data) > CRLSize {
		err = fmt.Errorf("the list at %s has more than %d bytes", point, CRLSize)
	}
	return data, err
}

// believable checks issuer, signature, dates, and that the list says nothing that we do not understand.
func believable(list *x509.RevocationList, issuer *x509.Certificate, now time.Time) error {
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

// listed returns nil if the list covers the certificate and does not hold it.
func listed(list *x509.RevocationList, cert *x509.Certificate) error {
	for _, x := range list.Extensions {
		if !x.Id.Equal(oidIssuingDistributionPoint) {
			continue
		}
		var scope distributionPoint
		if rest, err := asn1.Unmarshal(x.Value, &scope); err != nil || len(rest) > 0 {
			return errors.New("the scope of the list cannot be read")
		}
		if scope.Indirect || scope.OnlyAttributes || scope.SomeReasons.BitLength > 0 || scope.OnlyUsers && cert.IsCA || scope.OnlyAuthorities && !cert.IsCA {
			return errors.New("the list does not cover it")
		}
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
