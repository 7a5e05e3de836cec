package api

import (
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"

	"bits/internal/contract"
	"bits/internal/wire"
)

// The document names every call and no other, and every reference in it leads somewhere.
func TestOpenAPI(t *testing.T) {
	answer, err := (&call{}).openAPI()
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(answer)
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Paths      map[string]map[string]any `json:"paths"`
		Components struct {
			Schemas map[string]any `json:"schemas"`
		} `json:"components"`
	}
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, methods := range doc.Paths {
		n += len(methods)
	}
	if n != len(routes) {
		t.Errorf("%d calls in the document, %d in the table", n, len(routes))
	}
	for _, rt := range routes {
		if doc.Paths["/"+wire.Version+rt.path][strings.ToLower(rt.method)] == nil {
			t.Errorf("%s %s is not in the document", rt.method, rt.path)
		}
	}
	for _, part := range strings.Split(string(text), `"$ref":"#/components/schemas/`)[1:] {
		if name, _, _ := strings.Cut(part, `"`); doc.Components.Schemas[name] == nil {
			t.Errorf("the reference to %s leads nowhere", name)
		}
	}
	for key := range bodies {
		found := false
		for _, rt := range routes {
			found = found || rt.method+" "+rt.path == key
		}
		if !found {
			t.Errorf("the bodies of %s, which is no call", key)
		}
	}
}

var update = flag.Bool("update", false, "write the tables of docs/api.md, and take additions to the API into testdata/v1.json")

// The tables of docs/api.md are those of the code: every call with its rule, every property, what is read of files.
func TestDocument(t *testing.T) {
	const name = "../../docs/api.md"
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	calls, properties, facts, files := "| call | who | what |\n|---|---|---|\n", "| name | BITS | value |\n|---|---|---|\n", "| name | BITS | value |\n|---|---|---|\n", "| name | BITS | value |\n|---|---|---|\n"
	for _, rt := range routes {
		calls += "| `" + rt.method + " /v1" + rt.path + "` | " + accessNames[rt.access] + " | " + rt.doc + " |\n"
	}
	for _, p := range contract.Properties() {
		row := "| `" + p.Name + "` | " + p.BITS + " | " + p.Doc + " |\n"
		if p.Settable() {
			properties += row
		} else {
			facts += row
		}
	}
	for _, p := range contract.FileProperties() {
		files += "| `" + p.Name + "` | " + p.BITS + " | " + p.Doc + " |\n"
	}
	want := string(text)
	for mark, table := range map[string]string{"calls": calls, "properties": properties, "facts": facts, "files": files} {
		before, rest, ok := strings.Cut(want, "<!-- "+mark+" -->\n")
		_, after, ok2 := strings.Cut(rest, "<!-- end -->\n")
		if !ok || !ok2 {
			t.Fatalf("docs/api.md has no place for the table of %s", mark)
		}
		want = before + "<!-- " + mark + " -->\n" + table + "<!-- end -->\n" + after
	}
	if want == string(text) {
		return
	}
	if !*update {
		t.Fatal("the tables of docs/api.md are not those of the code; write them with: go test ./internal/api -run TestDocument -update")
	}
	if err := os.WriteFile(name, []byte(want), 0o644); err != nil {
		t.Fatal(err)
	}
}
