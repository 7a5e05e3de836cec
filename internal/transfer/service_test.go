package transfer_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"bits"
	"bits/hresult"
	"bits/internal/contract"
	"bits/internal/transfer"
)

// deaf is a server that answers every If-Range with the whole, and plain ranges as it should.
type deaf struct {
	data  []byte
	asked []string
}

func (s *deaf) RoundTrip(r *http.Request) (*http.Response, error) {
	s.asked = append(s.asked, strings.TrimSpace(r.Header.Get("Range")+" "+r.Header.Get("If-Range")))
	a := &http.Response{StatusCode: 200, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r, Header: http.Header{"Etag": {`"1"`}}}
	from := 0
	if text, ok := strings.CutPrefix(r.Header.Get("Range"), "bytes="); ok && r.Header.Get("If-Range") == "" {
		from, _ = strconv.Atoi(strings.TrimSuffix(text, "-"))
		a.StatusCode = 206
		a.Header.Set("Content-Range", "bytes "+text+strconv.Itoa(len(s.data)-1)+"/"+strconv.Itoa(len(s.data)))
	}
	a.ContentLength, a.Body = int64(len(s.data)-from), io.NopCloser(bytes.NewReader(s.data[from:]))
	return a, nil
}

// A host that does not know If-Range is remembered for the jobs of an owner: it is asked for plain ranges. Where much would be read for
// nothing it is so at once.
func TestIfRangeIgnored(t *testing.T) {
	for _, c := range []struct {
		there int
		want  []string // of the first file, then of the second, then of one of another owner
	}{
		{1000, []string{`bytes=0- "1"`, `bytes=0-`, `bytes=0- "1"`}},
		{3 << 20, []string{`bytes=3080192- "1"`, `bytes=3080192-`, `bytes=3080192-`, `bytes=3080192- "1"`, `bytes=3080192-`}},
	} {
		s, service := &deaf{data: bytes.Repeat([]byte("0123456789"), 400_000)}, transfer.NewService()
		for _, owner := range []string{"a", "a", "b"} {
			dir := t.TempDir()
			job, err := contract.NewJob(bits.Spec{Files: []bits.FileSpec{{RemoteName: "http://origin/f", LocalName: filepath.Join(dir, "f")}}}, contract.Caller{Owner: owner})
			if err != nil {
				t.Fatal(err)
			}
			file, size := job.Files[0], int64(len(s.data))
			file.Temporary, file.Size = filepath.Join(dir, "t"), &size
			file.Validator = &bits.Validator{ETag: `"1"`, Size: size, URL: "http://origin/f"}
			file.Done = bits.Ranges{{Start: 0, End: int64(c.there)}}
			if err := os.WriteFile(file.Temporary, s.data[:c.there], 0o600); err != nil {
				t.Fatal(err)
			}
			r := &record{file: file}
			if err := service.Download(context.Background(), transfer.Client(s, job), job, file, r); err != nil {
				t.Fatal(err)
			}
			if there, err := os.ReadFile(file.Temporary); err != nil || !bytes.Equal(there, s.data) {
				t.Errorf("the file differs: %v", err)
			}
		}
		if !slices.Equal(s.asked, c.want) {
			t.Errorf("with %d bytes: %q, want %q", c.there, s.asked, c.want)
		}
	}
}

// left is a record that fails if it forgets that a file under its final name is the job's own while that is there.
type left struct {
	record
	t    *testing.T
	made bool
}

func (l *left) Contact(f bits.File, resumable bool) error {
	if _, err := os.Lstat(f.Temporary); l.made && !f.Made && err == nil {
		l.t.Error("a crash now would leave a bad file under its final name")
	}
	l.made = f.Made
	return l.record.Contact(f, resumable)
}

// A file in high-performance mode that is not what it should be is removed before the record says that it is not the job's own.
func TestBadFileUnderItsFinalName(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "f")
	job, err := contract.NewJob(bits.Spec{Properties: map[string]bits.RawMessage{"high_performance": bits.RawMessage("true")}, Files: []bits.FileSpec{{
		RemoteName: "http://origin/f", LocalName: name, Content: bits.Content{Digests: map[string]string{"sha256": strings.Repeat("0", 64)}},
	}}}, contract.Caller{})
	if err != nil {
		t.Fatal(err)
	}
	file := job.Files[0]
	file.Temporary = name
	r := &left{record: record{file: file}, t: t}
	err = transfer.NewService().Download(context.Background(), transfer.Client(&deaf{data: []byte("0123456789")}, job), job, file, r)
	if bits.AsError(err).Code != hresult.BG_E_VALIDATION_FAILED || r.file.Made {
		t.Errorf("%v, made %v", err, r.file.Made)
	}
	if _, err := os.Lstat(name); !os.IsNotExist(err) {
		t.Errorf("it is still there: %v", err)
	}
}
