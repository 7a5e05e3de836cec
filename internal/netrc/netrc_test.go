package netrc

import (
	"strings"
	"testing"
)

func TestFind(t *testing.T) {
	for _, c := range []struct{ text, host, want string }{
		{"machine a login u password p", "a", "u p"},
		{"machine a\n\tlogin u\n\tpassword p\nmachine b login v password q", "B", "v q"},
		{"machine a login u password p\ndefault login d password e", "c", "d e"},
		{"machine a login u password p", "c", ""},
		{"machine a login \"u 1\" password \"p \\\" \\\\ #\"", "a", `u 1 p " \ #`},
		{"# machine a login x password y\nmachine a login u password p#1", "a", "u p#1"},
		{"machine a\nmacdef init\nmachine b login x password y\n\nmachine b login v password q", "b", "v q"},
		{"machine a login u password p account z\nmachine a login v password q", "a", "u p"},
		{"machine a password p\nmachine a login u password q", "a", "u q"},
		{"machine a login u", "a", "u "},
		{"machine", "a", ""},
		{"login u password p", "a", ""},
	} {
		got := ""
		if id, _ := Find(c.text, c.host); id != nil {
			got = id.User + " " + id.Password
		}
		if got != c.want {
			t.Errorf("%q for %s: %q, want %q", c.text, c.host, got, c.want)
		}
	}
}

// What is not understood in a file .netrc is told by its line, never by what stands there; the rest counts.
func TestMalformed(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"machine a login u password p\nmacdef init\nany thing\n\ndefault login d password e\n", ""},
		{"# nothing\n", ""},
		{"machine a login u password my s3cret\n", "in line 1 a word is none of machine"},
		{"\n\nmachine a\n login u\n passwd s3cret\n", "in line 5 a word is none of machine"},
		{"machine a login u password", "in line 1 password has no value"},
		{"machine a login u\nmachine", "in line 2 machine has no value"},
		{"login u password s3cret", "in line 1 login stands before any machine"},
		{"machine a login u password \"s3cret\nmachine b", "a quote is not closed"},
		{"machine a, login u, password s3cret\n{\"s3cret\": 1}", "in line 2 a word"},
	} {
		id, wrong := Find(c.text, "a")
		if c.want == "" && wrong != nil || c.want != "" && (wrong == nil || !strings.Contains(wrong.Error(), c.want) || strings.Contains(wrong.Error(), "s3cret")) {
			t.Errorf("%q: %v", c.text, wrong)
		}
		if strings.HasPrefix(c.text, "machine a login u") && (id == nil || id.User != "u") {
			t.Errorf("%q: the rest does not count: %v", c.text, id)
		}
	}
}

// A file .netrc may hold anything: reading it ends, and what it finds stands in it.
func FuzzFind(f *testing.F) {
	f.Add("machine a login u password \"p \\\" #\"\nmacdef x\n\ndefault login d", "a")
	f.Add("machine machine login login default", "machine")
	f.Fuzz(func(t *testing.T, text, host string) {
		id, _ := Find(text, host)
		if id == nil || strings.Contains(text, `\`) {
			return
		}
		for _, word := range []string{id.User, id.Password} {
			if !strings.Contains(text, word) {
				t.Errorf("%q of %q", word, text)
			}
		}
		if !strings.Contains(text, "default") && !strings.Contains(strings.ToLower(text), strings.ToLower(host)) {
			t.Errorf("%q, of another host than %q", text, host)
		}
	})
}
