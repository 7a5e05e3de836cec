package remotename_test

import (
	"errors"
	"strings"
	"testing"

	"bits"
	"bits/internal/remotename"
)

func TestCheck(t *testing.T) {
	ok := []string{"http://a/", "https://a.b:1/c?d=e", "HTTP://a", "http://[::1]:80/x", "http://a/" + strings.Repeat("x", 260)}
	bad := []string{
		"", "a", "/a", "ftp://a/b", "http://", "http:///x", "http:a", "file:///etc/passwd", "http://a/ b", "http://a/\u00e9", "http://a/\r\n",
		"http://a/" + strings.Repeat("x", 261), "http://a/" + strings.Repeat("x/", 1100), "http://a:b/", "http://a/%zz", "\\\\server\\share\\file",
	}
	for _, u := range ok {
		if err := remotename.Check(u); err != nil {
			t.Errorf("%.80q: %v", u, err)
		}
	}
	for _, u := range bad {
		if err := remotename.Check(u); !errors.Is(err, bits.ErrInvalidArg) {
			t.Errorf("%.80q: %v, want E_INVALIDARG", u, err)
		}
	}
}

func FuzzCheck(f *testing.F) {
	for _, s := range []string{"http://a/b", "https://[::1]/", "http://a/%00", "x:y"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if remotename.Check(s) == nil && (len(s) > bits.MaxURL || strings.ContainsAny(s, "\r\n \x00")) {
			t.Errorf("%q is accepted", s)
		}
	})
}
