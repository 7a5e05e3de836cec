package certcheck_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"os"
	"strings"
	"testing"
	"time"

	"bits"
	"bits/internal/certcheck"
)

type limboCase struct {
	ID            string    `json:"id"`
	Features      []string  `json:"features"`
	Kind          string    `json:"validation_kind"`
	Trusted       []string  `json:"trusted_certs"`
	Untrusted     []string  `json:"untrusted_intermediates"`
	Peer          string    `json:"peer_certificate"`
	Time          time.Time `json:"validation_time"`
	Result        string    `json:"expected_result"`
	MaxChainDepth *int      `json:"max_chain_depth"`
	Usages        []string  `json:"extended_key_usage"`
	Name          *struct {
		Kind  string `json:"kind"`
		Value string `json:"value"`
	} `json:"expected_peer_name"`
	CRLs []string `json:"crls"`
}

// exempt are the cases in which the platform (Go's crypto/x509) is known to differ from what the suite expects, by prefix of the id.
// Go accepts them all: it checks what RFC 5280 demands of relying parties, the suite also what it demands of authorities, or what
// only the CA/Browser Forum demands.
var exempt = map[string]string{
	"rfc5280::aki::":             "Go does not demand authority key identifiers",
	"rfc5280::ski::":             "Go does not demand subject key identifiers",
	"webpki::aki::":              "a rule for authorities of the web",
	"rfc5280::serial::":          "a rule for authorities",
	"rfc5280::eku::ee-eku-empty": "Go takes an empty list for none",
	"webpki::eku::":              "a rule for authorities of the web",
	"rfc5280::nc::permitted-dns-match-noncritical":    "Go does not demand that the extension is critical",
	"rfc5280::nc::not-allowed-in-ee":                  "a rule for authorities",
	"rfc5280::nc::permitted-self-issued":              "Go refuses, which is on the safe side",
	"rfc5280::nc::nc-forbids-othername-noop":          "Go refuses, which is on the safe side",
	"rfc5280::nc::invalid-dnsname-leading-period":     "Go takes the leading period as everybody did before",
	"pathlen::self-issued-certs-pathlen":              "Go counts them, which is on the safe side",
	"pathological::nc-dos":                            "Go does the work, in bounded time",
	"rfc5280::root-":                                  "Go takes a trusted root as it is",
	"rfc5280::leaf-ku-keycertsign":                    "a rule for authorities",
	"rfc5280::san::noncritical-with-empty-subject":    "a rule for authorities",
	"rfc5280::san::underscore-dns":                    "Go takes underscores in names",
	"rfc5280::pc::":                                   "Go passes over what is not critical",
	"rfc5280::validity::notafter-fractional":          "Go refuses, which is on the safe side",
	"webpki::san::public-suffix":                      "Go knows no public suffixes",
	"webpki::san::san-critical-with-nonempty-subject": "a rule for authorities of the web",
	"webpki::cn::":                                    "a rule for authorities of the web; Go does not look at the common name",
	"webpki::forbidden-":                              "a rule for authorities of the web",
	"webpki::ee-basicconstraints-ca":                  "a rule for authorities of the web",
	"webpki::ca-as-leaf":                              "a rule for authorities of the web",
}

func limbo(t *testing.T) []limboCase {
	t.Helper()
	f, err := os.Open("testdata/x509-limbo-core.json.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var all struct {
		Cases []limboCase `json:"testcases"`
	}
	if err := json.NewDecoder(r).Decode(&all); err != nil {
		t.Fatal(err)
	}
	return all.Cases
}

// parse is what TLS does with what a server sends; a certificate that cannot be read ends the handshake.
func parse(pems ...string) (certs []*x509.Certificate, err error) {
	for _, p := range pems {
		block, _ := pem.Decode([]byte(p))
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		certs = append(certs, c)
	}
	return certs, nil
}

func (c limboCase) verify(flags bits.SecurityFlags) error {
	sent, err := parse(append([]string{c.Peer}, c.Untrusted...)...)
	if err != nil {
		return err
	}
	var roots []*x509.Certificate
	for _, p := range c.Trusted {
		if root, err := parse(p); err == nil {
			roots = append(roots, root...)
		}
	}
	policy := certcheck.Policy{Flags: flags, Roots: certcheck.NewRoots(roots...), Now: func() time.Time { return c.Time }}
	_, err = policy.Verify(context.Background(), c.Name.Value, sent)
	return err
}

// forgiven are the defects that a flag is there to forgive, by prefix of the id of the case.
var forgiven = map[bits.SecurityFlags][]string{
	bits.IgnoreCertName: {
		"webpki::san::mismatch-", "webpki::san::wildcard-", "webpki::san::no-san", "webpki::cn::", "rfc5280::ca-as-leaf-wrong-san", "webpki::san::unicode-emoji",
		"rfc5280::san::ip-in-dns", "webpki::san::san-wildcard", "rfc5280::san::underscore-dns",
		"webpki::v1-cert", "pathological::nc-dos-3", // they have no names but the common name
	},
	bits.IgnoreCertDate:  {"rfc5280::validity::"},
	bits.IgnoreUnknownCA: {"rfc5280::chain-untrusted-root", "webpki::cryptographydotio-chain-missing-intermediate", "pathological::intermediate-cycle"},
	bits.IgnoreCertUsage: {"rfc5280::eku::ee-wrong-eku", "webpki::eku::"},
}

// rootless reports whether the case has no issuer for its leaf, or a root that cannot be read: then nothing is known of its authority.
func (c limboCase) rootless() bool {
	leaf, _ := parse(c.Peer)
	for _, p := range append(c.Trusted, c.Untrusted...) {
		certs, err := parse(p)
		if err != nil {
			return true
		}
		if bytes.Equal(certs[0].RawSubject, leaf[0].RawIssuer) {
			return false
		}
	}
	return true
}

func TestLimbo(t *testing.T) {
	ran, used := 0, map[string]bool{}
	for _, c := range limbo(t) {
		if c.Kind != "SERVER" || c.Name == nil || c.MaxChainDepth != nil || len(c.CRLs) > 0 {
			continue // of a client, of a verifier without a name, with a parameter we have not, or of TestLimboCRLs
		}
		ran++
		t.Run(c.ID, func(t *testing.T) {
			prefix, why := "", ""
			for p, reason := range exempt {
				if strings.HasPrefix(c.ID, p) && len(p) > len(prefix) {
					prefix, why = p, reason
				}
			}
			strict := c.verify(0)
			if want := c.Result == "SUCCESS"; want != (strict == nil) {
				if prefix == "" {
					t.Fatalf("flags 0: %v, want %s", strict, c.Result)
				}
				used[prefix] = true
				t.Logf("exempt: %s", why)
			}
			for flag, prefixes := range forgiven {
				err := c.verify(flag)
				switch {
				case strict == nil && err != nil:
					t.Errorf("flag %#x makes it fail: %v", flag, err)
				case strict != nil && err == nil:
					mine := flag == bits.IgnoreUnknownCA && c.rootless()
					for _, p := range prefixes {
						mine = mine || strings.HasPrefix(c.ID, p)
					}
					if !mine {
						t.Errorf("flag %#x forgives it, and should not: %v", flag, strict)
					}
				}
			}
		})
	}
	for p, reason := range exempt {
		if !used[p] {
			t.Errorf("the exemption %q (%s) is not needed", p, reason)
		}
	}
	t.Logf("%d cases", ran)
}
