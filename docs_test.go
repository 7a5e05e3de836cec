package bits_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// shown are the tests and the text files of tests that a document can name.
func shown(t *testing.T) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	function := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark)\w+)\(`)
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if strings.HasSuffix(name, ".txtar") {
			names[filepath.Base(name)] = true
		}
		if !strings.HasSuffix(name, "_test.go") {
			return nil
		}
		text, err := os.ReadFile(name)
		for _, m := range function.FindAllStringSubmatch(string(text), -1) {
			names[m[1]] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// Every row of docs/bits.md has a state, and a test that exists where something works.
func TestBITSDocument(t *testing.T) {
	text, err := os.ReadFile("docs/bits.md")
	if err != nil {
		t.Fatal(err)
	}
	tests, quoted := shown(t), regexp.MustCompile("`([^`]+)`")
	works := []string{"done", "partly", "different"}
	rows, in := 0, false
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), " | ")
		switch {
		case !strings.HasPrefix(line, "|"):
			in = false
		case strings.HasPrefix(line, "| Function | State | Here | Test |"), strings.HasPrefix(line, "| Rule | State | Here | Test |"):
			in = true
		case !in || strings.HasPrefix(line, "|---"):
		case len(cells) != 4:
			t.Errorf("a row of %d cells: %s", len(cells), line)
		default:
			rows++
			state, test := strings.TrimSpace(cells[1]), strings.TrimSpace(cells[3])
			named := quoted.FindAllStringSubmatch(test, -1)
			for _, m := range named {
				if !tests[m[1]] {
					t.Errorf("%s: there is no test %s", cells[0], m[1])
				}
			}
			if slices.Contains(works, state) == (len(named) == 0) || len(named) == 0 && (test != "-" || state != "later" && state != "left out") {
				t.Errorf("%s: state %q and test %q do not go together", cells[0], state, test)
			}
		}
	}
	if rows < 250 {
		t.Errorf("only %d rows", rows)
	}
}
