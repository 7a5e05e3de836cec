// Package pki makes certificate authorities and certificates that last for a day: for the demonstration and for tests.
package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"time"
)

// Pair is a certificate with its key, and the certificates between it and its root, itself first.
type Pair struct {
	Cert  *x509.Certificate
	Key   crypto.Signer
	Chain []*x509.Certificate // without the root
}

// template is a certificate that is valid from an hour ago until tomorrow.
func template(name string) *x509.Certificate {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		panic(err)
	}
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
		BasicConstraintsValid: true,
	}
}

// sign makes a certificate with a new key; a nil issuer signs itself.
func sign(t *x509.Certificate, issuer *Pair) *Pair {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return certify(t, issuer, key)
}

// certify makes a certificate for a key.
func certify(t *x509.Certificate, issuer *Pair, key crypto.Signer) *Pair {
	parent, signer := t, key
	if issuer != nil {
		parent, signer = issuer.Cert, issuer.Key
	}
	der, err := x509.CreateCertificate(rand.Reader, t, parent, key.Public(), signer)
	if err != nil {
		panic(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	p := &Pair{Cert: cert, Key: key, Chain: []*x509.Certificate{cert}}
	if issuer != nil && !selfSigned(issuer.Cert) {
		p.Chain = append(p.Chain, issuer.Chain...)
	}
	return p
}

func selfSigned(c *x509.Certificate) bool {
	return c.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) == nil
}

// Root makes an authority.
// Each change may alter the certificate before it is signed.
func Root(name string, changes ...func(*x509.Certificate)) *Pair {
	return authority(name, nil, changes)
}

// Intermediate makes an authority below this one.
func (p *Pair) Intermediate(name string, changes ...func(*x509.Certificate)) *Pair {
	return authority(name, p, changes)
}

func authority(name string, issuer *Pair, changes []func(*x509.Certificate)) *Pair {
	t := template(name)
	t.IsCA = true
	t.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	for _, change := range changes {
		change(t)
	}
	return sign(t, issuer)
}

// Of is the pair of a certificate without authorities between it and its root.
func Of(c tls.Certificate) *Pair {
	return &Pair{Cert: c.Leaf, Key: c.PrivateKey.(crypto.Signer), Chain: []*x509.Certificate{c.Leaf}}
}

// Server makes a certificate for servers of these names or addresses; a nil authority makes a self-signed one.
func (p *Pair) Server(names []string, changes ...func(*x509.Certificate)) *Pair {
	return sign(server(names, changes), p)
}

// Renew makes a certificate as Server does, for the key of an older one.
func (p *Pair) Renew(old *Pair, names []string, changes ...func(*x509.Certificate)) *Pair {
	return certify(server(names, changes), p, old.Key)
}

// Client makes a certificate by which a client shows who it is, for a key; nil: a new one.
func (p *Pair) Client(name string, key crypto.Signer, changes ...func(*x509.Certificate)) *Pair {
	t := template(name)
	t.KeyUsage = x509.KeyUsageDigitalSignature
	t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	for _, change := range changes {
		change(t)
	}
	if key == nil {
		return sign(t, p)
	}
	return certify(t, p, key)
}

func server(names []string, changes []func(*x509.Certificate)) *x509.Certificate {
	t := template(names[0])
	t.KeyUsage = x509.KeyUsageDigitalSignature
	t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	for _, n := range names {
		if ip := net.ParseIP(n); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
		} else {
			t.DNSNames = append(t.DNSNames, n)
		}
	}
	for _, change := range changes {
		change(t)
	}
	return t
}

// CRL makes a revocation list of these certificates, valid for a day.
func (p *Pair) CRL(number int64, revoked ...*Pair) []byte {
	list := &x509.RevocationList{Number: big.NewInt(number), ThisUpdate: time.Now().Add(-time.Hour), NextUpdate: time.Now().Add(24 * time.Hour)}
	for _, r := range revoked {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries, x509.RevocationListEntry{
			SerialNumber: r.Cert.SerialNumber, RevocationTime: time.Now().Add(-time.Minute),
		})
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, p.Cert, p.Key)
	if err != nil {
		panic(err)
	}
	return der
}

// PEM is the certificate alone, as a file of authorities.
func (p *Pair) PEM() []byte { return pemOf(p.Cert) }

// ChainPEM is what a server sends.
func (p *Pair) ChainPEM() []byte { return pemOf(p.Chain...) }

// KeyPEM is the private key.
func (p *Pair) KeyPEM() []byte {
	der, err := x509.MarshalPKCS8PrivateKey(p.Key)
	if err != nil {
		panic(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

func pemOf(certs ...*x509.Certificate) (all []byte) {
	for _, c := range certs {
		all = append(all, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return all
}

// TLS is the pair for a server of this process.
func (p *Pair) TLS() tls.Certificate {
	c := tls.Certificate{PrivateKey: p.Key, Leaf: p.Cert}
	for _, cert := range p.Chain {
		c.Certificate = append(c.Certificate, cert.Raw)
	}
	return c
}
