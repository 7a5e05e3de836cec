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
		err = transfer.NewService().Download(context.Background(), transfer.Client(silent{}, job), job, file, r)
		if e := bits.AsError(err); e.Code != hresult.ERROR_WINHTTP_TIMEOUT || time.Since(began) != transfer.StallTime {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		if there, _ := os.ReadFile(file.Temporary); string(there) != "hello" || r.file.Done.Len() != 5 {
			t.Errorf("%q, %v", there, r.file.Done)
		}
	})
}

// slow sends parts with a pause between them, of which the second is longer than it says; then it cannot be reached.
type slow struct{ asked int }

func (s *slow) RoundTrip(r *http.Request) (*http.Response, error) {
	if s.asked++; s.asked > 1 {
		return nil, io.ErrClosedPipe
	}
	read, write := io.Pipe()
	go func() {
		io.WriteString(write, "--x\r\nContent-Range: bytes 1-3/100\r\n\r\nabc")
		time.Sleep(2 * time.Second)
		io.WriteString(write, "\r\n--x\r\nContent-Range: bytes 5-6/100\r\n\r\nefgh\r\n--x--\r\n")
		write.Close()
	}()
	return &http.Response{
		StatusCode: 206, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r, ContentLength: -1,
		Header: http.Header{"Content-Type": {"multipart/byteranges; boundary=x"}, "Etag": {`"1"`}}, Body: read,
	}, nil
}

// What came with an answer that turns out to be none is taken back, also if it was recorded in between.
func TestDistrustTakesBack(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		job, err := contract.NewJob(bits.Spec{Files: []bits.FileSpec{{RemoteName: "http://origin/f", LocalName: filepath.Join(dir, "f"), Ranges: []bits.FileRange{{Offset: 1, Length: 3}, {Offset: 5, Length: 2}}}}}, contract.Caller{})
		if err != nil {
			t.Fatal(err)
		}
		file := job.Files[0]
		file.Temporary = filepath.Join(dir, "t")
		r, s := &record{file: file}, &slow{}
		err = transfer.NewService().Download(context.Background(), transfer.Client(s, job), job, file, r)
		if err == nil || s.asked != 2 || r.most != 5 || r.file.Done.Len() != 0 {
			t.Errorf("%v; asked %d times; recorded %d bytes at the most, and %v at the end", err, s.asked, r.most, r.file.Done)
		}
	})
}
