package bits_test

import (
	"bytes"
	"flag"
	"go/ast"
	"go/parser"
	"go/printer"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "take additions to the Go API into testdata/go.txt")

// promised are the folders of the packages that other programs import, and what of them is promised.
// Of wire it is what package client hands out under names of its own.
var promised = map[string]*regexp.Regexp{
	".":               regexp.MustCompile(``),
	"client":          regexp.MustCompile(``),
	"client/bitstest": regexp.MustCompile(``),
	"hresult":         regexp.MustCompile(``),
	"internal/wire":   regexp.MustCompile(`^(const Kind|type (Event|StateEvent|System|Build)\b)`),
}

// TestGoOnlyGrows holds the rule of docs/stability.md for the Go packages: every line of testdata/go.txt is still true.
// What is new must be recorded, with go test . -update, so that it is held from then on. What is missing cannot be recorded away: what
// was never in a release is taken out of the file by hand.
func TestGoOnlyGrows(t *testing.T) {
	const golden = "testdata/go.txt"
	var now []string
	for dir, what := range promised {
		for _, line := range exported(t, dir) {
			if what.MatchString(line) {
				now = append(now, filepath.ToSlash(filepath.Join("bits", dir))+": "+line)
			}
		}
	}
	slices.Sort(now)
	now = slices.Compact(now)
	text := strings.Join(now, "\n") + "\n"
	recorded, err := os.ReadFile(golden)
	if err != nil && !*update {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(recorded)) {
		if !slices.Contains(now, strings.TrimSpace(line)) {
			t.Errorf("this was promised, and is not so any more: %s", line)
		}
	}
	switch {
	case t.Failed() || text == string(recorded):
	case *update:
		if err := os.WriteFile(golden, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("the Go packages have grown: record it with go test . -update")
	}
}

// exported says what a package in a folder exports, one fact a line, whatever the system.
func exported(t *testing.T, dir string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil || len(names) == 0 {
		t.Fatalf("no package in %s: %v", dir, err)
	}
	var facts []string
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		text, err := fs.ReadFile(os.DirFS("."), filepath.ToSlash(name))
		if err != nil {
			t.Fatal(err)
		}
		facts = append(facts, factsOf(t, text)...)
	}
	return facts
}

func factsOf(t *testing.T, source []byte) (facts []string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "", source, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range file.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if !d.Name.IsExported() {
				continue
			}
			if d.Recv == nil {
				facts = append(facts, "func "+d.Name.Name+signature(d.Type))
			} else if of := text(d.Recv.List[0].Type); ast.IsExported(strings.TrimPrefix(of, "*")) {
				facts = append(facts, "method ("+of+") "+d.Name.Name+signature(d.Type))
			}
		case *ast.GenDecl:
			var kind string // of constants that repeat the line above
			for _, spec := range d.Specs {
				switch spec := spec.(type) {
				case *ast.TypeSpec:
					facts = append(facts, typeFacts(spec)...)
				case *ast.ValueSpec:
					if spec.Type != nil || len(spec.Values) > 0 {
						kind = text(spec.Type)
					}
					for i, name := range spec.Names {
						fact := strings.TrimSpace(d.Tok.String() + " " + name.Name + " " + kind)
						if d.Tok == token.CONST && i < len(spec.Values) {
							fact += " = " + text(spec.Values[i]) // constants are for comparing: a value is a meaning
						}
						if name.IsExported() {
							facts = append(facts, fact)
						}
					}
				}
			}
		}
	}
	return facts
}

// typeFacts are one for the kind of the type, and one for each exported field of a struct.
// An interface is one fact: those who implement it would miss a new method.
func typeFacts(spec *ast.TypeSpec) (facts []string) {
	if !spec.Name.IsExported() {
		return nil
	}
	head := "type " + spec.Name.Name
	fields, ok := spec.Type.(*ast.StructType)
	if !ok {
		if spec.Assign.IsValid() {
			head += " ="
		}
		return []string{head + " " + text(spec.Type)}
	}
	facts = []string{head + " struct"}
	for _, f := range fields.Fields.List {
		tag := ""
		if f.Tag != nil {
			tag = " " + f.Tag.Value
		}
		if f.Names == nil {
			facts = append(facts, head+" struct, embedded "+text(f.Type)+tag)
		}
		for _, name := range f.Names {
			if name.IsExported() {
				facts = append(facts, head+" struct, "+name.Name+" "+text(f.Type)+tag)
			}
		}
	}
	return facts
}

func signature(f *ast.FuncType) string { return strings.TrimPrefix(text(f), "func") }

// text is Go's text of an expression or a type on one line, without the names of parameters, which promise nothing.
func text(n ast.Expr) string {
	if n == nil {
		return ""
	}
	ast.Inspect(n, func(n ast.Node) bool {
		if f, ok := n.(*ast.FuncType); ok {
			anonymous(f.Params)
			anonymous(f.Results)
		}
		return true
	})
	var b bytes.Buffer
	printer.Fprint(&b, token.NewFileSet(), n)
	return strings.Join(strings.Fields(b.String()), " ")
}

func anonymous(list *ast.FieldList) {
	if list == nil {
		return
	}
	var all []*ast.Field
	for _, f := range list.List {
		for range max(len(f.Names), 1) {
			all = append(all, &ast.Field{Type: f.Type})
		}
	}
	list.List = all
}

// A change that would break a caller changes the facts; others do not.
func TestFacts(t *testing.T) {
	const was = "package p\n\ntype S struct {\n\tA int `json:\"a\"`\n\tb int\n}\n\ntype I interface{ M(x int) }\n\nconst (\n\tX S = iota\n\tY\n)\n\n" +
		"func F(a, b int, c func(d string) error) (e error) { return nil }\n\nfunc (s *S) G() {}\n\nvar V = 1\n\ntype T = S\n"
	want := []string{
		"type S struct", "type S struct, A int `json:\"a\"`", "type I interface{ M(int) }", "const X S = iota", "const Y S",
		"func F(int, int, func(string) error) error", "method (*S) G()", "var V", "type T = S",
	}
	if got := factsOf(t, []byte(was)); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	for _, c := range []struct {
		old, young string
		breaks     bool
	}{
		{"\tb int", "\tb, c string", false},
		{"\tb int", "\tB int", false},
		{"(x int)", "(y int)", false},
		{"G() {}", "G() {}\n\nfunc (s *S) H() {}", false},
		{"A int", "A string", true},
		{`json:"a"`, `json:"b"`, true},
		{"M(x int)", "M(x int); N()", true},
		{"Y\n", "Z\n", true},
		{"a, b int", "a int", true},
		{"e error", "e, f error", true},
		{"*S) G", "S) G", true},
		{"var V", "var W", true},
		{"T = S", "T S", true},
	} {
		young := strings.ReplaceAll(was, c.old, c.young)
		got := factsOf(t, []byte(young))
		if broken := slices.ContainsFunc(want, func(f string) bool { return !slices.Contains(got, f) }); broken != c.breaks {
			t.Errorf("%s for %s: broken is %v: %q", c.young, c.old, broken, got)
		}
	}
}
