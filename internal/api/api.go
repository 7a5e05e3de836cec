// Package api serves the local API: HTTP and JSON on a socket that only its user can open, or, for the service of all users, everybody.
//
// All routes stand in one table with the rule of who may call them.
package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"bits"
	"bits/hresult"
	"bits/internal/contract"
	"bits/internal/ipc"
	"bits/internal/limits"
	"bits/internal/notify"
	"bits/internal/proxy"
	"bits/internal/queue"
	"bits/internal/store"
	"bits/internal/wire"
)

// Server answers the local API.
type Server struct {
	Queue  *queue.Queue
	Hub    *notify.Hub
	Store  *store.Store
	System func() wire.System // what the service says of itself; Owner is filled in here
	Stop   func()             // ends the service at a checkpoint
	Limits limits.Limits      // of policy

	Explain func(ctx context.Context, j *bits.Job, u *url.URL) (proxy.Choice, error) // how a job reaches a URL

	NoCommands bool // policy: notification commands are kept, and not run
	AllUsers   bool // everybody may call; else the user of this process, and administrators
}

// access says who may call a route.
type access int

const (
	anyone access = iota // on what is theirs; administrators on what all users have
	stops                // whose service it is: its user, and administrators
	reads                // the owner of the job, and administrators
	owns                 // the owner of the job alone
	admin                // administrators, and the owner
	takes                // administrators, not even the owner
	kept                 // the owner of the job alone, and also of one that the queue has forgotten
)

// accessNames says it to people.
var accessNames = map[access]string{
	anyone: "anyone", stops: "the user of the service, administrators", reads: "owner, administrators", owns: "owner",
	admin: "owner, administrators", takes: "administrators", kept: "owner",
}

type route struct {
	method, path string
	access       access
	doc          string
	handle       func(*call) (any, error)
	query        []string // its parameters: a name, and perhaps = and the only values, with commas
}

// routes is the whole API.
var routes []route

func init() {
	routes = []route{
		{"GET", "/system", anyone, "What the service is: version, build, state folder, the caller as it sees him.", (*call).system, nil},
		{"POST", "/system/stop", stops, "End the service at a checkpoint; nothing is lost.", (*call).stop, nil},
		{"GET", "/openapi.json", anyone, "This API as an OpenAPI 3.1 document.", (*call).openAPI, nil},
		{"GET", "/errors/{code}", anyone, "What a code means: 0x and eight digits, decimal, or its name (GetErrorDescription).", (*call).describe, nil},
		{"GET", "/jobs", anyone, "List the caller's jobs. state=NAME, validator=required, final=true (also ACKNOWLEDGED and CANCELLED ones of the last day), all=true (of all users; administrators).", (*call).list, []string{"state", "validator=required,false", "final=true,false", "all=true,false"}},
		{"POST", "/jobs", anyone, "Create a job, SUSPENDED; with files, properties, a client-chosen id and resume in one call.", (*call).create, nil},
		{"GET", "/jobs/{job}", reads, "One job, its files, its error, why it waits.", (*call).get, nil},
		{"PATCH", "/jobs/{job}", owns, "Change properties: all that are named, or none. The answer has hresult besides, if the code is a success other than S_OK.", (*call).patch, nil},
		{"POST", "/jobs/{job}/files", owns, "Add files: all, or none.", (*call).files, nil},
		{"GET", "/jobs/{job}/properties/{name}", reads, "One property of the job, with the code that BITS would return.", (*call).property, nil},
		{"GET", "/jobs/{job}/files/{file}/properties/{name}", reads, "One property of a file, by its number from 0.", (*call).fileProperty, nil},
		{"POST", "/jobs/{job}/resume", owns, "Resume.", act(bits.Resume), nil},
		{"POST", "/jobs/{job}/suspend", admin, "Suspend. When it returns, nothing of the job is under way.", act(bits.Suspend), nil},
		{"POST", "/jobs/{job}/cancel", admin, "Cancel: drop the job and its temporary files.", act(bits.Cancel), nil},
		{"POST", "/jobs/{job}/complete", owns, "Complete: give the finished files their names, drop the others.", act(bits.Complete), nil},
		{"POST", "/jobs/{job}/own", takes, "TakeOwnership: the caller becomes the owner; what the owner before trusted the job with is removed.", (*call).own, nil},
		{"POST", "/jobs/{job}/certificate-validation", owns, "SetServerCertificateValidationInterface: the body of the answer is the stream of questions.", (*call).setValidation, nil},
		{"DELETE", "/jobs/{job}/certificate-validation", owns, "SetServerCertificateValidationInterface(nullptr).", (*call).removeValidation, nil},
		{"POST", "/jobs/{job}/certificate-validation/{question}", owns, "The verdict on a question.", returned(notify.Certificates, "question"), nil},
		{"POST", "/jobs/{job}/notify-interface", owns, "SetNotifyInterface: the body of the answer is the stream of notifications.", (*call).setNotify, nil},
		{"DELETE", "/jobs/{job}/notify-interface", owns, "SetNotifyInterface(nullptr).", (*call).removeNotify, nil},
		{"POST", "/jobs/{job}/notify-interface/{notification}", owns, "What the callback returned for a notification.", returned(notify.Notifications, "notification"), nil},
		{"GET", "/jobs/{job}/proxy", owns, "By which proxies the job reaches a URL (url=URL), and why.", (*call).route, []string{"url"}},
		{"POST", "/proxy", anyone, "By which proxies a job with these proxy settings and variables would reach a URL, and why.", (*call).routeOf, nil},
		{"GET", "/events", anyone, "The caller's events, one JSON object a line: from number since on, or from the present state. job=ID: of one job. follow=false: only what is there.", (*call).events, []string{"since", "job", "follow=true,false"}},
	}
	routes = append(routes, route{"GET", "/jobs/{job}/log", kept, "The log of the job, one JSON object a line: what is kept of it, also when the job is forgotten; {job} may then be the unique begin of its id. from=N: only the lines after the number N. follow=true: and what comes, until the job is final.", (*call).log, []string{"from", "follow=true,false"}})
	for _, o := range contract.Operations() {
		path := "/jobs/{job}/"
		if o.File {
			path += "files/{file}/"
		}
		routes = append(routes, route{"POST", path + o.Name, owns, o.BITS + ": " + o.Doc, operate(o), nil})
		if o.Body != nil {
			bodies["POST "+path+o.Name] = body{o.Body, wire.Result{}}
		}
	}
}

// call is one request.
type call struct {
	*Server
	w    http.ResponseWriter
	r    *http.Request
	peer ipc.Peer
	job  string // of the path, found and allowed

	Queue *queue.Queue // that of the server; where the caller is allowed as the owner of the job, for what he owns
}

type peerKey struct{}

// ConnContext puts the peer of a connection into its context, for http.Server.
func ConnContext(ctx context.Context, c net.Conn) context.Context {
	peer, err := ipc.PeerOf(c)
	if err != nil {
		return ctx // and the call will be refused
	}
	return context.WithValue(ctx, peerKey{}, peer)
}

// Handler returns the API as an http.Handler.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	for _, rt := range routes {
		mux.HandleFunc(rt.method+" /"+wire.Version+rt.path, func(w http.ResponseWriter, r *http.Request) {
			c := &call{Server: s, w: w, r: r, Queue: s.Queue}
			answer, err := c.serve(rt)
			c.reply(answer, err)
		})
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		c := &call{Server: s, w: w, r: r}
		c.reply(nil, bits.Errorf(hresult.BG_E_NOT_FOUND, "cannot %s %s: there is no such call", r.Method, r.URL.Path).WithHint("GET /v1/openapi.json lists the calls"))
	})
	return mux
}

func (c *call) serve(rt route) (any, error) {
	// No web page may drive the service through a browser.
	host, _, _ := strings.Cut(c.r.Host, ":")
	if c.r.Header.Get("Origin") != "" || c.r.Header.Get("Referer") != "" || host != "bits" && host != "localhost" {
		return nil, bits.Errorf(hresult.E_ACCESSDENIED, "cannot serve %s: the request comes from a browser or names the host %q", c.r.URL.Path, c.r.Host).WithHint("use http://bits/ or http://localhost/ over the socket")
	}
	peer, ok := c.r.Context().Value(peerKey{}).(ipc.Peer)
	if !ok {
		return nil, bits.Errorf(hresult.E_ACCESSDENIED, "cannot serve %s: the caller is unknown", c.r.URL.Path).WithHint("call from a process of this machine that has a user")
	}
	c.peer = peer
	if mine := peer.Owner == ipc.Self().Owner || peer.Admin; !mine && !c.AllUsers {
		return nil, bits.Errorf(hresult.E_ACCESSDENIED, "cannot serve %s: this service is that of %s", peer.Owner, ipc.Self().Owner).WithHint("use a service of your own: set BITS_SOCKET to another socket, or to none")
	} else if !mine && rt.access == stops {
		return nil, bits.Errorf(hresult.E_ACCESSDENIED, "cannot stop the service of all users: that needs an administrator").WithHint("run it as an administrator")
	}
	if id := c.r.PathValue("job"); id != "" {
		if err := c.find(strings.ToLower(id), rt.access); err != nil {
			return nil, err
		}
	}
	if err := c.parameters(rt); err != nil {
		return nil, err
	}
	return rt.handle(c)
}

// find sets the job of the call.
// A job that the caller must not know of does not exist for him.
func (c *call) find(id string, a access) error {
	j, err := c.Queue.Get(id)
	if err != nil && a == kept {
		return c.kept(id, err)
	} else if err != nil {
		return err
	}
	switch own := j.Owner == c.peer.Owner; {
	case own && a == takes && !c.peer.Admin:
		return bits.Errorf(hresult.E_ACCESSDENIED, "cannot take job %s: that needs an administrator", id).WithHint("run it as an administrator")
	case own:
		c.job, c.Queue = j.ID, c.Queue.For(j.Owner)
		return nil
	case c.peer.Admin && a != owns && a != kept:
		c.job = j.ID
		return nil
	case c.peer.Admin:
		return bits.Errorf(hresult.E_ACCESSDENIED, "cannot do that with job %s: it belongs to %s", id, j.Owner).WithHint("let the owner do it, or take ownership first")
	}
	return bits.Errorf(hresult.BG_E_NOT_FOUND, "cannot find job %s", id).WithHint("bits list shows the jobs")
}

// streamed is the answer of a call that has written its own body.
type streamed struct{}

func (c *call) reply(answer any, err error) {
	status := http.StatusOK
	if err != nil {
		e := wire.FromError(err)
		answer, status = e, wire.Status(e.Code)
	}
	if _, done := answer.(streamed); done {
		return
	}
	body, err := json.Marshal(answer)
	if err != nil {
		status, body = http.StatusInternalServerError, []byte(`{"hresult":"0x80004005","message":"cannot write the answer"}`)
	}
	c.w.Header().Set("Content-Type", "application/json")
	c.w.Header().Set("X-Content-Type-Options", "nosniff")
	c.w.WriteHeader(status)
	c.w.Write(append(body, '\n'))
}

const maxBody = 16 << 20 // ten thousand files with long names

// parameters refuses what the route does not know, so that no wish is lost in silence.
func (c *call) parameters(rt route) error {
	for name, values := range c.r.URL.Query() {
		i := slices.IndexFunc(rt.query, func(q string) bool { known, _, _ := strings.Cut(q, "="); return known == name })
		if i < 0 {
			return bits.Errorf(hresult.E_INVALIDARG, "cannot take the parameter %q of %s %s: there is none of that name", name, c.r.Method, c.r.URL.Path).WithHint("docs/api.md and GET /v1/openapi.json say which there are")
		}
		_, only, limited := strings.Cut(rt.query[i], "=")
		for _, v := range values {
			if limited && v != "" && !slices.Contains(strings.Split(only, ","), v) {
				return bits.Errorf(hresult.E_INVALIDARG, "cannot take %s=%s: it is %s", name, v, strings.ReplaceAll(only, ",", " or "))
			}
		}
	}
	return nil
}

// read decodes the body of the request: one JSON value with known fields, and nothing after it.
func (c *call) read(into any) error {
	text, err := io.ReadAll(http.MaxBytesReader(c.w, c.r.Body, maxBody))
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if text = bytes.TrimSpace(text); err == nil && !bytes.HasPrefix(text, []byte("{")) {
		err = errors.New("it is empty, or something else than the JSON object that is needed")
	}
	if err == nil {
		err = contract.Misread(dec.Decode(into))
	}
	if err == nil {
		if _, more := dec.Token(); more != io.EOF {
			err = errors.New("something follows the JSON value")
		}
	}
	if err != nil {
		if e := bits.AsError(err); e.Code != hresult.E_FAIL {
			return e
		}
		return bits.Errorf(hresult.E_INVALIDARG, "cannot read the body of %s %s: %w", c.r.Method, c.r.URL.Path, err).WithHint("docs/api.md and GET /v1/openapi.json say what belongs there")
	}
	return nil
}

func result(code hresult.Code, err error) (any, error) {
	return wire.Result{Code: code, Name: code.Name()}, err
}

func (c *call) system() (any, error) {
	s := c.System()
	s.Owner, s.AllUsers = c.peer.Owner, c.AllUsers
	if c.AllUsers && !c.peer.Admin {
		s.Busy, s.Asking = false, 0 // that may be others' doing
	}
	return s, nil
}

func (c *call) stop() (any, error) {
	c.Stop()
	return result(hresult.S_OK, nil)
}

func (c *call) describe() (any, error) { return wire.Describe(c.r.PathValue("code")) }

func (c *call) list() (any, error) {
	q := c.r.URL.Query()
	all := q.Get("all") == "true"
	if all && !c.peer.Admin {
		return nil, bits.Errorf(hresult.E_ACCESSDENIED, "cannot list the jobs of all users: that needs an administrator").WithHint("list your own, or run it as an administrator")
	}
	var state bits.State
	if s := q.Get("state"); s != "" {
		if err := state.UnmarshalText([]byte(s)); err != nil {
			return nil, err
		}
	}
	answer := wire.Jobs{Jobs: []bits.Job{}}
	for _, j := range c.Queue.List(func(j *bits.Job) bool {
		return (all || j.Owner == c.peer.Owner) &&
			(!j.State.Final() || q.Get("final") == "true") &&
			(q.Get("state") == "" || j.State == state)
	}) {
		if q.Get("validator") != "required" || j.ValidatorRequired && !j.ValidatorAttached {
			answer.Jobs = append(answer.Jobs, *j)
		}
	}
	return answer, nil
}

func (c *call) create() (any, error) {
	var spec bits.Spec
	if err := c.read(&spec); err != nil {
		return nil, err
	}
	return c.Queue.Create(c.caller(), spec)
}

func (c *call) get() (any, error) { return c.Queue.Get(c.job) }

// caller is who calls, as the rules see him.
func (c *call) caller() contract.Caller {
	return contract.Caller{Owner: c.peer.Owner, Admin: c.peer.Admin, Integrity: c.peer.Integrity, Limits: c.Limits, NoCommands: c.NoCommands}
}

// property reads one property of the job, with the code that BITS would return.
func (c *call) property() (any, error) {
	j, err := c.Queue.Get(c.job)
	if err != nil {
		return nil, err
	}
	value, code, err := contract.Get(j, c.r.PathValue("name"), c.caller())
	return wire.Result{Code: code, Name: code.Name(), Value: value}, err
}

func (c *call) fileProperty() (any, error) {
	j, err := c.Queue.Get(c.job)
	if err != nil {
		return nil, err
	}
	file, err := c.file()
	if err != nil {
		return nil, err
	}
	value, code, err := contract.GetFile(j, file, c.r.PathValue("name"), c.caller())
	return wire.Result{Code: code, Name: code.Name(), Value: value}, err
}

// file is the number of the file in the path; -1 if the call is not of a file.
func (c *call) file() (int, error) {
	s := c.r.PathValue("file")
	if s == "" {
		return -1, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		return -1, bits.Errorf(hresult.BG_E_FILE_NOT_FOUND, "cannot find the file %q of job %s: files have numbers, from 0", s, c.job)
	}
	return n, nil
}

// operate carries out a row of the table of operations.
func operate(o contract.Operation) func(*call) (any, error) {
	return func(c *call) (any, error) {
		file, err := c.file()
		if err != nil {
			return nil, err
		}
		var raw json.RawMessage
		if o.Body != nil {
			if err := c.read(&raw); err != nil {
				return nil, err
			}
		}
		call, err := o.Read(raw, file)
		if err != nil {
			return nil, err
		}
		done, err := c.Queue.Do(c.job, call, c.caller())
		return wire.Result{Code: done.Code, Name: done.Code.Name()}, err
	}
}

func (c *call) patch() (any, error) {
	values := map[string]bits.RawMessage{}
	if err := c.read(&values); err != nil {
		return nil, err
	}
	done, err := c.Queue.Do(c.job, contract.SetCall(values), c.caller())
	if err != nil {
		return nil, err
	}
	answer := wire.Changed{Code: done.Code}
	if done.Code != hresult.S_OK {
		answer.Name = done.Code.Name()
	}
	answer.Job, err = c.Queue.Get(c.job)
	return answer, err
}

func (c *call) files() (any, error) {
	var body wire.Files
	if err := c.read(&body); err != nil {
		return nil, err
	}
	j, err := c.Queue.Get(c.job)
	if err != nil {
		return nil, err
	}
	if _, err := c.Queue.Do(c.job, contract.AddCall(j.Type, body.Files), c.caller()); err != nil {
		return nil, err
	}
	return c.Queue.Get(c.job)
}

func act(a bits.Action) func(*call) (any, error) {
	return func(c *call) (any, error) { return result(c.Queue.Act(c.job, a)) }
}

func (c *call) own() (any, error) {
	return result(hresult.S_OK, c.Queue.Own(c.job, c.caller()))
}
