package hresult_test

import (
	"regexp"
	"testing"

	"bits/hresult"
)

func TestRows(t *testing.T) {
	names, codes := map[string]bool{}, map[hresult.Code]bool{}
	name := regexp.MustCompile(`^[A-Z][A-Z0-9_]*$`)
	for _, r := range hresult.Rows() {
		if names[r.Name] || codes[r.Code] {
			t.Errorf("%v %s stands there twice", r.Code, r.Name)
		}
		names[r.Name], codes[r.Code] = true, true
		if !name.MatchString(r.Name) || r.Message == "" {
			t.Errorf("%v: name %q, message %q", r.Code, r.Name, r.Message)
		}
		if r.Code.Failed() && r.Class == 'S' || !r.Code.Failed() && r.Class != 'S' && r.Class != 'I' {
			t.Errorf("%v %s has class %c", r.Code, r.Name, r.Class)
		}
		if got, err := hresult.Parse(r.Name); err != nil || got != r.Code {
			t.Errorf("Parse(%s) = %v, %v", r.Name, got, err)
		}
		if got, err := hresult.Parse(r.Code.String()); err != nil || got != r.Code {
			t.Errorf("Parse(%v) = %v, %v", r.Code, got, err)
		}
	}
	if len(names) < 250 {
		t.Errorf("the table has %d rows", len(names))
	}
}

func TestHTTPStatuses(t *testing.T) {
	for status, want := range map[int]struct {
		transient bool
		exit      int
	}{
		300: {false, 1}, 301: {false, 1}, 306: {true, 1}, 400: {false, 12}, 401: {false, 14}, 404: {false, 12}, 407: {false, 14},
		408: {true, 12}, 409: {true, 12}, 429: {false, 12}, 500: {true, 13}, 501: {false, 13}, 503: {true, 13}, 505: {false, 13}, 599: {true, 13},
	} {
		c := hresult.FromHTTPStatus(status)
		if c.Transient() != want.transient || c.Exit() != want.exit {
			t.Errorf("%d: transient %v, exit %d; want %v, %d", status, c.Transient(), c.Exit(), want.transient, want.exit)
		}
	}
}

func TestClasses(t *testing.T) {
	for _, c := range []hresult.Code{hresult.ERROR_WINHTTP_SECURE_CERT_REVOKED, hresult.ERROR_WINHTTP_SECURE_CERT_REV_FAILED, hresult.BG_E_SERVER_CERT_VALIDATION_INTERFACE_REQUIRED} {
		if c.Transient() {
			t.Errorf("%v %s is transient", c, c.Name())
		}
	}
	for _, c := range []hresult.Code{hresult.ERROR_WINHTTP_SECURE_INVALID_CA, hresult.ERROR_WINHTTP_SECURE_CERT_CN_INVALID, hresult.ERROR_WINHTTP_TIMEOUT, hresult.ERROR_WINHTTP_CANNOT_CONNECT, 0x80041234} {
		if !c.Transient() {
			t.Errorf("%v %s is fatal", c, c.Name())
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"0x80004005", "E_FAIL", "-2147467259", "0x0", "x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c, err := hresult.Parse(s)
		if err != nil {
			return
		}
		if again, err := hresult.Parse(c.String()); err != nil || again != c {
			t.Errorf("%q is %v, and that is %v, %v", s, c, again, err)
		}
	})
}
