package login

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for _, c := range []struct{ fields, want string }{
		{`Basic realm="a"`, `[{"Scheme":"basic","Token":"","Params":{"realm":"a"}}]`},
		{`Negotiate`, `[{"Scheme":"negotiate","Token":"","Params":{}}]`},
		{`NTLM TlRMTVNTUAAC==`, `[{"Scheme":"ntlm","Token":"TlRMTVNTUAAC==","Params":{}}]`},
		{`Negotiate, NTLM, Basic realm=x`, `[{"Scheme":"negotiate","Token":"","Params":{}},{"Scheme":"ntlm","Token":"","Params":{}},{"Scheme":"basic","Token":"","Params":{"realm":"x"}}]`},
		{`Newauth realm="apps", type=1, title="Login to \"apps\"", Basic realm="simple"`, `[{"Scheme":"newauth","Token":"","Params":{"realm":"apps","title":"Login to \"apps\"","type":"1"}},{"Scheme":"basic","Token":"","Params":{"realm":"simple"}}]`},
		{"Digest realm=\"a, b\" , qop=\"auth, auth-int\",nonce = \"n=,\"\nBasic realm=\"c\"", `[{"Scheme":"digest","Token":"","Params":{"nonce":"n=,","qop":"auth, auth-int","realm":"a, b"}},{"Scheme":"basic","Token":"","Params":{"realm":"c"}}]`},
		{`, ,Basic realm="a",,`, `[{"Scheme":"basic","Token":"","Params":{"realm":"a"}}]`},
		{`BASIC REALM="a", realm="b"`, `[{"Scheme":"basic","Token":"","Params":{"realm":"a"}}]`},
		{`Basic realm="a`, `[{"Scheme":"basic","Token":"","Params":{}}]`},
		{`Basic realm=`, `[{"Scheme":"basic","Token":"realm=","Params":{}}]`},
		{`NTLM abc=, Basic realm="a"`, `[{"Scheme":"ntlm","Token":"abc=","Params":{}},{"Scheme":"basic","Token":"","Params":{"realm":"a"}}]`},
		{`=`, `null`},
		{``, `null`},
		{`Basic="a"`, `null`},
	} {
		got, err := json.Marshal(Parse(strings.Split(c.fields, "\n")))
		if err != nil || string(got) != c.want {
			t.Errorf("%s:\n got %s (%v)\nwant %s", c.fields, got, err, c.want)
		}
	}
}

// Whatever a server says, reading it ends, and finds no more than it could have said.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{`Digest realm="a", qop="auth", Basic realm=x`, `Negotiate abc==, NTLM`, `a b c d`, `"`, `Basic realm="\`, "Basic \t,= ,"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, field string) {
		all := Parse([]string{field})
		if len(all) > len(field) {
			t.Errorf("%d challenges in %d bytes", len(all), len(field))
		}
		for _, c := range all {
			if c.Scheme == "" || c.Scheme != strings.ToLower(c.Scheme) || len(c.Token) > len(field) {
				t.Errorf("%+v", c)
			}
		}
	})
}

func TestNetrc(t *testing.T) {
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
		if id, _ := netrc(c.text, c.host); id != nil {
			got = id.User + " " + id.Password
		}
		if got != c.want {
			t.Errorf("%q for %s: %q, want %q", c.text, c.host, got, c.want)
		}
	}
}

// What is not understood in a file .netrc is told by its line, never by what stands there; the rest counts.
func TestMalformedNetrc(t *testing.T) {
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
		id, wrong := netrc(c.text, "a")
		if c.want == "" && wrong != nil || c.want != "" && (wrong == nil || !strings.Contains(wrong.Error(), c.want) || strings.Contains(wrong.Error(), "s3cret")) {
			t.Errorf("%q: %v", c.text, wrong)
		}
		if strings.HasPrefix(c.text, "machine a login u") && (id == nil || id.User != "u") {
			t.Errorf("%q: the rest does not count: %v", c.text, id)
		}
	}
}
