package transfer_test

import (
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bits"
	"bits/internal/contract"
	"bits/internal/transfer"
)

// tail answers with the last bytes of a large file.
type tail struct{ asked string }

func (s *tail) RoundTrip(r *http.Request) (*http.Response, error) {
	s.asked = r.Header.Get("Range")
	return &http.Response{
		StatusCode: 206, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r, ContentLength: 64<<10 + 3,
		Header: http.Header{"Content-Range": {"bytes 5368643584-5368709122/5368709123"}, "Etag": {`"1"`}}, Body: io.NopCloser(strings.NewReader(strings.Repeat("\x00", 64<<10) + "end")),
	}, nil
}

// A file of more than 4 GiB is continued where it was, with the last 64 KiB compared.
func TestBeyond4GiB(t *testing.T) {
	const done = 5 << 30
	dir, size := t.TempDir(), int64(done+3)
	job, err := contract.NewJob(bits.Spec{Files: []bits.FileSpec{{RemoteName: "http://origin/f", LocalName: filepath.Join(dir, "f")}}}, contract.Caller{})
	if err != nil {
		t.Fatal(err)
	}
	file := job.Files[0]
	file.Temporary, file.Size = filepath.Join(dir, "t"), &size
	file.Validator, file.Done = &bits.Validator{ETag: `"1"`, Size: size}, bits.Ranges{{Start: 0, End: done}}
	f, err := os.Create(file.Temporary)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(done); err != nil { // it has holes, and takes no room
		t.Fatal(err)
	}
	f.Close()
	r, s := &record{file: file}, &tail{}
	if err := transfer.NewService().Download(context.Background(), transfer.Client(s, job), job, file, r); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(file.Temporary)
	if err != nil || info.Size() != size || s.asked != "bytes=5368643584-" || !r.file.Finished {
		t.Errorf("%v bytes, asked for %s, finished %v, %v", info.Size(), s.asked, r.file.Finished, err)
	}
}
