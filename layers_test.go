package bits_test

import (
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// layers are the packages from the bottom up; a package imports only what stands in a lower row.
var layers = [][]string{
	{"bits/hresult", "bits/internal/ipc", "bits/internal/pki"},
	{"bits"},
	{"bits/internal/wire", "bits/internal/tempfile", "bits/internal/certcheck", "bits/internal/store", "bits/internal/notify"},
	{"bits/client", "bits/internal/transport", "bits/internal/progress"},
	{"bits/internal/queue", "bits/internal/transfer"},
	{"bits/internal/scheduler", "bits/internal/api", "bits/internal/demo"},
	{"bits/internal/daemon"},
	{"bits/internal/cli"},
	{"bits/internal/bitstest", "bits/cmd/bits"},
	{"bits/tests", "bits/bench"},
}

// lean lists what may be imported by packages that other programs import.
var lean = map[string][]string{"bits/client": {"bits", "golang.org/x/sys/", "github.com/Microsoft/go-winio"}}

type goPackage struct {
	ImportPath, Dir, Doc    string
	Imports, Deps           []string
	GoFiles, IgnoredGoFiles []string
}

func packages(t *testing.T) (all []goPackage) {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Dir,Doc,Imports,Deps,GoFiles,IgnoredGoFiles", "./...").Output()
	if err != nil {
		t.Fatal(err)
	}
	for dec := json.NewDecoder(strings.NewReader(string(out))); dec.More(); {
		var p goPackage
		if err := dec.Decode(&p); err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
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
	for _, p := range packages(t) {
		mine, ok := level[p.ImportPath]
		if !ok {
			t.Errorf("%s stands in no layer", p.ImportPath)
		}
		if p.Doc == "" && len(p.GoFiles) > 0 {
			t.Errorf("%s has no package comment", p.ImportPath)
		}
		for _, i := range p.Imports {
			if theirs, ours := level[i]; ours && theirs >= mine {
				t.Errorf("%s imports %s, which is not below it", p.ImportPath, i)
			}
		}
		for _, dep := range p.Deps {
			first, _, _ := strings.Cut(dep, "/")
			allowed := !strings.Contains(first, ".")
			for _, l := range lean[p.ImportPath] {
				allowed = allowed || strings.HasPrefix(dep, l)
			}
			if lean[p.ImportPath] != nil && !allowed {
				t.Errorf("%s depends on %s", p.ImportPath, dep)
			}
		}
	}
}

// Ceilings of size, without tests: what grows beyond them must be divided, or made simpler.
func TestCeilings(t *testing.T) {
	const file, pkg, root = 500, 1500, 1000
	for _, p := range packages(t) {
		total := 0
		for _, name := range append(p.GoFiles, p.IgnoredGoFiles...) {
			text, err := os.ReadFile(filepath.Join(p.Dir, name))
			if err != nil {
				t.Fatal(err)
			}
			n := strings.Count(string(text), "\n")
			total += n
			if n > file {
				t.Errorf("%s/%s has %d lines, and %d are allowed", p.ImportPath, name, n, file)
			}
		}
		most := pkg
		if p.ImportPath == "bits" {
			most = root
		}
		if total > most {
			t.Errorf("%s has %d lines, and %d are allowed", p.ImportPath, total, most)
		}
	}
}

// The repository stands alone: it names no neighbour and no machine.
func TestStandsAlone(t *testing.T) {
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			if d != nil && d.Name() == ".git" {
				return fs.SkipDir
			}
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil || path == "layers_test.go" {
			return err
		}
		for _, word := range []string{"../shared", "/work/", ".library", "GOPROXY="} {
			if strings.Contains(string(text), word) {
				t.Errorf("%s contains %q", path, word)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
