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
