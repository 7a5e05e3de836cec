package conformance

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// row is one block of a text file: what a function of BITS does, as steps.
type row struct {
	at        string   // file and line
	functions []string // of BITS, or a number of a table of questions: 12.3
	rule      string
	marks     map[string]string
	steps     []step
}

// step is one line of a row: words, the code that must come of it, and the value.
type step struct {
	at       string
	text     string
	verb     string
	args     []string
	code     string // empty: S_OK
	want     string // of the value; empty: not looked at
	returned bool   // want was given
}

// Marks of rows.
var marks = map[string]string{
	"engine":    "what it needs comes later; the row shows what happens today",
	"deviation": "the number of the deviation in docs/bits.md that the row asserts",
	"doors":     "the only doors that can say it, and why",
	"volatile":  "properties that a restart takes, and why",
	"limits":    "limits of policy of the service: NAME=NUMBER",
	"user":      "ordinary: no administrator",
	"once":      "why the row is not run with restarts",
}

func (r row) name() string { return strings.Join(r.functions, "+") + ": " + r.rule }

// has reports whether the row is for the door.
func (r row) has(door string) bool {
	only, _, _ := strings.Cut(r.marks["doors"], ":")
	return only == "" || slices.Contains(strings.Fields(only), door)
}

// parse reads a file of rows. A row begins with "# FUNCTION, FUNCTION: rule"; lines that begin with // are remarks.
func parse(name, text string) (rows []row, err error) {
	for n, line := range strings.Split(text, "\n") {
		at := fmt.Sprintf("%s:%d", name, n+1)
		line = strings.TrimSpace(line)
		if head, ok := strings.CutPrefix(line, "# "); ok {
			functions, rule, ok := strings.Cut(head, ": ")
			if !ok {
				return nil, fmt.Errorf("%s: a row is \"# FUNCTION: rule\"", at)
			}
			rows = append(rows, row{at: at, functions: strings.Split(functions, ", "), rule: rule, marks: map[string]string{}})
			continue
		}
		if line == "" || strings.HasPrefix(line, "//") {
			continue
		}
		if len(rows) == 0 {
			return nil, fmt.Errorf("%s: a step before the first row", at)
		}
		r := &rows[len(rows)-1]
		if mark, value, ok := strings.Cut(line, ": "); ok && marks[mark] != "" {
			r.marks[mark] = value
			continue
		}
		s, err := readStep(at, line)
		if err != nil {
			return nil, err
		}
		r.steps = append(r.steps, s)
	}
	return rows, nil
}

func readStep(at, line string) (step, error) {
	s := step{at: at, text: line}
	words, err := split(line)
	if err != nil {
		return s, fmt.Errorf("%s: %w", at, err)
	}
	if i := slices.Index(words, "->"); i >= 0 {
		s.want, s.returned, words = strings.Join(words[i+1:], " "), true, words[:i]
	}
	if i := slices.Index(words, "="); i >= 0 && i == len(words)-2 {
		s.code, words = words[i+1], words[:i]
	}
	if len(words) == 0 {
		return s, fmt.Errorf("%s: no verb", at)
	}
	s.verb, s.args = words[0], words[1:]
	return s, nil
}

// split divides a line at blanks that are in no JSON string, object or array.
func split(line string) (words []string, err error) {
	depth, quoted, word := 0, false, ""
	for i := 0; i < len(line); i++ {
		c := line[i]
		switch {
		case quoted && c == '\\' && i+1 < len(line):
			word += line[i : i+2]
			i++
			continue
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			depth++
		case c == '}' || c == ']':
			depth--
		case c == ' ' && depth == 0:
			if word != "" {
				words = append(words, word)
			}
			word = ""
			continue
		}
		word += line[i : i+1]
	}
	if word != "" {
		words = append(words, word)
	}
	if quoted || depth != 0 {
		err = errors.New("a quote or a bracket is not closed")
	}
	return words, err
}

var repeated = regexp.MustCompile(`%([^%*]+)\*(\d+)%`)

// expand writes out %text*N%: the text N times.
func expand(s string) string {
	return repeated.ReplaceAllStringFunc(s, func(m string) string {
		parts := repeated.FindStringSubmatch(m)
		n, _ := strconv.Atoi(parts[2])
		return strings.Repeat(parts[1], n)
	})
}

// all reads the rows of all files.
func all(t testing.TB) (rows []row) {
	t.Helper()
	names, err := filepath.Glob("testdata/rows/*.txt")
	if err != nil || len(names) == 0 {
		t.Fatalf("no rows: %v", err)
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		some, err := parse(filepath.Base(name), string(text))
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, some...)
	}
	return rows
}
