// Package certstore finds the client certificate of a job.
//
// A store is a folder of files: PEM, with the key in the same file or beside it (name.crt and name.key), or PKCS#12 (name.p12), its
// password in name.pass. Nothing is kept: whoever asks again, for another connection, gets what is there then.
package certstore

import (
	"crypto/sha1"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"bits"
	"bits/hresult"
)

// Find finds the certificate that a job names, with its key and its chain; the environment is the job's.
// In a store it is the one with the hash, or the first, by the names of the files, whose subject fits and which is good for logging in:
// it has a key, its days have come and are not over, and its usage allows it.
//
// Errors: ERROR_FILE_NOT_FOUND (no such store, or file), E_ACCESSDENIED (it may not be read), CRYPT_E_NOT_FOUND (no such certificate in
// the store), ERROR_WINHTTP_CLIENT_CERT_NO_PRIVATE_KEY (a file of its own without a key), CERT_E_EXPIRED (a file of its own whose days have
// not come, or are over), E_INVALIDARG (a file that is no certificate).
func Find(c *bits.ClientCertificate, environment map[string]string) (*tls.Certificate, error) {
	if c.File != "" {
		return fromFile(c)
	}
	folder, err := folder(c, environment)
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(folder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, problem(err, "the store "+c.Store)
	}
	fits, what := withHash(c.Hash), "the hash "+c.Hash
	if c.Subject != "" {
		fits, what = withSubject(c.Subject, time.Now()), fmt.Sprintf("%q in its subject", c.Subject)
	}
	var unread error
	for _, entry := range entries { // sorted by name
		if !slices.Contains(extensions, strings.ToLower(filepath.Ext(entry.Name()))) {
			continue
		}
		path := filepath.Join(folder, entry.Name())
		found, err := load(path, beside(path, ".key"), beside(path, ".pass"))
		switch {
		case err == nil && fits(found.Leaf):
			return found, nil
		case err != nil && (unread == nil || errors.Is(err, fs.ErrPermission)):
			unread = problem(err, path)
		}
	}
	if errors.Is(unread, fs.ErrPermission) {
		return nil, unread
	}
	e := bits.Errorf(hresult.CRYPT_E_NOT_FOUND, "cannot find a certificate with %s in %s", what, folder)
	if unread != nil {
		return nil, e.WithHint("not everything there can be used: %v", unread)
	}
	return nil, e.WithHint("a certificate lies there as a PEM file with its key, or as PKCS#12: docs/client-certificates.md")
}

func fromFile(c *bits.ClientCertificate) (*tls.Certificate, error) {
	key := c.Key
	if key == "" {
		key = beside(c.File, ".key")
	}
	found, err := load(c.File, key, c.PasswordFile)
	if err != nil {
		return nil, problem(err, "the client certificate "+c.File)
	}
	if err := Dates(found.Leaf, time.Now()); err != nil {
		return nil, bits.Errorf(hresult.CERT_E_EXPIRED, "cannot use the client certificate %s: %w", c.File, err).WithHint("renew the certificate; if its days are right, check this machine's clock")
	}
	return found, nil
}

// Dates returns nil if the days of a certificate have come, and are not over.
func Dates(c *x509.Certificate, now time.Time) error {
	switch {
	case now.Before(c.NotBefore):
		return fmt.Errorf("it is valid from %s only, and now it is %s", c.NotBefore.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	case now.After(c.NotAfter):
		return fmt.Errorf("it has expired: it was valid until %s, and now it is %s", c.NotAfter.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	}
	return nil
}

// problem makes an error with a code of what went wrong with a file.
func problem(err error, what string) error {
	code, hint := hresult.E_INVALIDARG, ""
	var h *hinted
	if errors.As(err, &h) {
		hint = h.hint
	}
	var path *fs.PathError
	if errors.As(err, &path) {
		err = path.Err
		if path.Path != "" && !strings.HasSuffix(what, path.Path) {
			what = path.Path
		}
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		code, hint = hresult.ERROR_FILE_NOT_FOUND, "check the name"
	case errors.Is(err, fs.ErrPermission):
		code = hresult.E_ACCESSDENIED
	case errors.Is(err, errNoKey):
		code = hresult.ERROR_WINHTTP_CLIENT_CERT_NO_PRIVATE_KEY
	}
	return bits.Errorf(code, "cannot use %s: %w", what, err).WithHint("%s", hint)
}

// hash is the SHA-1 of a certificate, by which BITS names it.
func hash(c *x509.Certificate) string {
	sum := sha1.Sum(c.Raw)
	return hex.EncodeToString(sum[:])
}

func withHash(want string) func(*x509.Certificate) bool {
	return func(c *x509.Certificate) bool { return hash(c) == want }
}

func withSubject(part string, now time.Time) func(*x509.Certificate) bool {
	part = strings.ToLower(part)
	return func(c *x509.Certificate) bool {
		return strings.Contains(strings.ToLower(subject(c)), part) && usable(c, now)
	}
}

// subject is a name as SetClientCertificateByName compares it: the values alone, in the order in which the certificate has them, which
// is the reverse of the one in which most programs show them.
func subject(c *x509.Certificate) string {
	var values []string
	for _, attribute := range c.Subject.Names {
		values = append(values, fmt.Sprint(attribute.Value))
	}
	return strings.Join(values, ", ")
}

// usable reports whether a server could accept the certificate from a client at a time.
func usable(c *x509.Certificate, at time.Time) bool {
	forClients := len(c.ExtKeyUsage) == 0 && len(c.UnknownExtKeyUsage) == 0 ||
		slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageClientAuth) || slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageAny)
	signs := c.KeyUsage == 0 || c.KeyUsage&x509.KeyUsageDigitalSignature != 0
	return forClients && signs && Dates(c, at) == nil
}
