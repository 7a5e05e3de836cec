package transfer_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"bits"
	"bits/hresult"
	"bits/internal/contract"
	"bits/internal/retry"
	"bits/internal/transfer"
	"bits/internal/transport"
)

// variants are the protocols that each exchange is run over.
var variants = []string{"http", "https", "h2"}

// exchange is what both sides say: one file of testdata, whose sections docs/testing.md explains.
type exchange struct {
	job, have string
	file      string   // what is known of the content beforehand
	only      []string // variants; all of them if there is none
	responses []string
	runs      []run
}

// run is one run of the job: it ends with the file, or with an error.
type run struct {
	requests                                                         []string
	want, kept, error, then, remote, took, modified, lines, of, next *string
}

func read(t *testing.T, name string) exchange {
	archive, err := txtar.ParseFile(name)
	if err != nil {
		t.Fatal(err)
	}
	x := exchange{runs: make([]run, 1)}
	for _, f := range archive.Files {
		text := string(f.Data)
		line := strings.TrimSuffix(text, "\n")
		r := &x.runs[len(x.runs)-1]
		if f.Name == "request" && r.error != nil { // the next try
			x.runs = append(x.runs, run{})
			r = &x.runs[len(x.runs)-1]
		}
		said := map[string]**string{"want": &r.want, "kept": &r.kept, "error": &r.error, "then": &r.then, "remote": &r.remote, "took": &r.took, "modified": &r.modified, "headers": &r.lines, "connections": &r.of, "next": &r.next}
		switch f.Name {
		case "only":
			names, why, _ := strings.Cut(line, ": ")
			x.only = strings.Fields(names)
			if why == "" || slices.ContainsFunc(x.only, func(v string) bool { return !slices.Contains(variants, v) }) {
				t.Fatalf("%s: only some of %v, and why? %q", name, variants, line)
			}
		case "job":
			x.job = text
		case "have":
			x.have = text
		case "file":
			x.file = text
		case "request":
			r.requests = append(r.requests, line)
		case "response":
			x.responses = append(x.responses, line)
		default:
			if said[f.Name] == nil || *said[f.Name] != nil {
				t.Fatalf("%s: what is %q?", name, f.Name)
			}
			*said[f.Name] = &line
		}
	}
	return x
}

// record keeps what a transfer reports.
type record struct {
	mu      sync.Mutex
	file    bits.File
	most    int64  // bytes that were ever recorded
	headers string // of the last answer
}

func (r *record) Contact(f bits.File, _ bool) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.file, r.headers = f, f.ResponseHeaders
	return nil
}

func (r *record) Checkpoint(_ int, done bits.Ranges, hashing []byte, size int64, finished bool) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.file.Done, r.file.Hashing, r.file.Finished = done, hashing, finished
	if finished {
		r.file.Size = &size
	}
	r.most = max(r.most, done.Len())
	return nil
}

func (r *record) Answered(headers string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.headers = headers
}

func (r *record) Received(int, int64) {}

func (r *record) Log(string, int, string, ...any) {}

func TestExchanges(t *testing.T) {
	names, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(names) < 300 {
		t.Fatal(len(names), err)
	}
	for _, name := range names {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			t.Parallel()
			x := read(t, name)
			for _, variant := range variants {
				if x.only == nil || slices.Contains(x.only, variant) {
					t.Run(variant, func(t *testing.T) {
						dir := t.TempDir()
						synctest.Test(t, func(t *testing.T) { play(t, x, variant, dir) })
					})
				}
			}
		})
	}
}

// play runs an exchange in virtual time: a server that is silent costs nothing, and one that waits for ever fails at once.
func play(t *testing.T, x exchange, variant, dir string) {
	s := &server{t: t, variant: variant, say: slices.Clone(x.responses)}
	origin := s.scheme() + "://" + host
	here := func(text string) string {
		return strings.NewReplacer("ORIGIN", origin, "SCHEME", s.scheme()).Replace(text)
	}
	local := filepath.Join(dir, "file")
	properties := map[string]bits.RawMessage{}
	if x.job != "" {
		if err := json.Unmarshal([]byte(here(x.job)), &properties); err != nil {
			t.Fatal(err)
		}
	}
	spec := bits.FileSpec{}
	if x.file != "" {
		if err := json.Unmarshal([]byte(here(x.file)), &spec); err != nil {
			t.Fatal(err)
		}
	}
	spec.RemoteName, spec.LocalName = origin+"/f", local
	job, err := contract.NewJob(bits.Spec{Properties: properties, Files: []bits.FileSpec{spec}}, contract.Caller{})
	if err != nil {
		t.Fatal(err)
	}
	file := job.Files[0]
	file.Temporary = local + ".tmp"
	service := transfer.NewService()
	service.SetSeam(0)
	if x.have != "" {
		var have struct {
			bits.File
			Text    string          `json:"text"`
			Hashing json.RawMessage `json:"hashing"`
			Seam    int64           `json:"seam"`
		}
		if err := json.Unmarshal([]byte(here(x.have)), &have); err != nil {
			t.Fatal(err)
		}
		service.SetSeam(have.Seam)
		known := file.Content
		file.Size, file.Validator, file.Done, file.Hashing, file.FileDetails = have.Size, have.Validator, have.Done, have.Hashing, have.FileDetails
		file.Content = known
		if have.Text != "" {
			if err := os.WriteFile(file.Temporary, []byte(have.Text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i, r := range x.runs {
		rec := &record{file: file}
		began := time.Now()
		rt := transport.New(context.Background(), transport.Config{Origin: s.verify, Dial: s.dial})
		err := service.Download(context.Background(), transfer.Client(rt, job), job, file, rec)
		took := time.Since(began)
		rt.Close()
		synctest.Wait()
		s.mu.Lock()
		heard, connections := s.heard, s.connections
		s.heard, s.connections = nil, 0
		s.mu.Unlock()
		file = rec.file
		if len(x.runs) > 1 {
			t.Logf("run %d: %v", i+1, err)
		}
		if !slices.Equal(heard, r.requests) {
			t.Errorf("requests:\n%s\nwant:\n%s", strings.Join(heard, "\n--\n"), strings.Join(r.requests, "\n--\n"))
		}
		same := func(what string, got string, want *string) {
			t.Helper()
			if want != nil && got != here(*want) {
				t.Errorf("%s: %q, want %q", what, got, here(*want))
			}
		}
		same("remote name", file.RemoteName, r.remote)
		same("connections", fmt.Sprint(connections), r.of)
		same("time", took.String(), r.took)
		if r.then != nil {
			details := file.FileDetails
			details.Ranges, details.Volume, details.Content = nil, "", bits.Content{}
			text, _ := json.Marshal(details)
			same("recorded", string(text), r.then)
		}
		if r.lines != nil {
			for l := range strings.SplitSeq(*r.lines, "\n") {
				if !strings.Contains(rec.headers, l+"\r\n") {
					t.Errorf("%q is not in the headers: %q", l, rec.headers)
				}
			}
		}
		there, _ := os.ReadFile(file.Temporary)
		if r.error != nil {
			if err == nil {
				t.Errorf("no error, want %s", *r.error)
			} else if got, delay := fate(job, err); got != *r.error {
				t.Errorf("error %s (%v), want %s", got, err, *r.error)
			} else {
				same("next try", delay.String(), r.next)
			}
			none := ""
			if r.kept == nil {
				r.kept = &none
			}
		} else if err != nil {
			t.Fatal(err)
		}
		switch {
		case r.kept != nil:
			var kept []byte
			for _, d := range file.Done {
				kept = append(kept, there[d.Start:d.End]...)
			}
			same("kept", string(kept), r.kept)
		case r.want == nil || !file.Finished:
			t.Errorf("the file is %q, finished %v; and want?", there, file.Finished)
		default:
			same("file", string(there), ptr(many.ReplaceAllStringFunc(*r.want, repeat)))
			if info, err := os.Stat(file.Temporary); err == nil {
				same("time of the file", info.ModTime().UTC().Format(time.RFC1123), r.modified)
			}
		}
		if r.error != nil && file.Finished {
			t.Error("the file is finished, and there is an error")
		}
	}
	if len(s.say) > 0 {
		t.Errorf("%d answers were never asked for", len(s.say))
	}
}

func ptr[T any](v T) *T { return &v }

// fate is what becomes of a job with an error: its state, and the context, code and name of the error; and when it is tried again.
func fate(job *bits.Job, err error) (string, time.Duration) {
	e := bits.AsError(err)
	now := *job
	now.Error = &bits.JobError{Code: e.Code, RetryAfter: e.After}
	fault := retry.Fault{Err: err, Code: e.Code, Final: job.HTTPMethod != contract.DefaultMethod(job.Type), Again: e.Code == hresult.FromHTTPStatus(http.StatusTooManyRequests) && !job.Strict}
	state, delay := bits.StateError, time.Duration(0)
	if at, again := retry.Next(&now, fault, time.Now()); again {
		state, delay = bits.StateTransientError, time.Until(at)
	}
	return strings.TrimSpace(fmt.Sprintf("%s %s %s %s", state, strings.TrimPrefix(e.Context.String(), "BG_ERROR_CONTEXT_"), e.Code, e.Code.Name())), delay
}
