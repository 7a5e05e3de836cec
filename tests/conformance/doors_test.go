package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"

	"bits"
	"bits/client"
	"bits/client/bitstest"
	"bits/hresult"
	"bits/internal/ipc"
)

// door is a way into the service. Each step of a row goes through it; rows do not know which one it is.
type door interface {
	create(spec bits.Spec) (id string, a answer)
	list() (ids []string, a answer)
	add(id string, files []bits.FileSpec) answer
	get(id, property string) answer
	fileGet(id string, file int, property string) answer
	set(id, property string, value json.RawMessage) answer
	call(id, operation string, parameters json.RawMessage) answer
	fileCall(id string, file int, operation string, parameters json.RawMessage) answer
	act(id, verb string) answer // resume, suspend, complete, cancel, own
}

// answer is what a door says: a code of BITS, and a value, as JSON or, from the door that speaks to people, as text.
type answer struct {
	code  hresult.Code
	value json.RawMessage
	text  *string
	err   error
}

func failed(err error) answer { return answer{code: bits.AsError(err).Code, err: err} }

func done(code hresult.Code, err error) answer {
	if err != nil {
		return failed(err)
	}
	return answer{code: code}
}

// base is the property of a path to a field of its value.
func base(path string) string {
	property, _, _ := strings.Cut(path, ".")
	return property
}

// doors make the doors of a service, by name.
var doors = map[string]func(*service) door{
	"go":    func(s *service) door { return goDoor{&client.Client{Socket: s.client.Socket}} },
	"http":  func(s *service) door { return newHTTPDoor(s) },
	"admin": func(s *service) door { return newAdminDoor(s) },
}

// chosen are the doors that are tried: all, or the one that BITS_CONFORMANCE_DOOR names.
func chosen() map[string]func(*service) door {
	if name := os.Getenv("BITS_CONFORMANCE_DOOR"); name != "" {
		return map[string]func(*service) door{name: doors[name]}
	}
	return doors
}

// goDoor is package client.
type goDoor struct{ c *client.Client }

// at is a client of a socket.
func (goDoor) at(socket string) *client.Client { return &client.Client{Socket: socket} }

func (d goDoor) create(spec bits.Spec) (string, answer) {
	j, err := d.c.Create(ctx, spec)
	if err != nil {
		return "", failed(err)
	}
	return j.ID, answer{}
}

func (d goDoor) list() (ids []string, a answer) {
	jobs, err := d.c.Jobs(ctx, nil)
	for _, j := range jobs {
		ids = append(ids, j.ID)
	}
	return ids, done(0, err)
}

func (d goDoor) add(id string, files []bits.FileSpec) answer {
	return done(0, d.c.Add(ctx, id, files...))
}

func read(f func(into any) (hresult.Code, error)) answer {
	value := json.RawMessage("null")
	code, err := f(&value)
	a := done(code, err)
	a.value = value
	return a
}

func (d goDoor) get(id, property string) answer {
	return read(func(into any) (hresult.Code, error) { return d.c.Property(ctx, id, base(property), into) })
}

func (d goDoor) fileGet(id string, file int, property string) answer {
	return read(func(into any) (hresult.Code, error) { return d.c.FileProperty(ctx, id, file, base(property), into) })
}

func (d goDoor) set(id, property string, value json.RawMessage) answer {
	return done(0, d.c.Set(ctx, id, map[string]any{property: value}))
}

// parameters is nil for none, not an empty message.
func parameters(raw json.RawMessage) any {
	if len(raw) == 0 {
		return nil
	}
	return raw
}

func (d goDoor) call(id, operation string, raw json.RawMessage) answer {
	return done(d.c.Call(ctx, id, operation, parameters(raw)))
}

func (d goDoor) fileCall(id string, file int, operation string, raw json.RawMessage) answer {
	return done(d.c.FileCall(ctx, id, file, operation, parameters(raw)))
}

func (d goDoor) act(id, verb string) answer {
	switch verb {
	case "resume":
		return done(0, d.c.Resume(ctx, id))
	case "suspend":
		return done(0, d.c.Suspend(ctx, id))
	case "complete":
		return done(d.c.Complete(ctx, id))
	case "cancel":
		return done(d.c.Cancel(ctx, id))
	}
	return done(d.c.Call(ctx, id, verb, nil))
}

// restDoor is the local API as text: requests that any program could send. How they are sent is said by do, which returns the body of
// a success.
type restDoor struct {
	socket string
	do     func(method, path string, body []byte) ([]byte, error)
}

func newHTTPDoor(s *service) door {
	c := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return ipc.Dial(ctx, s.client.Socket) }, DisableKeepAlives: true}}
	return restDoor{s.client.Socket, func(method, path string, body []byte) ([]byte, error) {
		r, err := http.NewRequest(method, "http://bits/v1"+path, bytes.NewReader(body))
		if err != nil {
			return nil, err
		}
		resp, err := c.Do(r)
		if err != nil {
			return nil, err
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err == nil && resp.StatusCode != http.StatusOK {
			err = refusal(text)
		}
		return text, err
	}}
}

// refusal is the error that a body tells.
func refusal(text []byte) error {
	var e struct {
		Code    hresult.Code `json:"hresult"`
		Message string       `json:"message"`
	}
	if err := json.Unmarshal(text, &e); err != nil || e.Code == 0 {
		return fmt.Errorf("no error object: %s", text)
	}
	return &bits.Error{Code: e.Code, Message: e.Message}
}

func (d restDoor) result(method, path string, body []byte) answer {
	text, err := d.do(method, path, body)
	if err != nil {
		return failed(err)
	}
	var r struct {
		Code  hresult.Code    `json:"hresult"`
		Value json.RawMessage `json:"value"`
	}
	if err := json.Unmarshal(text, &r); err != nil {
		return failed(fmt.Errorf("%w: %s", err, text))
	}
	if r.Value == nil {
		r.Value = json.RawMessage("null")
	}
	return answer{code: r.Code, value: r.Value}
}

func (d restDoor) create(spec bits.Spec) (string, answer) {
	text, err := d.do("POST", "/jobs", bitstest.JSON(spec))
	if err != nil {
		return "", failed(err)
	}
	var j struct{ ID string }
	err = json.Unmarshal(text, &j)
	return j.ID, done(0, err)
}

func (d restDoor) list() (ids []string, a answer) {
	text, err := d.do("GET", "/jobs", nil)
	var list struct{ Jobs []struct{ ID string } }
	if err == nil {
		err = json.Unmarshal(text, &list)
	}
	for _, j := range list.Jobs {
		ids = append(ids, j.ID)
	}
	return ids, done(0, err)
}

func (d restDoor) add(id string, files []bits.FileSpec) answer {
	_, err := d.do("POST", "/jobs/"+id+"/files", bitstest.JSON(map[string]any{"files": files}))
	return done(0, err)
}

func (d restDoor) get(id, property string) answer {
	return d.result("GET", "/jobs/"+id+"/properties/"+url.PathEscape(base(property)), nil)
}

func (d restDoor) fileGet(id string, file int, property string) answer {
	return d.result("GET", fmt.Sprintf("/jobs/%s/files/%d/properties/%s", id, file, url.PathEscape(base(property))), nil)
}

func (d restDoor) set(id, property string, value json.RawMessage) answer {
	_, err := d.do("PATCH", "/jobs/"+id, bitstest.JSON(map[string]any{property: value}))
	return done(0, err)
}

func (d restDoor) call(id, operation string, raw json.RawMessage) answer {
	return d.result("POST", "/jobs/"+id+"/"+operation, raw)
}

func (d restDoor) fileCall(id string, file int, operation string, raw json.RawMessage) answer {
	return d.result("POST", fmt.Sprintf("/jobs/%s/files/%d/%s", id, file, operation), raw)
}

func (d restDoor) act(id, verb string) answer { return d.result("POST", "/jobs/"+id+"/"+verb, nil) }
