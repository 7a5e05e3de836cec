package content_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"bits/internal/content"
)

// abc are the digests of "abc", of FIPS 180, RFC 1321 and the test of b3sum.
var abc = map[string]string{
	"md5":    "900150983cd24fb0d6963f7d28e17f72",
	"sha1":   "a9993e364706816aba3e25717850c26c9cd0d89d",
	"sha224": "23097d223405d8228642a477bda255b32aadbce4bda0b3f7e36c9da7",
	"sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
	"sha384": "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7",
	"sha512": "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
	"blake3": "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85",
}

func TestParse(t *testing.T) {
	for text, want := range map[string]string{
		"sha256=" + abc["sha256"]:                   "sha256",
		"SHA-256:" + strings.ToUpper(abc["sha256"]): "sha256",
		" sha512 = " + abc["sha512"] + " ":          "sha512",
		"b3=" + abc["blake3"]:                       "blake3",
		"blake3:" + abc["blake3"]:                   "blake3",
		"sha=" + abc["sha1"]:                        "sha1",
		"sha384=" + abc["sha384"]:                   "sha384",
		abc["sha256"]:                               "sha256",
		abc["md5"]:                                  "md5",
		abc["sha1"]:                                 "sha1",
		abc["sha224"]:                               "sha224",
		abc["sha512"]:                               "sha512",
		"sha256=" + abc["sha1"]:                     "",
		"crc32=12345678":                            "",
		"sha256=" + strings.Repeat("g", 64):         "",
		"sha256":                                    "",
		"":                                          "",
		"=":                                         "",
		abc["sha256"][1:]:                           "",
		"sha256=sha256=" + abc["sha256"]:            "",
		"md5=" + abc["md5"] + "\n" + abc["md5"]:     "",
		"sha256=\x00" + strings.Repeat("\x00", 63):   "",
		"https://example.com/" + abc["sha256"] + "=": "",
	} {
		name, value, err := content.Parse(text)
		if name != want || (err == nil) != (want != "") || want != "" && value != abc[want] {
			t.Errorf("%q: %q %q, %v; want %q", text, name, value, err, want)
		}
	}
}

func TestList(t *testing.T) {
	text := strings.NewReplacer("S256", abc["sha256"], "S1", abc["sha1"], "S512", abc["sha512"]).Replace(`-----BEGIN PGP SIGNED MESSAGE-----
# a comment
S256  plain.iso
S256 *binary.iso
S256  ./dot.iso
S256  dir/inner.iso
S256  with  blanks.iso
\S256  with\\slash
SHA256 (bsd.iso) = S256
SHA512 (bsd.iso) = S512
SHA256 (brackets (1).iso) = S256
SHA1(openssl.iso)= S1
S256  twice/t.iso
`+strings.Repeat("0", 64)+`  twice2/t.iso
1234  short.iso
`) + abc["md5"] + "\ttabbed\r\n"
	l, err := content.ReadList(strings.NewReader(text), "SHA256SUMS")
	if err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{
		"plain.iso": "sha256", "binary.iso": "sha256", "dot.iso": "sha256", "inner.iso": "sha256", "with  blanks.iso": "sha256", `with\slash`: "sha256",
		"bsd.iso": "sha256 sha512", "brackets (1).iso": "sha256", "openssl.iso": "sha1", "tabbed": "md5",
		"t.iso": "", "short.iso": "", "other": "", "lain.iso": "", "": "",
	} {
		got, err := l.Of(file)
		if names := strings.Join(slices.Sorted(maps.Keys(got)), " "); names != want || (err == nil) != (want != "") {
			t.Errorf("%q: %v, %v; want %q", file, got, err, want)
		}
	}
	if l, err := content.ReadList(strings.NewReader(abc["blake3"]+"  a\n"), "http://x/B3SUMS"); err != nil {
		t.Error(err)
	} else if got, _ := l.Of("a"); got["blake3"] == "" {
		t.Errorf("%v", got)
	}
	for _, bad := range []string{"", "hello\n", strings.Repeat("a", 1<<17)} {
		if _, err := content.ReadList(strings.NewReader(bad), ""); err == nil {
			t.Errorf("%.20q was taken for a list", bad)
		}
	}
}

func TestStrength(t *testing.T) {
	for name := range abc {
		if got := content.Strong(map[string]string{name: abc[name]}); got != (name != "md5" && name != "sha1") {
			t.Errorf("%s: %v", name, got)
		}
	}
	if got := content.Strongest(abc); got != "sha512" {
		t.Error(got)
	}
	if got := content.Compare(map[string]string{"md5": "a", "sha256": "b", "sha1": "c"}, map[string]string{"md5": "x", "sha256": "y", "sha512": "z"}); !slices.Equal(got, []string{"sha256", "md5"}) {
		t.Error(got)
	}
}

// FuzzText lets people, lists and servers say anything: what comes out is a content.
func FuzzText(f *testing.F) {
	for name, value := range abc {
		f.Add(name+"="+value, value+"  file\n")
	}
	f.Add("", "SHA256 (file) = 12")
	f.Fuzz(func(t *testing.T, word, list string) {
		whole := func(name, value string) {
			if n, v, err := content.Check(name, value); err != nil || n != name || v != value {
				t.Errorf("%q, %q: %v", name, value, err)
			}
		}
		if name, value, err := content.Parse(word); err == nil {
			whole(name, value)
		}
		if l, err := content.ReadList(strings.NewReader(list), word); err == nil {
			found, _ := l.Of("file")
			for name, value := range found {
				whole(name, value)
			}
		}
	})
}
