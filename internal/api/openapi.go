package api

import (
	"encoding"
	"encoding/json"
	"reflect"
	"regexp"
	"strings"
	"time"

	"bits"
	"bits/internal/contract"
	"bits/internal/joblog"
	"bits/internal/wire"
)

var pathParameter = regexp.MustCompile(`\{(\w+)\}`)

var noWord = regexp.MustCompile(`[^a-z0-9]+`)

type object = map[string]any

// bodies are the types of the bodies of each call, by "METHOD path": what goes in and what comes out.
// A call that is not here takes nothing and answers with a Result.
var bodies = map[string]body{
	"GET /system":                               answers(wire.System{}),
	"GET /openapi.json":                         answers(object{}),
	"GET /errors/{code}":                        answers(wire.Description{}),
	"GET /jobs":                                 answers(wire.Jobs{}),
	"POST /jobs":                                {bits.Spec{}, bits.Job{}},
	"GET /jobs/{job}":                           answers(bits.Job{}),
	"PATCH /jobs/{job}":                         {object{}, bits.Job{}},
	"POST /jobs/{job}/files":                    {wire.Files{}, bits.Job{}},
	"GET /jobs/{job}/proxy":                     answers(wire.Route{}),
	"POST /proxy":                               {wire.Explain{}, wire.Route{}},
	"GET /events":                               answers(wire.Event{}),
	"GET /jobs/{job}/log":                       answers(joblog.Line{}),
	"POST " + validation:                        {wire.SetValidation{}, wire.ValidationItem{}},
	"POST " + validation + "/{question}":        {wire.Verdict{}, wire.Result{}},
	"POST " + notifications:                     {wire.SetNotify{}, wire.NotificationItem{}},
	"POST " + notifications + "/{notification}": {wire.Verdict{}, wire.Result{}},
}

const (
	validation    = "/jobs/{job}/certificate-validation"
	notifications = "/jobs/{job}/notify-interface"
)

type body struct{ in, out any }

func answers(out any) body { return body{nil, out} }

// streams are the calls whose answer is one JSON object a line.
var streams = map[string]bool{"GET /events": true, "GET /jobs/{job}/log": true, "POST " + validation: true, "POST " + notifications: true}

// events are the bodies of events, which the document describes beside the calls.
var events = []any{wire.StateEvent{}, bits.JobProgress{}}

// openAPI writes the table of routes as an OpenAPI 3.1 document.
func (c *call) openAPI() (any, error) {
	schemas, paths := object{}, object{}
	failure := object{"description": "refused; clients decide on hresult only", "content": content("application/json", wire.Error{}, schemas)}
	for _, rt := range routes {
		key := rt.method + " " + rt.path
		b := bodies[key]
		if b.out == nil {
			b.out = wire.Result{}
		}
		kind := "application/json"
		if streams[key] {
			kind = "application/x-ndjson"
		}
		operation := object{
			"operationId": strings.Trim(noWord.ReplaceAllString(strings.ToLower(rt.method)+rt.path, "_"), "_"), // generators make a name of it
			"summary":     rt.doc,
			"responses":   object{"200": object{"description": "done", "content": content(kind, b.out, schemas)}, "default": failure},
		}
		var parameters []any
		for _, m := range pathParameter.FindAllStringSubmatch(rt.path, -1) {
			parameters = append(parameters, object{"name": m[1], "in": "path", "required": true, "schema": object{"type": "string"}})
		}
		for _, q := range rt.query {
			name, _, _ := strings.Cut(q, "=")
			parameters = append(parameters, object{"name": name, "in": "query", "schema": object{"type": "string"}})
		}
		if parameters != nil {
			operation["parameters"] = parameters
		}
		if b.in != nil {
			operation["requestBody"] = object{"required": true, "content": content("application/json", b.in, schemas)}
		}
		if rt.path == "/jobs/{job}" && rt.method == "PATCH" {
			properties := object{}
			for _, p := range contract.Properties() {
				if !p.Settable() {
					continue
				}
				properties[p.Name] = object{"description": p.Doc}
			}
			operation["requestBody"] = object{"content": object{"application/json": object{"schema": object{"type": "object", "properties": properties, "additionalProperties": false}}}}
		}
		path := "/" + wire.Version + rt.path
		if paths[path] == nil {
			paths[path] = object{}
		}
		paths[path].(object)[strings.ToLower(rt.method)] = operation
	}
	for _, body := range events {
		schema(reflect.TypeOf(body), schemas)
	}
	return object{
		"openapi":    "3.1.0",
		"info":       object{"title": "bits", "version": wire.Version, "description": "The local API of the Background Intelligent Transfer Service."},
		"servers":    []any{object{"url": "http://bits/", "description": "over the service's socket or named pipe"}},
		"paths":      paths,
		"components": object{"schemas": schemas},
	}, nil
}

func content(kind string, v any, schemas object) object {
	return object{kind: object{"schema": schema(reflect.TypeOf(v), schemas)}}
}

// enum are the texts of a type that counts from 0 and reads what it writes; nil if it is none.
func enum(t reflect.Type) (names []any) {
	if t.Kind() != reflect.Int {
		return nil
	}
	for v := reflect.New(t); ; v.Elem().SetInt(int64(len(names))) {
		text, err := v.Interface().(encoding.TextMarshaler).MarshalText()
		if u, ok := v.Interface().(encoding.TextUnmarshaler); err != nil || !ok || u.UnmarshalText(text) != nil {
			return names
		}
		names = append(names, string(text))
	}
}

// schema describes a Go type as JSON shows it.
func schema(t reflect.Type, schemas object) object {
	switch {
	case t == reflect.TypeFor[time.Time]():
		return object{"type": "string", "format": "date-time"}
	case t == reflect.TypeFor[json.RawMessage]():
		return object{}
	case t.Implements(reflect.TypeFor[encoding.TextMarshaler]()):
		if names := enum(t); names != nil {
			return object{"type": "string", "enum": names}
		}
		return object{"type": "string"}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return schema(t.Elem(), schemas)
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.String:
		return object{"type": "string"}
	case reflect.Float64:
		return object{"type": "number"}
	case reflect.Slice, reflect.Array:
		if t.Elem().Kind() == reflect.Uint8 {
			return object{"type": "string", "contentEncoding": "base64"}
		}
		return object{"type": "array", "items": schema(t.Elem(), schemas)}
	case reflect.Map:
		if t == reflect.TypeFor[object]() {
			return object{"type": "object"}
		}
		return object{"type": "object", "additionalProperties": schema(t.Elem(), schemas)}
	case reflect.Struct:
		if _, done := schemas[t.Name()]; !done {
			properties := object{}
			schemas[t.Name()] = object{"type": "object", "properties": properties}
			for _, f := range reflect.VisibleFields(t) {
				if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" && name != "-" {
					properties[name] = schema(f.Type, schemas)
				}
			}
		}
		return object{"$ref": "#/components/schemas/" + t.Name()}
	}
	return object{"type": "integer"}
}
