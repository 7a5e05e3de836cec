package conformance

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"bits"
	"bits/client"
	"bits/client/bitstest"
	"bits/hresult"
	"bits/internal/ipc"
	"bits/internal/program"
)

// listener is the callback object of a row: it counts what it is told, and refuses what the row says.
type listener struct {
	mu     sync.Mutex
	told   []string // kinds of calls, in their order
	refuse map[string]int
	end    func()
}

func (l *listener) take(kind string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.told = append(l.told, kind)
	if l.refuse[kind] > 0 {
		l.refuse[kind]--
		return &bits.Error{Code: hresult.E_FAIL, Message: "refused by the row"}
	}
	return nil
}

func (l *listener) count(kind string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, k := range l.told {
		if k == kind {
			n++
		}
	}
	return n
}

func (l *listener) JobTransferred(context.Context, bits.Job) error { return l.take("JobTransferred") }

func (l *listener) JobError(context.Context, bits.Job, bits.JobError) error {
	return l.take("JobError")
}

func (l *listener) JobModification(context.Context, bits.Job) error { return l.take("JobModification") }

func (l *listener) FileTransferred(context.Context, bits.Job, bits.File) error {
	return l.take("FileTransferred")
}

func (l *listener) FileRangesTransferred(context.Context, bits.Job, bits.File, []bits.FileRange) error {
	return l.take("FileRangesTransferred")
}

// listens is a door that callbacks can be set through.
type listens interface {
	listen(t testing.TB, id string, l *listener) answer
}

func (d goDoor) listen(_ testing.TB, id string, l *listener) answer {
	n, err := d.c.SetNotifyInterface(ctx, id, client.Callback3(l))
	if err == nil {
		l.end = n.Close
	}
	return done(0, err)
}

// listen reads the stream, and answers each call by another request.
func (d restDoor) listen(t testing.TB, id string, l *listener) answer {
	c := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return ipc.Dial(ctx, d.socket) }, DisableKeepAlives: true}}
	within, cancel := context.WithCancel(ctx)
	l.end = cancel
	t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(within, "POST", "http://bits/v1/jobs/"+id+"/notify-interface", strings.NewReader(string(bitstest.JSON(map[string]any{"interfaces": []string{"IBackgroundCopyCallback", "IBackgroundCopyCallback2", "IBackgroundCopyCallback3"}}))))
	if err != nil {
		return failed(err)
	}
	resp, err := c.Do(r)
	if err != nil {
		return failed(err)
	}
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 1<<20)
	if !lines.Scan() {
		return failed(fmt.Errorf("no registration: %w", lines.Err()))
	}
	var registered struct{ Registration string }
	if err := json.Unmarshal(lines.Bytes(), &registered); err != nil || registered.Registration == "" {
		return failed(refusal(lines.Bytes()))
	}
	go func() {
		defer resp.Body.Close()
		for lines.Scan() {
			var item struct{ Notify *struct{ ID, Kind string } }
			if json.Unmarshal(lines.Bytes(), &item) != nil || item.Notify == nil {
				continue
			}
			code := hresult.S_OK
			if err := l.take(item.Notify.Kind); err != nil {
				code = bits.AsError(err).Code
			}
			d.do("POST", "/jobs/"+id+"/notify-interface/"+item.Notify.ID, bitstest.JSON(map[string]any{"registration": registered.Registration, "hresult": code}))
		}
	}()
	return answer{}
}

// listening carries out the steps of callbacks.
func (w *world) listening(s step, args []string) {
	w.t.Helper()
	id := w.ids[args[0]]
	switch s.verb {
	case "listen": // NAME: another object takes the place of the one before
		l := &listener{refuse: map[string]int{}}
		if a := w.door.(listens).listen(w.t, id, l); a.err != nil {
			w.errorf(s, "%v", a.err)
			return
		}
		w.listeners[args[0]] = l
		w.t.Cleanup(l.end)
	case "leave": // NAME: its application ends
		w.listeners[args[0]].end()
	case "refuse": // NAME KIND: the next call of that kind fails
		l := w.listeners[args[0]]
		l.mu.Lock()
		l.refuse[args[1]]++
		l.mu.Unlock()
	case "told": // NAME KIND [TIMES]
		want := 1
		if len(args) > 2 {
			fmt.Sscan(args[2], &want)
		}
		if l := w.listeners[args[0]]; !program.Until(func() bool { return l.count(args[1]) >= want }) {
			w.errorf(s, "%d times, of %v", l.count(args[1]), l.told)
		}
	case "untold": // NAME KIND: it was never called
		if n := w.listeners[args[0]].count(args[1]); n > 0 {
			w.errorf(s, "%d times", n)
		}
	}
}
