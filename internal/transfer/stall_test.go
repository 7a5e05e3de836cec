package transfer_test

import (
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"bits"
	"bits/hresult"
	"bits/internal/contract"
	"bits/internal/transfer"
)

// silent answers with some bytes, and then with none.
type silent struct{}

func (silent) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: 206, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r, ContentLength: 100,
		Header: http.Header{"Content-Range": {"bytes 0-99/100"}, "Etag": {`"1"`}}, Body: &silence{end: make(chan bool)},
	}, nil
}

type silence struct {
	once sync.Once
	said bool
	end  chan bool
}

func (s *silence) Read(p []byte) (int, error) {
	if !s.said {
		s.said = true
		return copy(p, "hello"), nil
	}
	<-s.end
	return 0, io.ErrClosedPipe
}

func (s *silence) Close() error {
	s.once.Do(func() { close(s.end) })
	return nil
}

// A body in which no byte comes for StallTime is given up; what has come is kept.
func TestStall(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		job, err := contract.NewJob(bits.Spec{Files: []bits.FileSpec{{RemoteName: "http://origin/f", LocalName: filepath.Join(dir, "f")}}}, contract.Caller{})
		if err != nil {
			t.Fatal(err)
		}
		file := job.Files[0]
		file.Temporary = filepath.Join(dir, "t")
		r := &record{file: file}
		began := time.Now()
		err = transfer.Download(context.Background(), transfer.Client(silent{}, job), job, file, r)
		if e := bits.AsError(err); e.Code != hresult.ERROR_WINHTTP_TIMEOUT || time.Since(began) != transfer.StallTime {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		if there, _ := os.ReadFile(file.Temporary); string(there) != "hello" || r.file.Done.Len() != 5 {
			t.Errorf("%q, %v", there, r.file.Done)
		}
	})
}
