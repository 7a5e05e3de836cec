package bits_test

import (
	"bytes"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// layers are the packages from the bottom up; a package imports only what stands in a lower row.
var layers = [][]string{
	{"bits/hresult", "bits/internal/ipc", "bits/internal/pki", "bits/internal/netmon", "bits/internal/pac", "bits/internal/wpad", "bits/internal/keyring", "bits/internal/netrc"},
	{"bits"},
	{"bits/internal/remotename", "bits/internal/digest", "bits/internal/limits"},
	{"bits/internal/content"},
	{"bits/internal/contract", "bits/internal/byterange", "bits/internal/validator", "bits/internal/retry", "bits/internal/proxy", "bits/internal/metalink", "bits/internal/joblog"},
	{"bits/internal/wire", "bits/internal/tempfile", "bits/internal/certcheck", "bits/internal/certstore", "bits/internal/fileserver", "bits/internal/store", "bits/internal/notify", "bits/internal/start"},
	{"bits/internal/access", "bits/internal/login", "bits/internal/layout"},
	{"bits/client", "bits/internal/transport", "bits/internal/progress"},
	{"bits/internal/queue", "bits/internal/transfer", "bits/examples/updater"},
	{"bits/internal/scheduler", "bits/internal/notifier", "bits/internal/api", "bits/internal/demo"},
	{"bits/internal/daemon"},
	{"bits/internal/launch", "bits/internal/judge", "bits/internal/targets", "bits/internal/bitsadmin"},
	{"bits/internal/console"},
	{"bits/internal/get"},
	{"bits/internal/cli"},
	{"bits/internal/program", "bits/cmd/bits"},
	{"bits/client/bitstest"},
	{"bits/tests", "bits/tests/conformance", "bits/tests/splice", "bits/bench"},
}

// lean lists what may be imported, near or far, by packages that other programs import.
var lean = map[string][]string{"bits/client": {"golang.org/x/sys/", "github.com/Microsoft/go-winio"}}

// Ceilings of size in lines, without tests: what grows beyond them must be divided, or made simpler.
const fileCeiling, packageCeiling, rootCeiling = 500, 1500, 1000

// source is one package as its files say, for whatever system they are.
type source struct {
	doc     bool
	lines   map[string]int // by file, without tests
	imports []string       // without those of tests
}

// sources reads every Go file here. It asks no other process: the cache of go test sees only what the test itself reads.
func sources(t *testing.T) map[string]*source {
	t.Helper()
	all := map[string]*source{}
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(name, ".go") {
			return err
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, text, parser.ParseComments|parser.ImportsOnly)
		if err != nil {
			return err
		}
		p := path.Join("bits", filepath.ToSlash(filepath.Dir(name)))
		if all[p] == nil {
			all[p] = &source{lines: map[string]int{}}
		}
		if strings.HasSuffix(name, "_test.go") {
			return nil
		}
		all[p].doc = all[p].doc || file.Doc != nil
		all[p].lines[name] = strings.Count(string(text), "\n")
		for _, i := range file.Imports {
			to, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				return err
			}
			all[p].imports = append(all[p].imports, to)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestLayers(t *testing.T) {
	level := map[string]int{}
	for i, row := range layers {
		for _, p := range row {
			level[p] = i
		}
	}
	all := sources(t)
	for name, p := range all {
		mine, ok := level[name]
		if !ok {
			t.Errorf("%s stands in no layer", name)
		}
		if !p.doc && len(p.lines) > 0 {
			t.Errorf("%s has no package comment", name)
		}
		for _, to := range p.imports {
			if theirs, ours := level[to]; ours && theirs >= mine {
				t.Errorf("%s imports %s, which is not below it", name, to)
			}
		}
	}
	for name, allowed := range lean {
		seen := map[string]bool{}
		var follow func(string)
		follow = func(p string) {
			for _, to := range all[p].imports {
				first, _, _ := strings.Cut(to, "/")
				foreign := strings.Contains(first, ".")
				if foreign && !slices.ContainsFunc(allowed, func(a string) bool { return strings.HasPrefix(to, a) }) {
					t.Errorf("%s depends on %s, through %s", name, to, p)
				}
				if all[to] != nil && !seen[to] {
					seen[to] = true
					follow(to)
				}
			}
		}
		follow(name)
	}
}

// The picture in docs/architecture.md is of these layers, from the top down.
func TestLayersAreDrawn(t *testing.T) {
	text, err := os.ReadFile("docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ = bytes.Cut(text, []byte("## The layers"))
	drawn := strings.Split(strings.TrimSpace(string(bytes.SplitN(text, []byte("```"), 3)[1])), "\n")
	slices.Reverse(drawn)
	if len(drawn) != len(layers) {
		t.Fatalf("%d layers are drawn, and there are %d", len(drawn), len(layers))
	}
	for i, row := range layers {
		var want []string
		for _, p := range row {
			want = append(want, strings.TrimPrefix(strings.TrimPrefix(p, "bits/"), "internal/"))
		}
		if got := strings.Fields(drawn[i]); !slices.Equal(slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))) {
			t.Errorf("a layer is drawn as %v, and is %v", got, want)
		}
	}
}

func TestCeilings(t *testing.T) {
	for name, p := range sources(t) {
		total, most := 0, packageCeiling
		if name == "bits" {
			most = rootCeiling
		}
		for file, n := range p.lines {
			total += n
			if n > fileCeiling {
				t.Errorf("%s has %d lines, and %d are allowed", file, n, fileCeiling)
			}
		}
		if total > most {
			t.Errorf("%s has %d lines, and %d are allowed", name, total, most)
		}
	}
}

// The repository stands alone: it names no neighbour and no machine.
func TestStandsAlone(t *testing.T) {
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			if d != nil && d.Name() == ".git" {
				return fs.SkipDir
			}
			return err
		}
		text, err := os.ReadFile(name)
		if err != nil || name == "layers_test.go" {
			return err
		}
		for _, word := range []string{"../shared", "/work/", ".library", "GOPROXY="} {
			if strings.Contains(string(text), word) {
				t.Errorf("%s contains %q", name, word)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
