package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

const golden = "testdata/v1.json"

// TestV1OnlyGrows holds the rule of docs/stability.md for the API: all that was ever in the document is still in it, with the same type.
// What is new must be recorded, with go test ./internal/api -update, so that it is held from then on. What is missing cannot be recorded
// away: a call or a field that was never in a release is taken out of the file by hand.
func TestV1OnlyGrows(t *testing.T) {
	answer, err := (&call{}).openAPI()
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(answer)
	if err != nil {
		t.Fatal(err)
	}
	if text, err = json.MarshalIndent(bare(parsed(t, text)), "", " "); err != nil {
		t.Fatal(err)
	}
	text = append(text, '\n')
	recorded, err := os.ReadFile(golden)
	if err != nil && !*update {
		t.Fatal(err)
	}
	if err == nil {
		for _, what := range broken("", parsed(t, recorded), parsed(t, text)) {
			t.Error(what)
		}
	}
	switch {
	case t.Failed() || bytes.Equal(text, recorded):
	case *update:
		if err := os.WriteFile(golden, text, 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("the API has grown: record it with go test ./internal/api -update")
	}
}

// bare is a document without its texts for people, which may change.
func bare(v any) any {
	switch v := v.(type) {
	case object:
		for key, inner := range v {
			if _, text := inner.(string); text && (key == "summary" || key == "description") {
				delete(v, key)
			} else {
				v[key] = bare(inner)
			}
		}
	case []any:
		for i := range v {
			v[i] = bare(v[i])
		}
	}
	return v
}

func parsed(t *testing.T, text []byte) (v any) {
	t.Helper()
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// broken says what a client that was made for one document would miss in another.
// Everything stays, in objects and in lists of values; what comes is nothing that a client must know.
func broken(at string, was, is any) (all []string) {
	switch was := was.(type) {
	case object:
		is, ok := is.(object)
		if !ok {
			return []string{at + " is no object any more"}
		}
		for key, old := range was {
			where := at + "/" + key
			if now, there := is[key]; !there {
				all = append(all, where+" is missing")
			} else {
				all = append(all, broken(where, old, now)...)
			}
		}
		if _, demanded := was["requestBody"]; !demanded && strings.HasPrefix(at, "/paths/") {
			if body, ok := is["requestBody"].(object); ok && body["required"] == true {
				all = append(all, at+" demands a body")
			}
		}
		if now := is["required"]; was["required"] != true && now == true {
			all = append(all, at+" is demanded")
		}
	case []any:
		is, _ := is.([]any)
		for _, old := range was {
			i := slices.IndexFunc(is, func(now any) bool { return same(old, now) })
			if i < 0 {
				all = append(all, fmt.Sprintf("%s: %s is missing", at, name(old)))
			} else {
				all = append(all, broken(at+"/"+name(old), old, is[i])...)
			}
		}
		for _, now := range is {
			if p, ok := now.(object); ok && p["required"] == true && !slices.ContainsFunc(was, func(old any) bool { return same(old, now) }) {
				all = append(all, fmt.Sprintf("%s: %s is demanded", at, name(now)))
			}
		}
	default:
		if was != is {
			all = append(all, fmt.Sprintf("%s was %v, and is %v", at, was, is))
		}
	}
	slices.Sort(all)
	return all
}

// name names an element of a list: a parameter by its name, a value by itself.
func name(v any) string {
	if o, ok := v.(object); ok && o["name"] != nil {
		return fmt.Sprint(o["name"])
	}
	return fmt.Sprint(v)
}

func same(a, b any) bool { return name(a) == name(b) }

// What breaks a client is seen, and what does not is no matter.
func TestBroken(t *testing.T) {
	const was = `{
		"info": {"description": "one"}, "x": {"description": {"type": "string"}},
		"paths": {"/v1/jobs": {"get": {
			"summary": "list", "parameters": [{"name": "state", "in": "query", "schema": {"type": "string"}}],
			"responses": {"200": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Jobs"}}}}}
		}}},
		"components": {"schemas": {"Job": {"type": "object", "properties": {"id": {"type": "string"}, "state": {"type": "string", "enum": ["QUEUED", "ERROR"]}}}}}
	}`
	for _, c := range []struct{ old, young, want string }{
		{`"one"`, `"two"`, ""},
		{`"x": {"description": {"type": "string"}}`, `"x": {}`, "/x/description is missing"},
		{`"summary": "list"`, `"summary": "all"`, ""},
		{`"id": {"type": "string"}`, `"id": {"type": "string"}, "more": {"type": "integer"}`, ""},
		{`["QUEUED", "ERROR"]`, `["QUEUED", "NEW", "ERROR"]`, ""},
		{`"parameters": [`, `"parameters": [{"name": "new", "in": "query"}, `, ""},
		{`"paths": {`, `"paths": {"/v1/new": {"post": {"requestBody": {"required": true}}}, `, ""},
		{`"summary": "list",`, `"requestBody": {"required": false}, "summary": "list",`, ""},
		{`"id": {"type": "string"}`, `"id": {"type": "integer"}`, "/components/schemas/Job/properties/id/type was string, and is integer"},
		{`"id": {"type": "string"}, `, ``, "/components/schemas/Job/properties/id is missing"},
		{`"id": {"type": "string"}`, `"id": {}`, "/components/schemas/Job/properties/id/type is missing"},
		{`["QUEUED", "ERROR"]`, `["QUEUED"]`, "/components/schemas/Job/properties/state/enum: ERROR is missing"},
		{`/v1/jobs`, `/v1/tasks`, "/paths//v1/jobs is missing"},
		{`"get": {`, `"put": {`, "/paths//v1/jobs/get is missing"},
		{`"name": "state"`, `"name": "status"`, "/paths//v1/jobs/get/parameters: state is missing"},
		{`"in": "query"`, `"in": "query", "required": true`, "/paths//v1/jobs/get/parameters/state is demanded"},
		{`"parameters": [`, `"parameters": [{"name": "new", "in": "query", "required": true}, `, "/paths//v1/jobs/get/parameters: new is demanded"},
		{`"summary": "list",`, `"requestBody": {"required": true}, "summary": "list",`, "/paths//v1/jobs/get demands a body"},
		{`schemas/Jobs"`, `schemas/Job"`, "/paths//v1/jobs/get/responses/200/content/application/json/schema/$ref was #/components/schemas/Jobs, and is #/components/schemas/Job"},
	} {
		young := strings.Replace(was, c.old, c.young, 1)
		if got := strings.Join(broken("", bare(parsed(t, []byte(was))), bare(parsed(t, []byte(young)))), "\n"); young == was || got != c.want {
			t.Errorf("%s for %s:\n%s\nwant\n%s", c.young, c.old, got, c.want)
		}
	}
}
