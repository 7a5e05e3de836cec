package conformance

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// Every function of BITS has a row, and every row is of one; every file of rows can be read, and its marks are known.
func TestSuiteIsWhole(t *testing.T) {
	text, err := os.ReadFile("testdata/methods.txt")
	if err != nil {
		t.Fatal(err)
	}
	var methods []string
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "//") {
			methods = append(methods, line)
		}
	}
	rows, names := map[string]int{}, map[string]string{}
	for _, r := range all(t) {
		if at, twice := names[r.name()]; twice {
			t.Errorf("%s: the row %s is in %s already", r.at, r.name(), at)
		}
		names[r.name()] = r.at
		if len(r.steps) == 0 {
			t.Errorf("%s: no steps", r.at)
		}
		if only, why, _ := strings.Cut(r.marks["doors"], ":"); only != "" && why == "" {
			t.Errorf("%s: why only through %s?", r.at, only)
		}
		for _, f := range r.functions {
			if rows[f]++; !slices.Contains(methods, f) {
				t.Errorf("%s: there is no function %s", r.at, f)
			}
		}
	}
	for _, m := range methods {
		if rows[m] == 0 {
			t.Errorf("%s has no row", m)
		}
	}
}
