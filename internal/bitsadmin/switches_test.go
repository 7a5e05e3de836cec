package bitsadmin

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"bits"
	"bits/client"
	"bits/hresult"
)

// The table is whole: each switch once, in capitals, with what it does and how far it is.
func TestTable(t *testing.T) {
	if len(switches) != 106 {
		t.Errorf("%d switches; bitsadmin has 106", len(switches))
	}
	seen := map[string]bool{}
	for i := range switches {
		s := &switches[i]
		if seen[s.Name] || s.Name != strings.ToUpper(s.Name) {
			t.Errorf("/%s stands in the table twice, or not in capitals", s.Name)
		}
		seen[s.Name] = true
		if (s.do == nil) != (i < 3) || s.Does == "" || !slices.Contains([]string{works, later, leftOut}, s.State) || s.State == leftOut && s.Differs == "" {
			t.Errorf("the row of /%s is not whole: %+v", s.Name, s)
		}
	}
	for wrong, right := range synonyms {
		if seen[wrong] || !seen[right] {
			t.Errorf("%s cannot mean %s", wrong, right)
		}
	}
}

// Every switch is used by a script.
func TestScriptsUseEverySwitch(t *testing.T) {
	names, err := filepath.Glob("../../cmd/bits/testdata/script/admin-*.txtar")
	if err != nil || len(names) < 5 {
		t.Fatalf("%v, %v", names, err)
	}
	var scripts bytes.Buffer
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		// Only what is run, and the operands of what is run, count.
		for line := range strings.Lines(string(text)) {
			if !strings.HasPrefix(line, "std") && !strings.HasPrefix(line, "! std") && !strings.HasPrefix(line, "#") {
				scripts.WriteString(line)
			}
		}
	}
	for _, s := range switches {
		use := `(?m)bitsadmin (/RAWRETURN |/NOWRAP |/WRAP )*/` + strings.ReplaceAll(regexp.QuoteMeta(s.Name), " ", " /") + `([ "')]|$)`
		if !regexp.MustCompile(use).Match(scripts.Bytes()) {
			t.Errorf("no script uses /%s", s.Name)
		}
	}
}

var update = flag.Bool("update", false, "write the table of docs/bitsadmin.md")

// The table of docs/bitsadmin.md is that of the code.
func TestDocument(t *testing.T) {
	const name, begin, end = "../../docs/bitsadmin.md", "<!-- switches -->\n", "<!-- end -->\n"
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var table strings.Builder
	table.WriteString("| # | switch | state | what differs, or is to be known |\n|---|---|---|---|\n")
	for i := range switches {
		s := &switches[i]
		line := fmt.Sprintf("| %d | `%s` | %s | %s", i+1, strings.ReplaceAll(spelling(s), "|", `\|`), s.State, s.Differs)
		table.WriteString(strings.TrimSpace(line) + " |\n")
	}
	before, rest, ok := strings.Cut(string(text), begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the table", name)
	}
	want := before + begin + table.String() + end + after
	if want == string(text) {
		return
	}
	if !*update {
		t.Fatalf("the table of %s is not that of the code; write it with: go test ./internal/bitsadmin -run TestDocument -update", name)
	}
	if err := os.WriteFile(name, []byte(want), 0o644); err != nil {
		t.Fatal(err)
	}
}

// A switch that needs the service says so when there is none; the others do without it.
func TestWithoutService(t *testing.T) {
	away := bits.Errorf(hresult.RPC_S_SERVER_UNAVAILABLE, "cannot start the service: this test has none")
	t.Setenv("BITS_SOCKET", filepath.Join(t.TempDir(), "none"))
	for i := range switches {
		s := &switches[i]
		if s.do == nil {
			continue
		}
		args := strings.Split("/"+strings.ReplaceAll(s.Name, " ", " /"), " ")
		for _, word := range shapeOf(s.Operands).words[:shapeOf(s.Operands).least] {
			args = append(args, operand(t, s.Name, word))
		}
		var out, said bytes.Buffer
		called := false
		c := Command{Client: &client.Client{}, Out: &out, Err: &said, Connect: func(context.Context) error { called = true; return away }}
		err := c.Run(t.Context(), args)
		var code Exit
		switch failed := errors.As(err, &code); {
		case called && (!failed || code != exit(away) || !strings.HasPrefix(said.String(), "Unable to "+s.Does+" - 0x800706BA\n")):
			t.Errorf("%q: %v, and it says %s", args, err, said.String())
		case !called && !failed && s.State == leftOut:
			t.Errorf("%q is left out, and succeeds", args)
		case !called && failed && (code != exit(bits.Errorf(hresult.E_NOTIMPL, "")) || s.State == works):
			t.Errorf("%q: %v, and it says %s", args, err, said.String())
		}
		if local := regexp.MustCompile(`HELP$|\?|^CACHE|^PEER|IEPROXY|ANALYTIC|UTIL VERSION`).MatchString(s.Name); local == called {
			t.Errorf("%q: whether it needs the service is %v", args, called)
		}
		if !strings.HasPrefix(out.String(), "BITSADMIN of bits ") {
			t.Errorf("%q has no banner: %q", args, out.String())
		}
	}
}

// operand is a word that the switch takes at this place.
func operand(t *testing.T, name, word string) string {
	path := filepath.Join(t.TempDir(), "x")
	switch word {
	case "path":
		return path
	case "textfile":
		if err := os.WriteFile(path, []byte("http://localhost/x "+path+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	case "ranges":
		return "0:1"
	case "letters":
		return "O"
	case "h1":
		return "X-A: 1"
	case "true|false":
		return "true"
	case "index", "sum", "seconds", "value", "flags", "location", "percent":
		return "1"
	}
	return "word"
}
