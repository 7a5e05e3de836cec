package transfer_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"bits"
	"bits/internal/contract"
	"bits/internal/transfer"
	"bits/internal/transport"
)

// exchange is what both sides say, one file of testdata:
//
//	job       properties of the job
//	have      what is there before: the fields of the file, its bytes under "text", and how many of them are asked for again: "seam"
//	then      what is recorded of the file at the end: its details, without ranges and response headers
//	request   what we send: the first line without its version, and the headers that matter; once for each request
//	response  what the server sends; a body without Content-Length and without chunks ends with the connection; the length ? is counted
//	want      the whole file at the end; or
//	kept      the bytes that are recorded as done, of a file that is not whole, and perhaps
//	error     the code of the error
type exchange struct {
	job, have, then   string
	requests          []string
	responses         []string
	want, error, kept *string
}

func read(t *testing.T, name string) exchange {
	archive, err := txtar.ParseFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var x exchange
	for _, f := range archive.Files {
		text := string(f.Data)
		line := strings.TrimSuffix(text, "\n")
		switch f.Name {
		case "job":
			x.job = text
		case "have":
			x.have = text
		case "then":
			x.then = line
		case "request":
			x.requests = append(x.requests, line)
		case "response":
			x.responses = append(x.responses, line)
		case "want":
			x.want = &line
		case "error":
			x.error = &line
		case "kept":
			x.kept = &line
		default:
			t.Fatalf("%s: what is %q?", name, f.Name)
		}
	}
	return x
}

// record keeps what a transfer reports.
type record struct {
	mu   sync.Mutex
	file bits.File
	most int64 // bytes that were ever recorded
}

func (r *record) Contact(f bits.File, _ bool) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.file = f
	return nil
}

func (r *record) Checkpoint(_ int, done bits.Ranges, _ int64, finished bool) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.file.Done, r.file.Finished = done, finished
	r.most = max(r.most, done.Len())
	return nil
}

func (r *record) Answered(string) {}

func (r *record) Received(int, int64) {}

// matter are the headers that a request is compared by.
var matter = []string{"Range", "If-Range", "X-Custom", "Authorization", "Cookie"}

// server says what it is told to, and writes down what it hears.
type server struct {
	mu    sync.Mutex
	say   []string
	heard []string
}

func (s *server) serve(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go s.talk(c)
	}
}

func (s *server) talk(c net.Conn) {
	defer c.Close()
	r := bufio.NewReader(c)
	for {
		request, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		text := request.Method + " " + request.URL.RequestURI()
		for _, name := range matter {
			if v := request.Header.Get(name); v != "" {
				text += "\n" + name + ": " + v
			}
		}
		s.mu.Lock()
		s.heard = append(s.heard, text)
		answer := "HTTP/1.1 599 Too many requests for this script\nContent-Length: 0\n\n"
		if len(s.say) > 0 {
			answer, s.say = s.say[0], s.say[1:]
		}
		s.mu.Unlock()
		if answer == "" {
			return
		}
		head, body, _ := strings.Cut(answer, "\n\n")
		head = strings.ReplaceAll(head, "ORIGIN", "http://"+c.LocalAddr().String())
		if strings.Contains(head, "chunked") || strings.Contains(head, "multipart") {
			body = strings.ReplaceAll(body, "\n", "\r\n")
		}
		head = strings.ReplaceAll(head, "Content-Length: ?", fmt.Sprintf("Content-Length: %d", len(body)))
		io.WriteString(c, strings.ReplaceAll(head, "\n", "\r\n")+"\r\n\r\n"+body)
		var n int
		if _, after, ok := strings.Cut(head, "Content-Length: "); ok {
			fmt.Sscan(after, &n)
			if n == len(body) || request.Method == http.MethodHead {
				continue
			}
		} else if strings.Contains(head, "chunked") && !strings.Contains(head, "close") {
			continue
		}
		return
	}
}

func TestExchanges(t *testing.T) {
	names, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(names) < 20 {
		t.Fatal(names, err)
	}
	for _, name := range names {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			t.Parallel()
			play(t, read(t, name))
		})
	}
}

func play(t *testing.T, x exchange) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s := &server{say: x.responses}
	go s.serve(l)
	local := filepath.Join(t.TempDir(), "file")
	properties := map[string]bits.RawMessage{}
	if x.job != "" {
		if err := json.Unmarshal([]byte(x.job), &properties); err != nil {
			t.Fatal(err)
		}
	}
	job, err := contract.NewJob(bits.Spec{Properties: properties, Files: []bits.FileSpec{{RemoteName: "http://" + l.Addr().String() + "/f", LocalName: local}}}, contract.Caller{})
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
			Text string `json:"text"`
			Seam int64  `json:"seam"`
		}
		if err := json.Unmarshal([]byte(x.have), &have); err != nil {
			t.Fatal(err)
		}
		service.SetSeam(have.Seam)
		file.Size, file.Validator, file.Done, file.FileDetails = have.Size, have.Validator, have.Done, have.FileDetails
		if have.Text != "" {
			if err := os.WriteFile(file.Temporary, []byte(have.Text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	r := &record{file: file}
	rt := transport.New(context.Background(), transport.Config{})
	err = service.Download(context.Background(), transfer.Client(rt, job), job, file, r)
	rt.Close()
	s.mu.Lock()
	heard := slices.Clone(s.heard)
	s.mu.Unlock()
	if !slices.Equal(heard, x.requests) {
		t.Errorf("requests:\n%s\nwant:\n%s", strings.Join(heard, "\n--\n"), strings.Join(x.requests, "\n--\n"))
	}
	there, _ := os.ReadFile(file.Temporary)
	if x.then != "" {
		details := r.file.FileDetails
		details.Ranges, details.Volume = nil, ""
		if text, err := json.Marshal(details); err != nil || string(text) != x.then {
			t.Errorf("recorded: %s (%v), want %s", text, err, x.then)
		}
	}
	if x.kept != nil {
		var kept []byte
		for _, d := range r.file.Done {
			kept = append(kept, there[d.Start:d.End]...)
		}
		if string(kept) != *x.kept || r.file.Finished {
			t.Errorf("kept %q, finished %v, want %q", kept, r.file.Finished, *x.kept)
		}
	}
	if x.error != nil {
		if code := bits.AsError(err).Code; err == nil || code.String()+" "+code.Name() != *x.error {
			t.Errorf("error %v %s: %v, want %s", bits.AsError(err).Code, bits.AsError(err).Code.Name(), err, *x.error)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if x.kept == nil && (x.want == nil || string(there) != *x.want || !r.file.Finished) {
		t.Errorf("the file is %q, finished %v; want %q", there, r.file.Finished, *x.want)
	}
}

// FuzzResponse lets a server say anything: nothing may panic, and a file that is finished is what one answer said.
func FuzzResponse(f *testing.F) {
	names, _ := filepath.Glob("testdata/*.txtar")
	for _, name := range names {
		archive, err := txtar.ParseFile(name)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range archive.Files {
			if file.Name == "response" {
				for kind := range byte(3) {
					f.Add([]byte(strings.ReplaceAll(string(file.Data), "\n", "\r\n")), kind)
				}
			}
		}
	}
	ranges := [][]bits.FileRange{nil, {{Offset: 10, Length: 3}, {Offset: 30, Length: 2}, {Offset: 20, Length: 4}}, {{Offset: 30, Length: bits.ToEOF}, {Offset: 0, Length: 2}}}
	f.Fuzz(func(t *testing.T, answer []byte, kind byte) {
		if bytes.Contains(bytes.ToLower(answer), []byte("location")) {
			t.Skip("it could lead anywhere")
		}
		job, err := contract.NewJob(bits.Spec{Files: []bits.FileSpec{{RemoteName: "http://origin/f", LocalName: "/f", Ranges: ranges[int(kind)%len(ranges)]}}}, contract.Caller{})
		if err != nil {
			t.Fatal(err)
		}
		file := job.Files[0]
		file.Temporary = filepath.Join(t.TempDir(), "t")
		r := &record{file: file}
		rt := scripted{answer, new(int)}
		err = transfer.NewService().Download(context.Background(), transfer.Client(rt, job), job, file, r)
		if err == nil && !r.file.Finished {
			t.Error("no error, and not finished")
		}
		if n := r.file.TransferredBytes(); err == nil && r.file.Ranges != nil && (n == 0 || r.file.Size != nil && n != *r.file.Size) {
			t.Errorf("%d bytes of %v", n, r.file.Ranges)
		}
	})
}

// scripted answers every request with the same bytes, a few times.
type scripted struct {
	answer []byte
	n      *int
}

func (s scripted) RoundTrip(r *http.Request) (*http.Response, error) {
	if *s.n++; *s.n > 20 {
		return nil, errors.New("enough")
	}
	return http.ReadResponse(bufio.NewReader(bytes.NewReader(s.answer)), r)
}
