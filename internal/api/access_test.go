package api

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"bits"
	"bits/hresult"
	"bits/internal/contract"
	"bits/internal/ipc"
	"bits/internal/notify"
	"bits/internal/proxy"
	"bits/internal/queue"
	"bits/internal/store"
	"bits/internal/wire"
)

// rig is the API over a queue, called by whom the test says.
type rig struct {
	t *testing.T
	h http.Handler
	q *queue.Queue

	stopped bool
}

// newRig is the API of a service of one user, or of all.
func newRig(t *testing.T, allUsers bool) *rig {
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
	r := &rig{t: t, q: q}
	r.h = (&Server{
		Queue: q, Hub: hub, Store: s, AllUsers: allUsers,
		System: func() wire.System { return wire.System{Busy: true, Asking: 1} }, Stop: func() { r.stopped = true },
		Explain: func(context.Context, *bits.Job, *url.URL) (proxy.Choice, error) { return proxy.Direct("test"), nil },
	}).Handler()
	return r
}

func caller(p ipc.Peer) contract.Caller {
	return contract.Caller{Owner: p.Owner, Admin: p.Admin, Integrity: p.Integrity}
}

// call returns the code of the answer, and its body.
func (r *rig) call(who ipc.Peer, method, path, body string) (hresult.Code, string) {
	r.t.Helper()
	ctx, cancel := context.WithCancel(context.WithValue(context.Background(), peerKey{}, who))
	defer cancel()
	if strings.HasSuffix(path, "/certificate-validation") || strings.HasSuffix(path, "/notify-interface") {
		cancel() // so that the stream of calls ends at once
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
	other := ipc.Peer{Owner: "uid:other"}
	bodies := map[string]string{
		"PATCH /jobs/{job}": `{"description":"x"}`, "POST /jobs/{job}/files": `{"files":[]}`,
		"POST /jobs/{job}/certificate-validation":            `{"interface":"` + bits.ValidationCallback + `"}`,
		"POST /jobs/{job}/certificate-validation/{question}": `{"registration":"x","hresult":"0x0"}`,
		"POST /jobs/{job}/notify-interface":                  `{"interfaces":["` + wire.Callbacks[0] + `"]}`,
		"POST /jobs/{job}/notify-interface/{notification}":   `{"registration":"x","hresult":"0x0"}`,
	}
	// What a call answers when it is allowed, to a job that is SUSPENDED and has no files.
	allowed := map[string]hresult.Code{
		"POST /jobs/{job}/resume":                            hresult.BG_E_EMPTY,
		"GET /jobs/{job}/proxy":                              hresult.E_INVALIDARG, // of no URL
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
			owner ipc.Peer
			want  func() hresult.Code
		}{
			{"the owner", me, me, func() hresult.Code {
				if rt.access == takes {
					return hresult.E_ACCESSDENIED
				}
				return allowed[key]
			}},
			{"another user", me, other, func() hresult.Code { return hresult.BG_E_NOT_FOUND }},
			{"an administrator", admin, other, func() hresult.Code {
				if rt.access == owns || rt.access == kept {
					return hresult.E_ACCESSDENIED
				}
				return allowed[key]
			}},
			{"an administrator who took it", admin, admin, func() hresult.Code { return allowed[key] }},
		} {
			r := newRig(t, true)
			job, err := r.q.Create(caller(c.owner), bits.Spec{Properties: map[string]bits.RawMessage{"description": bits.RawMessage(`"y"`)}})
			if err != nil {
				t.Fatal(err)
			}
			path := strings.NewReplacer("{job}", job.ID, "{question}", "x", "{notification}", "x", "{name}", "description", "{file}", "0").Replace(rt.path)
			if got, text := r.call(c.who, rt.method, path, bodies[key]); got != c.want() {
				t.Errorf("%s by %s: %v, want %v: %s", key, c.name, got, c.want(), text)
			}
			if now, err := r.q.Get(job.ID); c.want() == hresult.BG_E_NOT_FOUND && (err != nil || now.Description != "y" || now.State != bits.StateSuspended || now.Owner != other.Owner) {
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
	r := newRig(t, true)
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
}

// Every call by whom the service does not know: that of one user answers none of them, that of all users gives him his own.
// The calls come from the table, so that none is forgotten.
func TestStranger(t *testing.T) {
	stranger := ipc.Peer{Owner: "uid:stranger"}
	for _, rt := range routes {
		for _, all := range []bool{false, true} {
			r := newRig(t, all)
			job, err := r.q.Create(caller(ipc.Self()), bits.Spec{DisplayName: "precious"})
			if err != nil {
				t.Fatal(err)
			}
			path, body := strings.NewReplacer("{job}", job.ID, "{question}", "x", "{notification}", "x", "{code}", "0x80200001").Replace(rt.path), "{}"
			if rt.path == "/proxy" {
				body = `{"url":"http://a.test/"}`
			}
			if rt.path == "/events" {
				path += "?since=0&follow=false"
			}
			var want hresult.Code
			switch {
			case !all || rt.access == stops:
				want = hresult.E_ACCESSDENIED
			case rt.access != anyone:
				want = hresult.BG_E_NOT_FOUND
			}
			code, text := r.call(stranger, rt.method, path, body)
			if code != want || strings.Contains(text, "precious") || rt.method != "POST" && strings.Contains(text, job.ID) && want == 0 || r.stopped {
				t.Errorf("%s %s, of all users %v: %v, want %v: %s", rt.method, rt.path, all, code, want, text)
			}
			if now, err := r.q.Get(job.ID); err != nil || !now.Modified.Equal(job.Modified) {
				t.Errorf("%s %s changed the job of another: %+v, %v", rt.method, rt.path, now, err)
			}
		}
	}
}

// What a service of all users tells of itself is of no other user's doing; only administrators end it.
func TestSystemCalls(t *testing.T) {
	for _, c := range []struct {
		who  ipc.Peer
		busy string
		stop hresult.Code
	}{
		{ipc.Peer{Owner: "uid:user"}, `"busy":false,"asking":0,"all_users":true`, hresult.E_ACCESSDENIED},
		{ipc.Peer{Owner: "uid:admin", Admin: true}, `"busy":true,"asking":1,"all_users":true`, 0},
	} {
		r := newRig(t, true)
		if code, text := r.call(c.who, "GET", "/system", ""); code != 0 || !strings.Contains(text, c.busy) {
			t.Errorf("%+v: %v %s", c.who, code, text)
		}
		if code, _ := r.call(c.who, "POST", "/system/stop", ""); code != c.stop || r.stopped != (c.stop == 0) {
			t.Errorf("%+v: %v, stopped %v", c.who, code, r.stopped)
		}
	}
}

// An id that another user's job has is not given away, and not given a second time.
func TestIDOfAnother(t *testing.T) {
	r := newRig(t, true)
	job, err := r.q.Create(caller(ipc.Self()), bits.Spec{DisplayName: "precious"})
	if err != nil {
		t.Fatal(err)
	}
	if code, text := r.call(ipc.Peer{Owner: "uid:stranger"}, "POST", "/jobs", `{"id":"`+job.ID+`"}`); code != hresult.BG_E_NOT_FOUND || strings.Contains(text, "precious") {
		t.Errorf("%v %s", code, text)
	}
}

// What servers said may hold cookies: only the owner sees it, and only where he asks for it; who takes the job over does not.
func TestHeadersOfAnswers(t *testing.T) {
	r := newRig(t, true)
	me := ipc.Self()
	me.Admin = false
	admin := ipc.Peer{Owner: "uid:admin", Admin: true}
	job, err := r.q.Create(caller(me), bits.Spec{
		Resume: true, Files: []bits.FileSpec{{RemoteName: "https://origin.test/f", LocalName: filepath.Join(t.TempDir(), "f")}},
		Properties: map[string]bits.RawMessage{"custom_headers": bits.RawMessage(`"X-Token: s3cr3t"`)},
	})
	if err != nil {
		t.Fatal(err)
	}
	run, err := r.q.Begin(context.Background(), job.ID)
	if err != nil {
		t.Fatal(err)
	}
	f := job.Files[0]
	f.ResponseHeaders = "HTTP/1.1 200 OK\r\nSet-Cookie: s3cr3t\r\n"
	if err := run.Contact(f, true); err != nil {
		t.Fatal(err)
	}
	run.End(bits.Errorf(hresult.BG_E_VALIDATION_FAILED, "cannot go on"), 0)
	path := "/jobs/" + job.ID
	for _, who := range []ipc.Peer{me, admin} {
		for _, place := range []string{"/jobs", "/jobs?all=true", path, "/events?since=0&follow=false", "/events?follow=false&job=" + job.ID, path + "/properties/error"} {
			if _, text := r.call(who, "GET", place, ""); strings.Contains(text, "s3cr3t") {
				t.Errorf("%s, for %s: %s", place, who.Owner, text)
			}
		}
	}
	headers := path + "/files/0/properties/http_response_headers"
	if code, text := r.call(me, "GET", headers, ""); code != 0 || !strings.Contains(text, "s3cr3t") {
		t.Errorf("the owner: %v %s", code, text)
	}
	if code, text := r.call(admin, "GET", headers, ""); code != hresult.E_ACCESSDENIED {
		t.Errorf("an administrator: %v %s", code, text)
	}
	if code, text := r.call(admin, "POST", path+"/own", ""); code != 0 {
		t.Fatal(text)
	}
	if code, text := r.call(admin, "GET", headers, ""); code != 0 || strings.Contains(text, "s3cr3t") {
		t.Errorf("who took it: %v %s", code, text)
	}
}

// TakeOwnership: headers, credentials, the client certificate, proxies and the notification command go, what was accepted is forgotten, the demand for a validator and the trust stay.
func TestTakeOwnership(t *testing.T) {
	r := newRig(t, true)
	me := ipc.Self()
	other := ipc.Peer{Owner: "uid:other", Integrity: ipc.IntegrityMedium}
	job, err := r.q.Create(caller(other), bits.Spec{
		Properties: map[string]bits.RawMessage{
			"custom_headers": bits.RawMessage(`"X-Token: secret"`), "notify_cmd_line": bits.RawMessage(`{"program":"/p"}`),
			"notify_flags":       bits.RawMessage("1"),
			"notification_clsid": bits.RawMessage(`"5d0fd2d2-9a5c-4b83-9f6c-0c1d9f1b8a77"`), "use_stored_credentials": bits.RawMessage(`"PROXY"`),
			"login_sources": bits.RawMessage(`{"netrc":"/netrc"}`),
		},
		Environment: map[string]string{"https_proxy": "http://u:p@proxy", "SSL_CERT_FILE": "/ca.pem"},
		Files:       []bits.FileSpec{{RemoteName: "https://origin.test/f", LocalName: filepath.Join(t.TempDir(), "f")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err = r.q.Do(job.ID, contract.Call{Apply: func(j *bits.Job, _ contract.Caller) (contract.Outcome, error) {
		j.Secrets.ClientCertificate = &bits.ClientCertificate{Store: "MY", Subject: "secret"} // there is none in a store of this test
		return contract.Outcome{}, nil
	}}, caller(other)); err != nil {
		t.Fatal(err)
	}
	if job.OwnerElevated || job.OwnerIntegrity != ipc.IntegrityMedium || job.TakenFrom != "" {
		t.Errorf("as made: %+v", job)
	}
	registration, err := r.q.SetValidator(job.ID, true)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := r.q.SetNotify(job.ID, bits.NotifyTransferred)
	if err != nil {
		t.Fatal(err)
	}
	if code, text := r.call(other, "POST", "/jobs/"+job.ID+"/set-credentials", `{"target":"SERVER","scheme":"BASIC","user":"u","password":"p"}`); code != 0 {
		t.Fatal(text)
	}
	if code, text := r.call(other, "POST", "/jobs/"+job.ID+"/set-helper-token", ""); code != 0 {
		t.Fatal(text)
	}
	admin := me
	admin.Admin, admin.Integrity = true, ipc.IntegritySystem
	for _, name := range []string{"custom_headers", "client_certificate"} { // an administrator who has not taken it cannot read them
		path := "/jobs/" + job.ID + "/properties/" + name
		if code, text := r.call(other, "GET", path, ""); code != 0 {
			t.Errorf("%s by its owner: %s", name, text)
		}
		if code, text := r.call(admin, "GET", path, ""); code != hresult.E_ACCESSDENIED || strings.Contains(text, "secret") {
			t.Errorf("%s by an administrator: %v, %s", name, code, text)
		}
	}
	// Nor can he choose for the owner what the service reads in the owner's name, or whom the owner trusts.
	for _, body := range []string{`{"login_sources":{"keyring":true}}`, `{"login_sources":{"netrc":"/other"}}`, `{"use_stored_credentials":"NONE"}`, `{"proxy_settings":{"usage":"NO_PROXY"}}`, `{"security_flags":"0x1e"}`, `{"roots":""}`} {
		if code, text := r.call(admin, "PATCH", "/jobs/"+job.ID, body); code != hresult.E_ACCESSDENIED {
			t.Errorf("%s by an administrator: %v, %s", body, code, text)
		}
	}
	if now, err := r.q.Get(job.ID); err != nil || now.LoginSources == nil || now.LoginSources.Netrc != "/netrc" {
		t.Errorf("%+v, %v", now, err)
	}
	if code, text := r.call(admin, "POST", "/jobs/"+job.ID+"/own", ""); code != 0 {
		t.Fatal(text)
	}
	now, err := r.q.Get(job.ID)
	if err != nil || now.Owner != me.Owner || now.Secrets.Headers != "" || len(now.Secrets.Environment) != 1 || now.Secrets.Environment["SSL_CERT_FILE"] != "/ca.pem" {
		t.Errorf("%+v %+v, %v", now, now.Secrets, err)
	}
	if now.Secrets.Credentials != nil || now.Secrets.ClientCertificate != nil || now.NotifyFlags != bits.NotifyTransferred {
		t.Errorf("%+v, flags %v", now.Secrets, now.NotifyFlags)
	}
	if !now.OwnerElevated || now.OwnerIntegrity != ipc.IntegritySystem || now.TakenFrom != other.Owner {
		t.Errorf("as taken: %+v", now)
	}
	if !now.ValidatorRequired || now.ValidatorAttached {
		t.Errorf("required %v, attached %v", now.ValidatorRequired, now.ValidatorAttached)
	}
	if now.NotificationCLSID != "" || now.StoredCredentials != bits.AuthNone || now.LoginSources != nil || now.HelperTokenSID != "" || now.TokenPresent {
		t.Errorf("what was lent to the job stays: %+v", now)
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
	// He hears that something happened, looks, and finds it gone; after that he hears no more.
	if code, _ := r.call(other, "GET", "/jobs/"+job.ID, ""); code != hresult.BG_E_NOT_FOUND {
		t.Errorf("the owner before still sees it: %v", code)
	}
	if _, err := r.q.Act(job.ID, bits.Cancel); err != nil {
		t.Fatal(err)
	}
	for who, want := range map[ipc.Peer][]string{other: {"SUSPENDED", "SUSPENDED"}, admin: {"SUSPENDED", "CANCELLED"}} {
		_, text := r.call(who, "GET", "/events?since=0&follow=false", "")
		var states []string
		for line := range strings.Lines(text) {
			var e struct{ Body wire.StateEvent }
			if err := json.Unmarshal([]byte(line), &e); err != nil {
				t.Fatal(err)
			}
			states = append(states, e.Body.State.String())
		}
		if !slices.Equal(states, want) {
			t.Errorf("%s hears %v, want %v", who.Owner, states, want)
		}
	}
}

// What TakeOwnership refuses, and that it changes nothing then.
func TestTakeOwnershipRefused(t *testing.T) {
	admin := ipc.Self()
	admin.Admin = true
	for name, c := range map[string]struct {
		folder string // of the file, below the test's
		end    bool
		who    ipc.Peer
		want   hresult.Code
	}{
		"no folder":            {folder: "none", who: admin, want: hresult.BG_E_NEW_OWNER_NO_FILE_ACCESS},
		"final":                {end: true, who: admin, want: hresult.BG_E_INVALID_STATE},
		"its owner, no admin":  {who: ipc.Peer{Owner: "uid:other"}, want: hresult.E_ACCESSDENIED},
		"another, no admin":    {who: ipc.Peer{Owner: "uid:stranger"}, want: hresult.BG_E_NOT_FOUND},
		"its owner, now admin": {who: ipc.Peer{Owner: "uid:other", Admin: true}, want: 0},
	} {
		r := newRig(t, true)
		dir := filepath.Join(t.TempDir(), c.folder)
		os.Mkdir(dir, 0o700)
		job, err := r.q.Create(contract.Caller{Owner: "uid:other"}, bits.Spec{
			Properties: map[string]bits.RawMessage{"custom_headers": bits.RawMessage(`"X-Token: secret"`)},
			Files:      []bits.FileSpec{{RemoteName: "https://origin.test/f", LocalName: filepath.Join(dir, "f")}},
		})
		if err != nil {
			t.Fatal(err)
		}
		if c.folder != "" {
			os.Remove(dir)
		}
		if c.end {
			if _, err := r.q.Act(job.ID, bits.Cancel); err != nil {
				t.Fatal(err)
			}
		}
		if code, text := r.call(c.who, "POST", "/jobs/"+job.ID+"/own", ""); code != c.want {
			t.Errorf("%s: %v, want %v: %s", name, code, c.want, text)
		}
		now, err := r.q.Get(job.ID)
		if err != nil || now.Owner != job.Owner || now.TakenFrom != "" || now.Secrets.Headers == "" || now.OwnerElevated != (c.want == 0) {
			t.Errorf("%s: %+v, %v", name, now, err)
		}
	}
}
