package bitstest

import (
	"crypto/tls"
	"crypto/x509"
	"time"

	"bits/internal/pki"
)

// The certificates of an Origin count for the connections that are opened after the call.
// A test that wants one seen at once also calls [Origin.Drop].

var names = []string{"localhost", "127.0.0.1"}

// Certify makes the origin show a new certificate with a new key, as a server does whose key was rotated.
// Each change may alter it before its authority signs it: [Expired], [WrongName], [WrongUsage], or one of the test's own.
func (o *Origin) Certify(changes ...func(*x509.Certificate)) {
	o.Show(o.root.Server(names, changes...).TLS())
}

// Renew makes the origin show a new certificate for the key that it has: pins of the certificate break, pins of the public key do not.
func (o *Origin) Renew(changes ...func(*x509.Certificate)) {
	o.mu.Lock()
	old := o.leaf
	o.mu.Unlock()
	o.Show(o.root.Renew(pki.Of(old), names, changes...).TLS())
}

// SelfSign makes the origin show a new certificate that no authority has signed.
func (o *Origin) SelfSign(changes ...func(*x509.Certificate)) {
	var nobody *pki.Pair
	o.Show(nobody.Server(names, changes...).TLS())
}

// Expired makes a certificate whose last day was yesterday.
func Expired(c *x509.Certificate) {
	c.NotBefore, c.NotAfter = time.Now().Add(-48*time.Hour), time.Now().Add(-24*time.Hour)
}

// WrongName makes a certificate for another server.
func WrongName(c *x509.Certificate) { c.DNSNames, c.IPAddresses = []string{"other.example"}, nil }

// WrongUsage makes a certificate for clients.
func WrongUsage(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }

// Show makes the origin show a certificate that the test has made, perhaps with [Origin.Authority].
func (o *Origin) Show(c tls.Certificate) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.leaf = c
}

// Certificate is the certificate that the origin shows now.
// It must not be changed.
func (o *Origin) Certificate() *x509.Certificate {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.leaf.Leaf
}

// Authority is the certificate and the key of the origin's authority.
func (o *Origin) Authority() tls.Certificate { return o.root.TLS() }

// Roots is the certificate of the origin's authority in PEM, for the property roots of a job.
func (o *Origin) Roots() []byte { return o.root.PEM() }

// RootsFile is the name of a file with [Origin.Roots], for SSL_CERT_FILE.
func (o *Origin) RootsFile() string { return o.file() }
