package metalink

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"bits"
	"bits/internal/content"
	"bits/internal/remotename"
)

func TestParseLinks(t *testing.T) {
	for line, want := range map[string]string{
		`<http://a/f>; rel=duplicate`:                                 `http://a/f rel=duplicate`,
		`<http://a/f>;rel="duplicate";pri=1;geo=de`:                   `http://a/f geo=de pri=1 rel=duplicate`,
		"<http://a/f> ;\t REL = \"a \\\"b\\\\\" , </g>; rel=x; rel=y": `http://a/f rel=a "b\, /g rel=x`,
		`, <a>,, <b> ,`:                           `a, b`,
		`<a>; pref; rel=duplicate`:                `a pref= rel=duplicate`,
		`<a>; title*=UTF-8'de'x; title="a,<b>;c"`: `a title*=UTF-8'de'x title=a,<b>;c`,
		`<x,y;z>; rel=duplicate`:                  `x,y;z rel=duplicate`,
		`<>; rel=self`:                            ` rel=self`,
		``:                                        ``,
		`http://a/f; rel=duplicate`:               `-`,
		`<http://a/f; rel=duplicate`:              `-`,
		`<a b>; rel=duplicate`:                    `-`,
		"<a\x00>; rel=duplicate":                  `-`,
		`<ä>; rel=duplicate`:                      `-`,
		`<<a>>; rel=duplicate`:                    `-`,
		`<a> rel=duplicate`:                       `-`,
		`<a>; rel="duplicate`:                     `-`,
		`<a>; rel="duplicate\`:                    `-`,
		"<a>; rel=\"\x01\"":                       `-`,
		`<a>; rel=`:                               `-`,
		`<a>; rel=http://x/`:                      `-`,
		`<a>; =duplicate`:                         `-`,
		`<a>;; rel=duplicate`:                     `-`,
		`<a>; rel=duplicate; rel="x" y`:           `-`,
		`<a>; rel=duplicate <b>`:                  `-`,
		`<a>; rel=duplicate, b`:                   `-`,
		`<a>` + strings.Repeat(`,<a>`, 3):         `a, a, a, a`,
	} {
		links, ok := parse(line)
		var texts []string
		for _, l := range links {
			text := l.target
			var names []string
			for name, value := range l.parameters {
				names = append(names, " "+name+"="+value)
			}
			slices.Sort(names)
			texts = append(texts, text+strings.Join(names, ""))
		}
		got := strings.Join(texts, ", ")
		if !ok {
			got = "-"
		}
		if got != want {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
	}
}

// response is what a server says of itself.
func response(from string, status int, lines ...string) *http.Response {
	u, _ := url.Parse(from)
	a := &http.Response{StatusCode: status, Header: http.Header{}, Request: &http.Request{URL: u}}
	for _, l := range lines {
		name, value, _ := strings.Cut(l, ": ")
		a.Header.Add(name, value)
	}
	return a
}

func TestNote(t *testing.T) {
	raw := sha256.Sum256([]byte("abc"))
	digest, other := "Digest: SHA-256="+base64.StdEncoding.EncodeToString(raw[:]), "Digest: SHA-256="+base64.StdEncoding.EncodeToString(make([]byte, 32))
	sums := map[string]string{"sha256": fmt.Sprintf("%x", raw)}
	link := func(to string, more string) string { return "Link: <" + to + ">; rel=duplicate" + more }
	const b = "https://b.example/f"
	var many, foreign []string
	for i := range 2 * maxNamed {
		many = append(many, link(fmt.Sprintf("https://b.example/%d", i), fmt.Sprintf("; pri=%d", 100-i)))
	}
	for range maxLinks {
		foreign = append(foreign, "<x>; rel=next")
	}
	for name, c := range map[string]struct {
		off    bool
		file   bits.File
		from   string // another address that the answer is of
		status int
		told   map[string]string
		lines  []string
		want   string
		sums   map[string]string
	}{
		"nobody asked":            {off: true, lines: []string{digest, link(b, "")}},
		"digest":                  {lines: []string{digest, link(b, "")}, want: b, sums: sums},
		"repr-digest":             {told: sums, lines: []string{link(b, "")}, want: b, sums: sums},
		"both":                    {told: sums, lines: []string{digest, link(b, "")}, want: b, sums: sums},
		"both, and they differ":   {told: sums, lines: []string{other, link(b, "")}},
		"two that differ":         {lines: []string{digest, other, link(b, "")}},
		"in one line":             {lines: []string{digest + ",MD5=kAFQmDzST7DWlj99KOF/cg==, " + other[8:], link(b, "")}},
		"part":                    {status: 206, lines: []string{digest, link(b, "")}, want: b, sums: sums},
		"error page":              {status: 503, lines: []string{digest, link(b, "")}},
		"redirect":                {status: 302, lines: []string{digest, link(b, "")}},
		"no digest":               {lines: []string{link(b, "")}},
		"weak digest":             {lines: []string{"Digest: MD5=kAFQmDzST7DWlj99KOF/cg==,SHA=qZk+NkcGgWq6PiVxeFDCbJzQ2J0=", link(b, "")}},
		"short digest":            {lines: []string{"Digest: SHA-256=qZk+NkcGgWq6PiVxeFDCbJzQ2J0=", link(b, "")}},
		"digest that is none":     {lines: []string{"Digest: SHA-256=!!!", link(b, "")}},
		"the owner's digest":      {file: bits.File{FileDetails: bits.FileDetails{Content: bits.Content{Digests: sums}}}, lines: []string{link(b, "")}, want: b},
		"the owner's weak digest": {file: bits.File{FileDetails: bits.FileDetails{Content: bits.Content{Digests: map[string]string{"md5": "x"}}}}, lines: []string{link(b, "")}},
		"the owner knows another": {file: bits.File{FileDetails: bits.FileDetails{Content: bits.Content{Digests: map[string]string{"sha256": strings.Repeat("0", 64)}}}}, lines: []string{digest, link(b, "")}},
		"a mirror names nobody":   {file: bits.File{FileDetails: bits.FileDetails{Source: "https://m.example/f"}}, lines: []string{digest, link(b, "")}, want: "before"},
		"http":                    {lines: []string{digest, link("http://b.example/f", "")}, want: "http://b.example/f", sums: sums},
		"redirected to http":      {from: "http://c.example/f", lines: []string{digest, link(b, "")}},
		"redirected":              {from: "https://c.example/d/f", lines: []string{digest, link("g", "")}, want: "https://c.example/d/g", sums: sums},
		"http of the owner's own": {file: bits.File{RemoteName: "http://a.example/f"}, from: "http://a.example/f", lines: []string{digest, link(b, "")}, want: b, sums: sums},
		"by priority":             {lines: []string{digest, link("/a", ""), link("/b", "; pri=10"), link("/c", "; pri=2"), link("/d", "; pri=2"), link("/e", "; pri=0"), link("/f1", "; pri=999999; geo=de; pref; depth=2")}, want: "https://a.example/c https://a.example/d https://a.example/b https://a.example/f1 https://a.example/a https://a.example/e", sums: sums},
		"several relations":       {lines: []string{digest, `Link: <` + b + `>; rel="self DUPLICATE"`}, want: b, sums: sums},
		"other relations":         {lines: []string{digest, `Link: <x.meta4>; rel=describedby; type="application/metalink4+xml", <y>; rel=duplicated, <z>`}},
		"of something else":       {lines: []string{digest, link(b, `; anchor="/other"`)}},
		"itself, and twice":       {lines: []string{digest, link("/f", ""), link(b, ""), link(b+"#x", "")}, want: b, sums: sums},
		"known already":           {file: bits.File{FileDetails: bits.FileDetails{Content: bits.Content{Mirrors: []string{b}}}}, lines: []string{digest, link(b, "")}},
		"not to be fetched":       {lines: []string{digest, link("ftp://b/f", ""), link("file:///etc/passwd", ""), link("https://u:p@b/f", ""), link("https://b:0/f", ""), link("", ""), link("javascript:1", ""), link("https://b/"+strings.Repeat("x", 3000), "")}},
		"signatures":              {lines: []string{digest, link(b+"?sig=1", ""), link(b+"?", "")}},
		"one line is broken":      {lines: []string{digest, "Link: <https://c.example/f>; rel=duplicate; =", link(b, "")}, want: b, sums: sums},
		"no links":                {lines: []string{digest}},
		"many":                    {lines: append([]string{digest}, many...), want: "https://b.example/63 https://b.example/62", sums: sums},
		"behind what is worth it": {lines: []string{digest, "Link: " + strings.Join(foreign, ","), link(b, "")}},
	} {
		f := c.file
		f.MirrorsFromServer = !c.off
		f.Told = bits.Content{Mirrors: []string{"before"}}
		if f.RemoteName == "" {
			f.RemoteName = "https://a.example/f"
		}
		from, status := "https://a.example/f", 200
		if c.from != "" {
			from = c.from
		}
		if c.status != 0 {
			status = c.status
		}
		Note(&f, response(from, status, c.lines...), c.told)
		got := f.Told.Mirrors
		if name == "many" && len(got) == maxNamed {
			got = got[:2]
		}
		if d := cmp.Diff(strings.Fields(c.want), append([]string{}, got...)); d != "" {
			t.Errorf("%s: %s", name, d)
		}
		if len(c.sums)+len(f.Told.Digests) > 0 && !cmp.Equal(c.sums, f.Told.Digests) {
			t.Errorf("%s: digests %v, want %v", name, f.Told.Digests, c.sums)
		}
	}
}

// FuzzLinks lets a server name anybody: what is kept can be fetched, and not without a digest.
func FuzzLinks(f *testing.F) {
	f.Add(`<http://a/f>;rel="duplicate";pri=1;geo=de, </g>; rel=x`, "SHA-256=ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=")
	f.Add(`<//b/f> ; rel = "a \"b\\ duplicate"; title*=UTF-8'de'x`, "sha-512=,")
	f.Fuzz(func(t *testing.T, line, digest string) {
		file := bits.File{RemoteName: "https://a.example/d/f"}
		file.MirrorsFromServer = true
		a := response(file.RemoteName, 200)
		a.Header["Link"], a.Header["Digest"] = []string{line}, []string{digest}
		Note(&file, a, nil)
		if len(file.Told.Mirrors) > maxNamed || len(file.Told.Mirrors) > 0 && !content.Strong(file.Told.Digests) {
			t.Errorf("%+v", file.Told)
		}
		for _, m := range file.Told.Mirrors {
			if err := remotename.Check(m); err != nil || strings.ContainsAny(m, "?#") {
				t.Errorf("%q: %v", m, err)
			}
		}
	})
}
