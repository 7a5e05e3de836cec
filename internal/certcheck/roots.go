package certcheck

import (
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"

	"bits"
	"bits/hresult"
	"bits/internal/contract"
)

// Roots are the authorities that a job trusts.
type Roots struct {
	pool  *x509.CertPool
	certs []*x509.Certificate // those that we read; none for the system's own
}

func (r *Roots) has(c *x509.Certificate) bool {
	for _, root := range r.certs {
		if root.Equal(c) {
			return true
		}
	}
	return false
}

// NewRoots makes Roots of certificates.
func NewRoots(certs ...*x509.Certificate) *Roots {
	r := &Roots{pool: x509.NewCertPool()}
	for _, c := range certs {
		r.certs = append(r.certs, c)
		r.pool.AddCert(c)
	}
	return r
}

// RootsPEM reads the authorities of a job.
func RootsPEM(text string) (*Roots, error) {
	certs, err := contract.ParseRoots(text)
	if err != nil {
		return nil, err
	}
	return NewRoots(certs...), nil
}

// FromEnvironment are the authorities that SSL_CERT_FILE and SSL_CERT_DIR name, or the system's if neither is set.
// A certificate in them that cannot be read is passed over, as everywhere else.
func FromEnvironment(environment map[string]string) (*Roots, error) {
	file, dirs := environment["SSL_CERT_FILE"], environment["SSL_CERT_DIR"]
	if file == "" && dirs == "" {
		pool, err := x509.SystemCertPool()
		if err != nil {
			return nil, bits.Errorf(hresult.ERROR_WINHTTP_SECURE_INVALID_CA, "cannot read the authorities of this system: %w", err).In(bits.ContextRemoteFile)
		}
		return &Roots{pool: pool}, nil
	}
	var files []string
	if file != "" {
		files = append(files, file)
	}
	for _, dir := range filepath.SplitList(dirs) {
		entries, _ := filepath.Glob(filepath.Join(dir, "*"))
		files = append(files, entries...)
	}
	var certs []*x509.Certificate
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil && name == file {
			return nil, bits.Errorf(hresult.ERROR_WINHTTP_SECURE_INVALID_CA, "cannot read the authorities that SSL_CERT_FILE names: %w", err).
				In(bits.ContextRemoteFile).WithHint("the variable is kept from when the job was made")
		}
		for len(data) > 0 {
			var block *pem.Block
			if block, data = pem.Decode(data); block == nil {
				break
			}
			if c, err := x509.ParseCertificate(block.Bytes); err == nil && block.Type == "CERTIFICATE" {
				certs = append(certs, c)
			}
		}
	}
	return NewRoots(certs...), nil
}
