package metalink_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"bits"
	"bits/internal/content"
	"bits/internal/metalink"
)

const sum = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

func document(files string) string {
	return `<?xml version="1.0" encoding="UTF-8"?><metalink xmlns="urn:ietf:params:xml:ns:metalink">` + files + `</metalink>`
}

func size(n int64) *int64 { return &n }

func TestRead(t *testing.T) {
	text := document(`
  <published>2009-05-15T12:23:23Z</published>
  <file name="debian/example.ext">
    <size>2000</size>
    <identity>Example</identity>
    <language>en</language>
    <hash type="sha-256"> ` + strings.ToUpper(sum) + `
    </hash>
    <hash type="whirlpool">12</hash>
    <pieces length="1024" type="sha-256"><hash>` + sum + `</hash><hash> ` + sum + ` </hash></pieces>
    <url location="de" priority="3">ftp://ftp.example.com/example.ext</url>
    <url location="fr" priority="2">http://b.example.com/example.ext</url>
    <url location="de" priority="2">http://c.example.com/example.ext</url>
    <url>http://last.example.com/example.ext</url>
    <url priority="1">https://a.example.com/example.ext</url>
    <url priority="7">https://a.example.com/example.ext</url>
    <metaurl mediatype="torrent" priority="2">http://example.com/example.ext.torrent</metaurl>
    <signature mediatype="application/pgp-signature">x</signature>
  </file>
  <file name="second"><url priority="1">https://a.example.com/2</url><url>http://b.example.com/2</url><url>https://c.example.com/2</url></file>`)
	want := []bits.FileSpec{
		{RemoteName: "https://a.example.com/example.ext", LocalName: "example.ext", Pieces: &bits.Pieces{Algorithm: "sha-256", Length: 1024, Hashes: []string{sum, sum}}, Content: bits.Content{
			Digests: map[string]string{"sha256": sum}, Expected: size(2000),
			Mirrors: []string{"http://c.example.com/example.ext", "http://b.example.com/example.ext", "http://last.example.com/example.ext"},
		}},
		{RemoteName: "https://a.example.com/2", LocalName: "second", Content: bits.Content{Mirrors: []string{"https://c.example.com/2"}}},
	}
	got, err := metalink.Read(strings.NewReader(text), "DE")
	if d := cmp.Diff(want, got); err != nil || d != "" {
		t.Error(err, d)
	}
	if got, err := metalink.Read(strings.NewReader(text), ""); err != nil || got[0].Mirrors[0] != "http://b.example.com/example.ext" {
		t.Error(got, err)
	}
}

func TestReadRefuses(t *testing.T) {
	url := `<url>http://a.example/f</url>`
	file := func(name, inner string) string { return document(`<file name="` + name + `">` + inner + `</file>`) }
	for what, text := range map[string]string{
		"empty":                    "",
		"hello":                    "hello",
		"HTML":                     "<!DOCTYPE html><html><body>Please log in</body></html>",
		"cut":                      document(`<file name="a">` + url)[:100],
		"no files":                 document(""),
		"version 3":                `<metalink version="3.0" xmlns="http://www.metalinker.org/"><files/></metalink>`,
		"no namespace":             `<metalink><file name="a">` + url + `</file></metalink>`,
		"deep":                     document(strings.Repeat("<a>", 30) + strings.Repeat("</a>", 30)),
		"large":                    document("<!--" + strings.Repeat("x", metalink.MaxSize) + "-->"),
		"many files":               document(strings.Repeat(`<file name="a">`+url+`</file>`, 1001)),
		"twice":                    document(strings.Repeat(`<file name="a">`+url+`</file>`, 2)),
		"twice in folders":         document(`<file name="a/f">` + url + `</file><file name="b/f">` + url + `</file>`),
		"entities":                 `<!DOCTYPE m [<!ENTITY x SYSTEM "file:///etc/passwd">]>` + document(`<file name="&x;">`+url+`</file>`),
		"no source":                file("a", ""),
		"no source that we use":    file("a", `<url>ftp://a/f</url><url>file:///etc/passwd</url><url>x</url>`),
		"parent":                   file("../a", url),
		"parent inside":            file("a/../../b", url),
		"parent of Windows":        file(`a\..\b`, url),
		"absolute":                 file("/etc/passwd", url),
		"folder":                   file("a/", url),
		"dot":                      file(".", url),
		"no name":                  file("", url),
		"long":                     file(strings.Repeat("a", 256), url),
		"size":                     file("a", "<size>-1</size>"+url),
		"no size":                  file("a", "<size>x</size>"+url),
		"short hash":               file("a", `<hash type="sha-256">12</hash>`+url),
		"two hashes":               file("a", `<hash type="sha-256">`+sum+`</hash><hash type="sha-256">`+strings.Repeat("0", 64)+`</hash>`+url),
		"pieces of another size":   file("a", `<size>5000</size><pieces length="1024" type="sha-256"><hash>`+sum+`</hash></pieces>`+url),
		"pieces without a length":  file("a", `<pieces type="sha-256"><hash>`+sum+`</hash></pieces>`+url),
		"no pieces":                file("a", `<pieces type="sha-256" length="1024"></pieces>`+url),
		"a piece that is no piece": file("a", `<pieces type="sha-256" length="1024"><hash>x</hash></pieces>`+url),
	} {
		if got, err := metalink.Read(strings.NewReader(text), ""); err == nil {
			t.Errorf("%s: %+v", what, got)
		}
	}
}

func TestNames(t *testing.T) {
	for given, want := range map[string]string{
		"a": "a", "a/b/c.iso": "c.iso", "C:evil": "C_evil", `a\b`: "a_b", "a&#x9;b": "a_b", "ü €": "ü €", "..a": "..a", "a?*": "a__",
	} {
		got, err := metalink.Read(strings.NewReader(document(`<file name="`+given+`"><url>http://a.example/f</url></file>`)), "")
		if err != nil || got[0].LocalName != want {
			t.Errorf("%q: %v, %v; want %q", given, got, err, want)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add(document(`<file name="a/b"><size>3</size><hash type="sha-256">` + sum + `</hash><pieces length="1024" type="sha-1"><hash>00</hash></pieces><url priority="1" location="de">http://a.example/f</url></file>`))
	f.Add(fmt.Sprintf(document(`<file name="%s"><url>https://a.example/f</url><url>http://b.example/f</url></file>`), "../x"))
	f.Fuzz(func(t *testing.T, text string) {
		files, err := metalink.Read(strings.NewReader(text), "de")
		if err != nil {
			return
		}
		for _, s := range files {
			if filepath.Base(s.LocalName) != s.LocalName || s.LocalName == ".." || s.LocalName == "." {
				t.Errorf("it goes to %q", s.LocalName)
			}
			if _, err := content.Of(bits.Download, s); err != nil {
				t.Errorf("no job takes it: %v", err)
			}
		}
	})
}
