package transfer_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"bits"
	"bits/internal/contract"
	"bits/internal/transfer"
)

// FuzzResponse lets a server say anything: nothing may panic, and a file that is finished is what one answer said.
func FuzzResponse(f *testing.F) {
	names, _ := filepath.Glob("testdata/*.txtar")
	kind := byte(0)
	for _, name := range names {
		archive, err := txtar.ParseFile(name)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range archive.Files {
			if file.Name == "response" {
				f.Add([]byte(strings.ReplaceAll(string(file.Data), "\n", "\r\n")), kind)
				kind++
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
