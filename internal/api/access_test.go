package api

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"bits"
	"bits/hresult"
	"bits/internal/contract"
	"bits/internal/ipc"
	"bits/internal/notify"
	"bits/internal/queue"
	"bits/internal/store"
	"bits/internal/wire"
)

// rig is the API over a queue, called by whom the test says.
type rig struct {
	t *testing.T
	h http.Handler
	q *queue.Queue
}

func newRig(t *testing.T) *rig {
	t.Helper()
	ctx := context.Background()
	s, err := store.Open(ctx, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	hub := notify.New()
	q, err := queue.Open(ctx, s, hub)
	if err != nil {
		t.Fatal(err)
	}
	return &rig{t, (&Server{Queue: q, Hub: hub, Store: s, System: func() wire.System { return wire.System{} }, Stop: func() {}}).Handler(), q}
}

// call returns the code of the answer, and its body.
func (r *rig) call(who ipc.Peer, method, path, body string) (hresult.Code, string) {
	r.t.Helper()
	ctx, cancel := context.WithCancel(context.WithValue(context.Background(), peerKey{}, who))
	defer cancel()
	if strings.HasSuffix(path, "/certificate-validation") {
		cancel() // so that the stream of questions ends at once
	}
	request := httptest.NewRequestWithContext(ctx, method, "http://bits/v1"+path, strings.NewReader(body))
	answer := httptest.NewRecorder()
	r.h.ServeHTTP(answer, request)
	text, _ := io.ReadAll(answer.Result().Body)
	var e wire.Error
	if answer.Code >= 300 && json.Unmarshal(text, &e) != nil {
		r.t.Fatalf("%s %s: %d %s", method, path, answer.Code, text)
	}
	return e.Code, string(text)
}

// The matrix of every call on a job and who makes it: its owner, another user, an administrator before and after he has taken it.
func TestAccess(t *testing.T) {
	me := ipc.Self()
	me.Admin = false
	admin := ipc.Peer{Owner: "uid:admin", Admin: true}
	const other = "uid:other"
	bodies := map[string]string{
		"PATCH /jobs/{job}": `{"description":"x"}`, "POST /jobs/{job}/files": `{"files":[]}`,
		"POST /jobs/{job}/certificate-validation":            `{"interface":"` + bits.ValidationCallback + `"}`,
		"POST /jobs/{job}/certificate-validation/{question}": `{"registration":"x","hresult":"0x0"}`,
		"POST /jobs/{job}/notify-interface":                  `{"interfaces":["` + bits.Callbacks[0] + `"]}`,
		"POST /jobs/{job}/notify-interface/{notification}":   `{"registration":"x","hresult":"0x0"}`,
	}
	// What a call answers when it is allowed, to a job that is SUSPENDED and has no files.
	allowed := map[string]hresult.Code{
		"POST /jobs/{job}/resume":                            hresult.BG_E_EMPTY,
		"POST /jobs/{job}/certificate-validation/{question}": hresult.BG_E_INVALID_STATE,
		"POST /jobs/{job}/notify-interface/{notification}":   hresult.BG_E_INVALID_STATE,
	}
	const credential = `{"target":"SERVER","scheme":"BASIC","user":"u","password":"p"}`
	for _, o := range []struct {
		path, body string
		code       hresult.Code
	}{
		{"replace-remote-prefix", `{"old":"a","new":"b"}`, 0},
		{"set-credentials", credential, 0},
		{"remove-credentials", `{"target":"SERVER","scheme":"BASIC"}`, 0},
		{"files/{file}/set-remote-name", `{"remote_name":"http://b/"}`, hresult.BG_E_FILE_NOT_FOUND},
		{"files/{file}/set-validation-state", `{"valid":true}`, hresult.BG_E_FILE_NOT_FOUND},
		{"files/{file}/request-ranges", `{"ranges":[{"offset":0,"length":1}]}`, hresult.BG_E_FILE_NOT_FOUND},
		{"files/{file}/update-download-position", `{"offset":0}`, hresult.BG_E_FILE_NOT_FOUND},
	} {
		bodies["POST /jobs/{job}/"+o.path], allowed["POST /jobs/{job}/"+o.path] = o.body, o.code
	}
	allowed["GET /jobs/{job}/files/{file}/properties/{name}"] = hresult.BG_E_FILE_NOT_FOUND
	n := 0
	for _, rt := range routes {
		if !strings.Contains(rt.path, "{job}") {
			continue
		}
		n++
		key := rt.method + " " + rt.path
		for _, c := range []struct {
			name  string
			who   ipc.Peer
			owner string
			want  func() hresult.Code
		}{
			{"the owner", me, me.Owner, func() hresult.Code { return allowed[key] }},
			{"another user", me, other, func() hresult.Code { return hresult.BG_E_NOT_FOUND }},
			{"an administrator", admin, other, func() hresult.Code {
				if rt.access == owns {
					return hresult.E_ACCESSDENIED
				}
				return allowed[key]
			}},
			{"an administrator who took it", admin, admin.Owner, func() hresult.Code { return allowed[key] }},
		} {
			r := newRig(t)
			job, err := r.q.Create(contract.Caller{Owner: c.owner}, bits.Spec{Properties: map[string]bits.RawMessage{"description": bits.RawMessage(`"y"`)}})
			if err != nil {
				t.Fatal(err)
			}
			path := strings.NewReplacer("{job}", job.ID, "{question}", "x", "{notification}", "x", "{name}", "description", "{file}", "0").Replace(rt.path)
			if got, text := r.call(c.who, rt.method, path, bodies[key]); got != c.want() {
				t.Errorf("%s by %s: %v, want %v: %s", key, c.name, got, c.want(), text)
			}
			if now, err := r.q.Get(job.ID); c.want() == hresult.BG_E_NOT_FOUND && (err != nil || now.Description != "y" || now.State != bits.StateSuspended || now.Owner != other) {
				t.Errorf("%s by %s changed the job: %+v", key, c.name, now)
			}
		}
	}
	if n < 10 {
		t.Errorf("only %d calls", n)
	}
}

// Lists and events show the caller's own; an administrator sees all when he asks for all.
func TestWhoSeesWhat(t *testing.T) {
	me := ipc.Self()
	me.Admin = false
	admin := ipc.Peer{Owner: "uid:admin", Admin: true}
	r := newRig(t)
	for _, owner := range []string{me.Owner, "uid:other"} {
		if _, err := r.q.Create(contract.Caller{Owner: owner}, bits.Spec{DisplayName: "of " + owner}); err != nil {
			t.Fatal(err)
		}
	}
	mine, theirs := "of "+me.Owner, "of uid:other"
	for _, c := range []struct {
		who    ipc.Peer
		path   string
		code   hresult.Code
		events int // -1: it is a list
		mine   bool
		theirs bool
	}{
		{me, "/jobs", 0, -1, true, false},
		{me, "/jobs?all=true", hresult.E_ACCESSDENIED, -1, false, false},
		{admin, "/jobs", 0, -1, false, false},
		{admin, "/jobs?all=true", 0, -1, true, true},
		{me, "/events?since=0&follow=false", 0, 1, false, false},
		{me, "/events?follow=false", 0, 2, false, false}, // its state, and where the stream stands
		{admin, "/events?since=0&follow=false", 0, 0, false, false},
	} {
		code, text := r.call(c.who, "GET", c.path, "")
		if code != c.code || strings.Contains(text, mine) != c.mine || strings.Contains(text, theirs) != c.theirs || c.events >= 0 && strings.Count(text, "\n") != c.events {
			t.Errorf("%s by %s: %v %s", c.path, c.who.Owner, code, text)
		}
	}
	if code, _ := r.call(ipc.Peer{Owner: "uid:stranger"}, "GET", "/jobs", ""); code != hresult.E_ACCESSDENIED {
		t.Errorf("a stranger: %v", code)
	}
}

// TakeOwnership: headers, proxies and the notification command go, what was accepted is forgotten, the demand for a validator and the trust stay.
func TestTakeOwnership(t *testing.T) {
	r := newRig(t)
	me := ipc.Self()
	job, err := r.q.Create(contract.Caller{Owner: "uid:other"}, bits.Spec{
		Properties:  map[string]bits.RawMessage{"custom_headers": bits.RawMessage(`"X-Token: secret"`), "notify_cmd_line": bits.RawMessage(`{"program":"/p"}`)},
		Environment: map[string]string{"https_proxy": "http://u:p@proxy", "SSL_CERT_FILE": "/ca.pem"},
		Files:       []bits.FileSpec{{RemoteName: "https://origin.test/f", LocalName: filepath.Join(t.TempDir(), "f")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	registration, err := r.q.SetValidator(job.ID, true)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := r.q.SetNotify(job.ID, bits.NotifyTransferred)
	if err != nil {
		t.Fatal(err)
	}
	admin := me
	admin.Admin = true
	if code, text := r.call(admin, "POST", "/jobs/"+job.ID+"/own", ""); code != 0 {
		t.Fatal(text)
	}
	now, err := r.q.Get(job.ID)
	if err != nil || now.Owner != me.Owner || now.Secrets.Headers != "" || len(now.Secrets.Environment) != 1 || now.Secrets.Environment["SSL_CERT_FILE"] != "/ca.pem" {
		t.Errorf("%+v %+v, %v", now, now.Secrets, err)
	}
	if !now.ValidatorRequired || now.ValidatorAttached {
		t.Errorf("required %v, attached %v", now.ValidatorRequired, now.ValidatorAttached)
	}
	if now.NotifyCommand != nil || now.NotifyUser != "" {
		t.Errorf("the command of the owner before is there: %v as %s", now.NotifyCommand, now.NotifyUser)
	}
	for what, replaced := range map[string]chan struct{}{"asked": registration.Replaced, "told": listener.Replaced} {
		select {
		case <-replaced:
		default:
			t.Errorf("the application of the owner before is still %s", what)
		}
	}
}
