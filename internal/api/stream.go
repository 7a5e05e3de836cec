package api

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"bits"
	"bits/hresult"
	"bits/internal/notify"
	"bits/internal/wire"
)

// lines writes a stream of JSON objects, one a line, each flushed.
type lines struct {
	enc   *json.Encoder
	flush func() error
}

func (c *call) lines() lines {
	c.w.Header().Set("Content-Type", "application/x-ndjson")
	c.w.Header().Set("X-Content-Type-Options", "nosniff")
	return lines{json.NewEncoder(c.w), http.NewResponseController(c.w).Flush}
}

func (l lines) write(v any) error {
	if err := l.enc.Encode(v); err != nil {
		return err
	}
	return l.flush()
}

// setValidation is SetServerCertificateValidationInterface.
// The wrong interface is refused before anything else is looked at.
func (c *call) setValidation() (any, error) {
	var body wire.SetValidation
	if err := c.read(&body); err != nil {
		return nil, err
	}
	if body.Interface != bits.ValidationCallback {
		return nil, bits.Errorf(hresult.E_NOINTERFACE, "cannot set %q as the validator of job %s: it is not %s", body.Interface, c.job, bits.ValidationCallback)
	}
	var r *notify.Registration
	var err error
	if body.Attach {
		r, err = c.Queue.Attach(c.job)
	} else {
		r, err = c.Queue.SetValidator(c.job, true)
	}
	if err != nil {
		return nil, err
	}
	return c.serveCalls(r)
}

// serveCalls writes the calls of a registration as they come.
// The end of the stream is the death of the interface pointer.
func (c *call) serveCalls(r *notify.Registration) (any, error) {
	defer c.Hub.Wake()
	defer c.Hub.Gone(r)
	out := c.lines()
	if err := out.write(wire.Item{Registration: r.ID}); err != nil {
		return streamed{}, nil
	}
	for {
		var item wire.Item
		select {
		case call := <-r.Calls:
			item.Question, item.Notification = call.Question, call.Notification
		case <-r.Replaced:
			item.Replaced = true
		case <-c.r.Context().Done():
			return streamed{}, nil
		}
		if out.write(item) != nil || item.Replaced {
			return streamed{}, nil
		}
	}
}

func (c *call) removeValidation() (any, error) {
	_, err := c.Queue.SetValidator(c.job, false)
	return result(hresult.S_OK, err)
}

// methods are the events that each of the callback interfaces has methods for.
var methods = []bits.NotifyFlags{
	bits.NotifyTransferred | bits.NotifyError | bits.NotifyModification,
	bits.NotifyFile,
	bits.NotifyFile | bits.NotifyRanges,
}

// setNotify is SetNotifyInterface.
func (c *call) setNotify() (any, error) {
	var body wire.SetNotify
	if err := c.read(&body); err != nil {
		return nil, err
	}
	var all bits.NotifyFlags
	for _, name := range body.Interfaces {
		i := slices.Index(wire.Callbacks, name)
		if i < 0 {
			return nil, bits.Errorf(hresult.E_NOINTERFACE, "cannot set %q as the notify interface of job %s: it is none of %s", name, c.job, strings.Join(wire.Callbacks, ", "))
		}
		all |= methods[i]
	}
	if all&methods[0] == 0 {
		return nil, bits.Errorf(hresult.E_NOINTERFACE, "cannot set the notify interface of job %s: %s is needed", c.job, wire.Callbacks[0])
	}
	r, err := c.Queue.SetNotify(c.job, all)
	if err != nil {
		return nil, err
	}
	return c.serveCalls(r)
}

func (c *call) removeNotify() (any, error) {
	_, err := c.Queue.SetNotify(c.job, 0)
	return result(hresult.S_OK, err)
}

// returned takes what the application returned from a call, whose id is the parameter of the path.
func returned(kind notify.Kind, parameter string) func(*call) (any, error) {
	return func(c *call) (any, error) {
		var body wire.Verdict
		if err := c.read(&body); err != nil {
			return nil, err
		}
		if body.Code == nil {
			return nil, bits.Errorf(hresult.E_INVALIDARG, "cannot take an answer without its hresult").WithHint("0x0 accepts, a code of a failure declines")
		}
		return result(hresult.S_OK, c.Hub.Answer(c.job, kind, c.r.PathValue(parameter), body.Registration, *body.Code))
	}
}

// progressEvery is how often a running job is shown to those who follow it.
const progressEvery = 200 * time.Millisecond

// events streams what happened to the caller's jobs: with since the kept events after that number, without it the present state of
// each job and a line "now" with the number from which to go on; then what comes.
// A follower reads from the store when it is woken, so a slow one misses nothing.
func (c *call) events() (any, error) {
	q := c.r.URL.Query()
	job := strings.ToLower(q.Get("job"))
	if job != "" {
		if err := c.find(job, reads); err != nil {
			return nil, err
		}
	}
	mine := func(owner, id string) bool {
		return (owner == c.peer.Owner || c.peer.Admin && job != "") && (job == "" || id == job)
	}
	since, err := c.Store.LastEvent(c.r.Context())
	if err != nil {
		return nil, err
	}
	var present []*bits.Job
	if s := q.Get("since"); s == "" {
		present = c.Queue.List(func(j *bits.Job) bool { return mine(j.Owner, j.ID) && (!j.State.Final() || job != "") })
	} else if since, err = strconv.ParseInt(s, 10, 64); err != nil {
		return nil, bits.Errorf(hresult.E_INVALIDARG, "cannot read since=%s: it is the number of an event", s)
	}
	follow := q.Get("follow") != "false"
	out := c.lines()
	if err := out.flush(); err != nil {
		return streamed{}, nil
	}
	for _, j := range present {
		body, err := json.Marshal(wire.StateOf(j))
		if err != nil || out.write(wire.Event{At: time.Now(), Job: j.ID, Kind: wire.KindState, Body: body}) != nil {
			return streamed{}, nil
		}
	}
	if q.Get("since") == "" && out.write(wire.Event{N: since, At: time.Now(), Job: job, Kind: wire.KindNow, Body: json.RawMessage("{}")}) != nil {
		return streamed{}, nil
	}
	shown := map[string]bits.JobProgress{}
	for {
		changed := c.Hub.Changed()
		for {
			events, err := c.Store.Events(c.r.Context(), since, 256)
			if err != nil {
				return streamed{}, nil
			}
			for _, e := range events {
				since = e.N
				if !mine(e.Owner, e.Job) {
					continue
				}
				if out.write(wire.Event{N: e.N, At: e.At, Job: e.Job, Kind: e.Kind, Body: e.Body}) != nil {
					return streamed{}, nil
				}
			}
			if len(events) < 256 {
				break
			}
		}
		if !follow {
			return streamed{}, nil
		}
		tick, err := c.progress(out, mine, shown)
		if err != nil {
			return streamed{}, nil
		}
		select {
		case <-changed:
		case <-tick:
		case <-c.r.Context().Done():
			return streamed{}, nil
		}
	}
}

// progress writes what the running jobs have moved since the last time.
// The channel fires when it is time to look again; it is nil while nothing runs.
func (c *call) progress(out lines, mine func(owner, job string) bool, shown map[string]bits.JobProgress) (<-chan time.Time, error) {
	var tick <-chan time.Time
	for id, p := range c.Queue.Progress(func(j *bits.Job) bool {
		return j.State.Running() && mine(j.Owner, j.ID)
	}) {
		tick = time.After(progressEvery)
		if last, ok := shown[id]; ok && last.BytesReceived == p.BytesReceived && last.FilesTransferred == p.FilesTransferred {
			continue
		}
		shown[id] = p
		body, err := json.Marshal(p)
		if err == nil {
			err = out.write(wire.Event{At: time.Now(), Job: id, Kind: wire.KindProgress, Body: body})
		}
		if err != nil {
			return nil, err
		}
	}
	return tick, nil
}
