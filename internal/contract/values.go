package contract

import (
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"bits"
	"bits/hresult"
)

// word accepts a word of flags in which only defined bits are set.
func word[T ~uint32](all T, code hresult.Code) func(*bits.Job, *T) error {
	return func(_ *bits.Job, v *T) error {
		if *v&^all != 0 {
			return bits.Errorf(code, "0x%x has bits that are not defined: the defined ones are 0x%x", uint32(*v), uint32(all))
		}
		return nil
	}
}

func orZero[T any](p *T) *T {
	if p == nil {
		return new(T)
	}
	return p
}

type times struct {
	Created     time.Time  `json:"created"`
	Modified    time.Time  `json:"modified"`
	Transferred *time.Time `json:"transfer_completed"`
}

func readError(j *bits.Job) (any, hresult.Code, error) {
	if j.Error == nil {
		return nil, 0, bits.Errorf(hresult.BG_E_ERROR_INFORMATION_UNAVAILABLE, "cannot read the error of job %s: it has none, its state is %s", j.ID, j.State)
	}
	return j.Error, hresult.S_OK, nil
}

func readToken(j *bits.Job) (any, hresult.Code, error) {
	if !j.TokenPresent {
		return nil, hresult.S_OK, nil
	}
	return j.HelperTokenSID, hresult.S_OK, nil
}

func readReply(j *bits.Job) (any, hresult.Code, error) {
	if j.State != bits.StateTransferred && j.State != bits.StateAcknowledged {
		return nil, 0, bits.Errorf(hresult.BG_E_INVALID_STATE, "cannot read the reply of job %s: it is %s, and the reply is there when it is TRANSFERRED", j.ID, j.State)
	}
	return nil, hresult.S_OK, nil
}

// checkCommand accepts what SetNotifyCmdLine accepts; a program is a full path.
func checkCommand(j *bits.Job, c **bits.Command) error {
	if *c == nil || **c == (bits.Command{}) {
		*c, j.NotifyUser = nil, ""
		return nil
	}
	switch program := (*c).Program; {
	case program == "":
		return bits.Errorf(hresult.E_INVALIDARG, "parameters need a program")
	case utf8.RuneCountInString(program) > bits.MaxProgram:
		return bits.Errorf(hresult.BG_E_STRING_TOO_LONG, "the program has %d characters, and %d are allowed", utf8.RuneCountInString(program), bits.MaxProgram)
	case utf8.RuneCountInString((*c).Parameters) > bits.MaxParameters:
		return bits.Errorf(hresult.BG_E_STRING_TOO_LONG, "the parameters have %d characters, and %d are allowed", utf8.RuneCountInString((*c).Parameters), bits.MaxParameters)
	case !filepath.IsAbs(program) || strings.ContainsRune(program+(*c).Parameters, 0):
		return bits.Errorf(hresult.E_INVALIDARG, "the program %q is no full path", program).WithHint("nothing is searched for, and no shell is used")
	}
	j.NotifyUser = j.Owner
	return nil
}

var guid = regexp.MustCompile(`^\{?([0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12})\}?$`)

// ParseGUID reads a GUID with or without braces, and returns it in lower case without.
func ParseGUID(s string) (string, bool) {
	m := guid.FindStringSubmatch(s)
	if m == nil {
		return "", false
	}
	return strings.ToLower(m[1]), true
}

func checkCLSID(_ *bits.Job, s *string) error {
	id, ok := ParseGUID(*s)
	if *s != "" && !ok {
		return bits.Errorf(hresult.E_INVALIDARG, "%q is no GUID", *s)
	}
	if *s = id; strings.Trim(id, "0-") == "" {
		*s = ""
	}
	return nil
}

// DefaultMethod is the method of jobs of the type.
func DefaultMethod(t bits.JobType) string {
	if t == bits.Download {
		return "GET"
	}
	return "BITS_POST"
}

func ownMethod(j *bits.Job) bool { return j.HTTPMethod != DefaultMethod(j.Type) }

func checkMethod(j *bits.Job, m *string) error {
	switch {
	case *m == "":
		*m = DefaultMethod(j.Type)
	case len(*m) > 64 || strings.ContainsFunc(*m, notToken):
		return bits.Errorf(hresult.E_INVALIDARG, "%q is no method: it is a token of at most 64 characters", *m)
	}
	if *m != DefaultMethod(j.Type) {
		j.Priority = bits.Foreground
	}
	return nil
}

func checkClientCertificate(_ *bits.Job, c **bits.ClientCertificate) error {
	if *c == nil {
		return nil
	}
	if (*c).File != "" {
		return checkCertificateFile(*c)
	}
	switch v := *c; {
	case v.Key != "" || v.PasswordFile != "":
		return bits.Errorf(hresult.E_INVALIDARG, "key and password_file go with file; in a store they lie beside the certificate")
	case v.Store == "" || v.Hash == "" && v.Subject == "":
		return bits.Errorf(hresult.RPC_X_NULL_REF_POINTER, "a certificate is named by its store, and by its hash or subject")
	case v.Hash != "" && v.Subject != "":
		return bits.Errorf(hresult.E_INVALIDARG, "a certificate is named by its hash or by its subject, not by both")
	case utf8.RuneCountInString(v.Store) > bits.MaxStoreName || utf8.RuneCountInString(v.Subject) > bits.MaxStoreName:
		return bits.Errorf(hresult.BG_E_STRING_TOO_LONG, "names of stores and subjects have at most %d characters", bits.MaxStoreName)
	}
	if h := (*c).Hash; h != "" {
		if sum, err := hex.DecodeString(h); err != nil || len(sum) != 20 {
			return bits.Errorf(hresult.RPC_X_BAD_STUB_DATA, "the hash has 40 hexadecimal digits (SHA-1), and %q does not", h)
		}
		(*c).Hash = strings.ToLower(h)
	}
	return nil
}

// checkCertificateFile accepts a certificate that is named by files instead of a store.
func checkCertificateFile(c *bits.ClientCertificate) error {
	if c.Store != "" || c.Hash != "" || c.Subject != "" {
		return bits.Errorf(hresult.E_INVALIDARG, "a certificate is named by a file or in a store, not by both")
	}
	for _, path := range []string{c.File, c.Key, c.PasswordFile} {
		switch {
		case strings.HasPrefix(strings.ToLower(path), "pkcs11:"):
			return bits.Errorf(hresult.E_NOTIMPL, "certificates of smart cards and other PKCS#11 tokens cannot be used: their drivers are libraries of C, and this program has no C in it").
				WithHint("export the certificate with its key to a file, if the token allows it, or run a proxy of your own that has the token (stunnel)")
		case path != "" && (!filepath.IsAbs(path) || strings.ContainsRune(path, 0)):
			return bits.Errorf(hresult.E_INVALIDARG, "the file %q is no full path", path)
		}
	}
	return nil
}

func readClientCertificate(j *bits.Job) (any, hresult.Code, error) {
	if j.Secrets.ClientCertificate == nil {
		return nil, 0, bits.Errorf(hresult.RPC_X_BAD_STUB_DATA, "cannot read the client certificate of job %s: it has none", j.ID)
	}
	return j.Secrets.ClientCertificate, hresult.S_OK, nil
}

func readHeaders(j *bits.Job) (any, hresult.Code, error) {
	switch {
	case j.HeadersWriteOnly:
		return nil, 0, bits.Errorf(hresult.E_ACCESSDENIED, "cannot read the custom headers of job %s: they are write-only", j.ID).WithHint("set them anew; nobody can read them back")
	case j.Secrets.Headers == "":
		return nil, hresult.S_FALSE, nil
	}
	return j.Secrets.Headers, hresult.S_OK, nil
}

// ParseRoots reads the authorities of a job: a text with PEM blocks of which at least one is a certificate, at most 1 MiB.
// Otherwise E_INVALIDARG.
func ParseRoots(text string) (certs []*x509.Certificate, err error) {
	rest := []byte(text)
	for err == nil && len(text) <= 1<<20 {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type == "CERTIFICATE" {
			var c *x509.Certificate
			c, err = x509.ParseCertificate(block.Bytes)
			certs = append(certs, c)
		}
	}
	if err == nil && len(certs) == 0 {
		err = errors.New("there is no PEM block of type CERTIFICATE in them, or they have more than 1 MiB")
	}
	if err != nil {
		return nil, bits.Errorf(hresult.E_INVALIDARG, "cannot use the certificates of authorities: %w", err).WithHint("give a file of certificates in PEM form")
	}
	return certs, nil
}

// checkHeaders accepts lines "Name: value", each ended by CRLF, the last perhaps without.
func checkHeaders(_ *bits.Job, s *string) error {
	if *s == "" {
		return nil
	}
	if !strings.HasSuffix(*s, "\r\n") {
		*s += "\r\n"
	}
	if err := atMost(bits.MaxHeaders, hresult.BG_E_STRING_TOO_LONG)(nil, s); err != nil {
		return err
	}
	for i, line := range strings.Split(strings.TrimSuffix(*s, "\r\n"), "\r\n") {
		name, value, ok := strings.Cut(line, ":")
		switch {
		case !ok || name == "" || strings.ContainsFunc(name, notToken):
			return bits.Errorf(hresult.E_INVALIDARG, "header %d is not of the form \"Name: value\"", i+1)
		case strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }):
			return bits.Errorf(hresult.E_INVALIDARG, "the value of header %s has a line break or another control character in it", name)
		case slices.ContainsFunc(ownHeaders, func(h string) bool { return strings.EqualFold(h, name) }):
			return bits.Errorf(hresult.E_INVALIDARG, "header %s is the service's own: it decides the ranges, the length and the framing", name)
		}
	}
	return nil
}

// ownHeaders are refused as custom headers: with them a transfer could splice or lie about its length.
var ownHeaders = []string{"Range", "If-Range", "Content-Length", "Transfer-Encoding", "Connection", "Accept-Encoding", "TE", "Trailer", "Upgrade", "Keep-Alive", "Proxy-Connection"}

// notToken reports whether the rune may not stand in a field name (RFC 9110, section 5.6.2).
func notToken(r rune) bool {
	return r > '~' || !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("!#$%&'*+-.^_`|~", r))
}
