package bits_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// shown are the tests and the text files of tests that a document can name.
func shown(t *testing.T) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	declared := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark)\w+)\(`)
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
		for _, m := range declared.FindAllStringSubmatch(string(text), -1) {
			names[m[1]] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// suite is what the rows of tests/conformance say: the marks of engines that come later, by function of BITS.
func suite(t *testing.T) map[string][]string {
	t.Helper()
	names, err := filepath.Glob("tests/conformance/testdata/rows/*.txt")
	if err != nil || len(names) == 0 {
		t.Fatalf("no rows: %v", err)
	}
	marks := map[string][]string{}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var of []string
		for line := range strings.Lines(string(text)) {
			line = strings.TrimSpace(line)
			if head, ok := strings.CutPrefix(line, "# "); ok {
				functions, _, _ := strings.Cut(head, ": ")
				of = strings.Split(functions, ", ")
				for _, f := range of {
					marks[f] = append(marks[f], "")
				}
			} else if engine, ok := strings.CutPrefix(line, "engine: "); ok {
				for _, f := range of {
					marks[f] = append(marks[f], engine)
				}
			}
		}
	}
	return marks
}

var engine = regexp.MustCompile(`\(engine: ([^)]+)\)`)

// function is the name of what a row of a table is about: its first cell, under the interface that the heading names, or its number.
func function(heading, cell string) string {
	name, _, _ := strings.Cut(cell, " ")
	if strings.Contains(name, "::") || strings.HasPrefix(name, "BITS_") || strings.ContainsAny(name, ".") {
		return name
	}
	return heading + "::" + name
}

// Every row of docs/bits.md has a state, and a test that exists where something works. Every function has a row, and rows in the
// conformance suite; what is marked "(engine: ...)" there is marked so here, and the other way round.
func TestBITSDocument(t *testing.T) {
	text, err := os.ReadFile("docs/bits.md")
	if err != nil {
		t.Fatal(err)
	}
	tests, rowsOf, quoted := shown(t), suite(t), regexp.MustCompile("`([^`]+)`")
	works := []string{"done", "partly", "different"}
	rows, in, heading, described := 0, false, "", map[string]bool{}
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), " | ")
		switch {
		case strings.HasPrefix(line, "### "):
			heading, in = strings.TrimSpace(line[4:]), false
		case !strings.HasPrefix(line, "|"):
			in = false
		case strings.HasPrefix(line, "| Function | State | Here | Test |"), strings.HasPrefix(line, "| Rule | State | Here | Test |"):
			in = true
		case !in || strings.HasPrefix(line, "|---"):
		case len(cells) != 4:
			t.Errorf("a row of %d cells: %s", len(cells), line)
		default:
			rows++
			state, test, name := strings.TrimSpace(cells[1]), strings.TrimSpace(cells[3]), function(heading, strings.TrimSpace(cells[0]))
			described[name] = true
			named := quoted.FindAllStringSubmatch(test, -1)
			for _, m := range named {
				if m[1] == "conformance" && (rowsOf[name] != nil || strings.HasPrefix(heading, "5.3")) || m[1] != "conformance" && tests[m[1]] {
					continue
				}
				t.Errorf("%s: there is no test %s", name, m[1])
			}
			if slices.Contains(works, state) == (len(named) == 0) || len(named) == 0 && (test != "-" || state != "later" && state != "left out") {
				t.Errorf("%s: state %q and test %q do not go together", cells[0], state, test)
			}
			for _, m := range engine.FindAllStringSubmatch(cells[2], -1) {
				if !slices.Contains(rowsOf[name], m[1]) {
					t.Errorf("%s: no row of the suite shows what happens without the engine of %s", name, m[1])
				}
			}
			for _, mark := range rowsOf[name] {
				if mark != "" && !strings.Contains(cells[2], "(engine: "+mark+")") {
					t.Errorf("%s: a row of the suite says that it waits for the engine of %s", name, mark)
				}
			}
		}
	}
	listed, deviations := 0, regexp.MustCompile(`(?m)^(\d+)\. `)
	_, section, _ := strings.Cut(string(text), "\n## 3. Deviations\n")
	section, _, _ = strings.Cut(section, "\n## ")
	for _, m := range deviations.FindAllStringSubmatch(section, -1) {
		if listed++; m[1] != strconv.Itoa(listed) {
			t.Errorf("deviation %s stands at place %d", m[1], listed)
		}
	}
	for _, m := range regexp.MustCompile(`deviations? (\d+)(?: and (\d+))?`).FindAllStringSubmatch(string(text), -1) {
		for _, number := range m[1:] {
			if n, err := strconv.Atoi(number); number != "" && (err != nil || n < 1 || n > listed) {
				t.Errorf("%s: there is no such deviation", m[0])
			}
		}
	}
	if rows < 250 {
		t.Errorf("only %d rows", rows)
	}
	methods, err := os.ReadFile("tests/conformance/testdata/methods.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(methods)) {
		if name := strings.TrimSpace(line); name != "" && !strings.HasPrefix(name, "//") && (!described[name] || rowsOf[name] == nil) {
			t.Errorf("%s: a row in the document: %v, rows in the suite: %d", name, described[name], len(rowsOf[name]))
		}
	}
}
