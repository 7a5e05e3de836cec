package certcheck

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"testing"
)

// FuzzScope lets a revocation list say anything about its scope: nothing may panic, and a scope that cannot be read covers nothing.
func FuzzScope(f *testing.F) {
	f.Add([]byte{0x30, 0x00})
	f.Add([]byte{0x30, 0x0b, 0xa0, 0x09, 0xa0, 0x07, 0x86, 0x05, 'h', 't', 't', 'p', ':'})
	f.Fuzz(func(t *testing.T, value []byte) {
		list := &x509.RevocationList{Extensions: []pkix.Extension{{Id: oidIssuingDistributionPoint, Critical: true, Value: value}}}
		scope, err := scopeOf(list)
		if err != nil && listed(list, &x509.Certificate{}) == nil {
			t.Error("a scope that cannot be read covers a certificate")
		}
		scope.at("http://crl.test/")
	})
}
