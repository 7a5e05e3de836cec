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

func TestFiles(t *testing.T) {
	for name, want := range map[string]string{
		`\\server\share\a b\f.iso`:  "smb://server/share/a%20b/f.iso",
		`\\server\share\50%ä`:       "smb://server/share/50%25%C3%A4",
		"file://server/share/f":     "smb://server/share/f",
		"FILE://Server/share/d/f":   "smb://Server/share/d/f",
		"smb://server:4450/share/f": "smb://server:4450/share/f",
		"smb://[::1]/share/f":       "smb://[::1]/share/f",
		"file:/etc/hosts":           "file:/etc/hosts",
		"file:///etc/hosts":         "file:///etc/hosts",
		"file://localhost/a%20b":    "file:///a%20b",
	} {
		u, err := remotename.URL(name)
		if err != nil || u.String() != want || remotename.CheckSource(name) != nil || !remotename.IsFile(name) {
			t.Errorf("%s: %v, %v; want %s", name, u, err, want)
		}
		if remotename.Check(name) == nil {
			t.Errorf("%s: is on the web", name)
		}
	}
	for _, name := range []string{
		`\\`, `\\server`, `\\server\share`, `\\server\share\`, `\\server\share\..\f`, `\\server\\f`, `\\server\share\f:s`, `\\server\share\*`, `\\.\pipe\x:y`,
		`\\us er\share\f`, `\\server\share\` + "f\n", "file:f", "file://", "file:///", "file:///d/", "file:///f?x", "file:///f#x", "file:///%00", "file:///a b",
		"smb://server/f", "smb:///share/f", "smb://user:p@server/share/f", "smb://server:0/share/f", "smb://server/share/%2e%2e/f", "smb://server/share//f", "smb://server/share/a%5Cb",
		"file:///" + strings.Repeat("x", 261), `\\server\share\` + strings.Repeat(`x\`, 1100) + "f",
	} {
		if err := remotename.CheckSource(name); !errors.Is(err, bits.ErrInvalidArg) {
			t.Errorf("%.80q: %v, want E_INVALIDARG", name, err)
		}
	}
	if remotename.CheckSource("https://a/b") != nil || remotename.IsFile("https://a/b") || remotename.CheckSource("ftp://a/b") == nil {
		t.Error("the web")
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
