//go:build unix

package splice

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"bits"
	"bits/client/bitstest"
	"bits/internal/program"
)

// rotated is the content of a second: each eight bytes say which.
func rotated(second int64) []byte {
	return bytes.Repeat(binary.BigEndian.AppendUint64(nil, uint64(second)), 50_000)
}

// wholeOf reports of which second a file is; not ok: of several, or it is not whole.
func wholeOf(there []byte) (second int64, ok bool) {
	if len(there) < 8 {
		return 0, false
	}
	second = int64(binary.BigEndian.Uint64(there))
	return second, bytes.Equal(there, rotated(second))
}

// TestRotation fetches files that are others every second, slowly and with interruptions, from a server of ours that cuts its answers, and from an
// nginx under whose name another file is put.
func TestRotation(t *testing.T) {
	t.Parallel()
	s := bitstest.Start(t)
	port := program.Port(t)
	n := program.StartNginx(t, port, fmt.Sprintf("server { listen 127.0.0.1:%d; }", port))
	n.Kill()
	n.Configure(fmt.Sprintf("server { listen 127.0.0.1:%d; limit_rate 300k; }", port))
	n.Start()
	stop := make(chan struct{})
	done := make(chan struct{})
	n.FileAt("f", rotated(time.Now().Unix()), time.Now())
	go func() {
		defer close(done)
		for tick := time.NewTicker(time.Second); ; {
			select {
			case at := <-tick.C:
				n.FileAt("f", rotated(at.Unix()), at)
			case <-stop:
				return
			}
		}
	}()
	defer func() { close(stop); <-done }()
	o := bitstest.NewOrigin(t)
	urls := map[string]string{"nginx": fmt.Sprintf("http://127.0.0.1:%d/f", port)}
	for name, tell := range map[string]func(http.Header, int64){
		"etag":    func(h http.Header, at int64) { h.Set("ETag", fmt.Sprintf(`"%d"`, at)) },
		"date":    func(h http.Header, at int64) { h.Set("Last-Modified", time.Unix(at, 0).UTC().Format(http.TimeFormat)) },
		"nothing": func(http.Header, int64) {},
	} {
		o.Page("/"+name, rotating(tell))
		urls[name] = o.Plain + "/" + name
	}
	t.Run("fetch", func(t *testing.T) { // whose parallel parts end before the servers do
		for name, url := range urls {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				path := s.Path("rotated-" + name)
				job := create(t, s, bits.FileSpec{RemoteName: url, LocalName: path})
				for range 3 { // it is stopped in mid-file
					time.Sleep(time.Duration(300+rand.IntN(500)) * time.Millisecond)
					if s.Client.Suspend(ctx, job.ID) == nil {
						bitstest.Must(t, s.Client.Resume(ctx, job.ID))
					}
				}
				s.Await(job.ID, bits.StateAcknowledged)
				there, err := os.ReadFile(filepath.Clean(path))
				if second, ok := wholeOf(there); err != nil || !ok {
					t.Errorf("the file is of second %d at first, and not all of it (%v)", second, err)
				}
			})
		}
	})
}

// rotating answers with the content of the second in which it is asked, slowly; half of the first answers are cut.
func rotating(tell func(http.Header, int64)) http.HandlerFunc {
	cuts := make(chan struct{}, 3)
	return func(w http.ResponseWriter, r *http.Request) {
		at := time.Now().Unix()
		body, start, status := rotated(at), 0, http.StatusOK
		tell(w.Header(), at)
		if _, err := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &start); err == nil && start < len(body) && r.Header.Get("If-Range") == "" {
			status = http.StatusPartialContent // of whatever there is now
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", start, len(body)-1, len(body)))
		} else {
			start = 0
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(body)-start))
		w.WriteHeader(status)
		for part := range slices.Chunk(body[start:], 40_000) {
			w.Write(part)
			http.NewResponseController(w).Flush()
			time.Sleep(100 * time.Millisecond)
			if rand.IntN(6) == 0 {
				select {
				case cuts <- struct{}{}:
					panic(http.ErrAbortHandler)
				default:
				}
			}
		}
	}
}
