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
