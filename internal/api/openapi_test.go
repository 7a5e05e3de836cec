package api

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"bits"
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

// docs/api.md has every call with its rule, and every property.
func TestDocument(t *testing.T) {
	text, err := os.ReadFile("../../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, rt := range routes {
		row := "| `" + rt.method + " /v1" + rt.path + "` | " + accessNames[rt.access] + " | " + rt.doc + " |"
		if !strings.Contains(string(text), row) {
			t.Errorf("docs/api.md has no row\n%s", row)
		}
	}
	for _, p := range bits.Properties() {
		if row := "| `" + p.Name + "` | " + p.Doc + " |"; !strings.Contains(string(text), row) {
			t.Errorf("docs/api.md has no row\n%s", row)
		}
	}
}
