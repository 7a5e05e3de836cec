package tests

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"bits"
	"bits/client/bitstest"
	"bits/hresult"
	"bits/internal/digest"
	"bits/internal/program"
)

func sum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

// Mirrors of nginx: one has a copy with a byte that is wrong, one has nothing, one has the file.
func TestMirrorsOfNginx(t *testing.T) {
	t.Parallel()
	s := bitstest.Start(t)
	port := program.Port(t)
	good := bitstest.Content(7, 5<<20+123)
	told := sha256.Sum256(good)
	n := program.StartNginx(t, port, fmt.Sprintf(`server { listen 127.0.0.1:%d; location = /bad {
		add_header Digest SHA-256=%s;
		add_header Link '</good>; rel=duplicate; pri=2; geo=de, </gone>; rel=duplicate; pri=1';
	} }`, port, base64.StdEncoding.EncodeToString(told[:])))
	bad := bytes.Clone(good)
	bad[2<<20+5] ^= 1
	n.File("good", good)
	n.File("bad", bad)
	url := func(name string) string { return fmt.Sprintf("http://127.0.0.1:%d/%s", port, name) }
	pieces := &bits.Pieces{Algorithm: "sha256", Length: 1 << 18}
	for p := range slices.Chunk(good, 1<<18) {
		pieces.Hashes = append(pieces.Hashes, sum(p))
	}
	whole := map[string]string{"sha256": sum(good)}
	for name, c := range map[string]struct {
		file    bits.FileSpec
		code    hresult.Code
		dropped []string
		blended bool
		source  string
	}{
		"digest":                {file: bits.FileSpec{RemoteName: url("bad"), Content: bits.Content{Digests: whole, Mirrors: []string{url("gone"), url("good")}}}, dropped: []string{url("bad")}, source: url("good")},
		"named by the server":   {file: bits.FileSpec{RemoteName: url("bad"), Content: bits.Content{MirrorsFromServer: true}}, dropped: []string{url("bad")}, source: url("good")},
		"no mirror":             {file: bits.FileSpec{RemoteName: url("bad"), Content: bits.Content{Digests: whole}}, code: hresult.BG_E_VALIDATION_FAILED},
		"bad mirror":            {file: bits.FileSpec{RemoteName: url("gone"), Content: bits.Content{Digests: whole, Mirrors: []string{url("bad")}}}, code: hresult.BG_E_VALIDATION_FAILED},
		"pieces":                {file: bits.FileSpec{RemoteName: url("bad"), Pieces: pieces, Content: bits.Content{Digests: whole, Mirrors: []string{url("good")}}}, blended: true, source: url("good")},
		"pieces and no mirror":  {file: bits.FileSpec{RemoteName: url("bad"), Pieces: pieces}, code: hresult.BG_E_VALIDATION_FAILED},
		"pieces and bad mirror": {file: bits.FileSpec{RemoteName: url("bad"), Pieces: pieces, Content: bits.Content{Mirrors: []string{url("bad?2")}}}, code: hresult.BG_E_VALIDATION_FAILED},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.file.LocalName = s.Path(name)
			job, err := s.Create(ctx, bits.Spec{Files: []bits.FileSpec{c.file}, Resume: true})
			bitstest.Must(t, err)
			if c.code != 0 {
				now := s.Await(job.ID, bits.StateError)
				f := now.Files[0]
				if now.Error.Code != c.code || f.Finished || c.file.Pieces == nil && len(f.Done) > 0 {
					t.Errorf("%+v, %v", now.Error, f.Done)
				}
				if _, err := os.Stat(f.Temporary); c.file.Pieces == nil && err == nil {
					t.Error("what is wrong is still there")
				}
				if in := (bits.Range{Start: 2 << 20, End: 2<<20 + 1<<18}); c.file.Pieces != nil && (f.Done.Len() < 2<<20 || len(f.Done.Gaps(in)) != 1 || f.Done.Gaps(in)[0] != in) {
					t.Errorf("of the good pieces there are %v", f.Done)
				}
				return
			}
			f := s.Await(job.ID, bits.StateTransferred).Files[0]
			same(t, f.Temporary, good)
			if !slices.Equal(f.Dropped, c.dropped) || f.Blended != c.blended || f.Source != c.source {
				t.Errorf("dropped %v, blended %v, from %q", f.Dropped, f.Blended, f.Source)
			}
		})
	}
}

// A file that two answers have made wrong comes once more, and no kill makes it twice: the service is killed between the decision and the
// answer, and then the file is cut and put together wrong again.
func TestFreshStartSurvivesKill(t *testing.T) {
	s, o := bitstest.Start(t, bitstest.Process), bitstest.NewOrigin(t)
	good := bitstest.Content(7, 300_000)
	bad := bytes.Clone(good)
	bad[len(bad)-1] ^= 1
	var mu sync.Mutex
	var asked []string
	third := make(chan struct{})
	o.Page("/f", func(w http.ResponseWriter, r *http.Request) { // it tells nothing of its version
		mu.Lock()
		asked = append(asked, strings.TrimPrefix(r.Header.Get("Range"), "bytes="))
		n := len(asked)
		mu.Unlock()
		if n == 3 {
			close(third)
			<-r.Context().Done()
			return
		}
		from := 0
		fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &from)
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(bad)-1, len(bad)))
		w.Header().Set("Content-Length", fmt.Sprint(len(bad)-from))
		w.WriteHeader(http.StatusPartialContent)
		if from > 0 {
			w.Write(bad[from:])
			return
		}
		w.Write(bad[:200_000])
		http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	job := s.NewJob(map[string]any{"backoff": map[string]any{"first": 1, "max": 1, "jitter": 0}})
	bitstest.Must(t, s.Add(ctx, job.ID, bits.FileSpec{RemoteName: o.Plain + "/f", LocalName: s.Path("f"), Content: bits.Content{Digests: map[string]string{"sha256": sum(good)}}}), s.Resume(ctx, job.ID))
	<-third
	s.Kill()
	s.Restart()
	now := s.Await(job.ID, bits.StateError)
	if now.Error.Code != hresult.BG_E_VALIDATION_FAILED || len(now.Files[0].Done) > 0 {
		t.Errorf("%+v, %v", now.Error, now.Files[0].Done)
	}
	mu.Lock()
	defer mu.Unlock()
	seam := fmt.Sprintf("%d-", 200_000-64<<10)
	if want := []string{"0-", seam, "0-", "0-", seam}; !slices.Equal(asked, want) {
		t.Errorf("asked for %q, want %q", asked, want)
	}
}

// Who resumes a job after an error gives those that were dropped another chance, also if another source was not dropped.
func TestResumeForgives(t *testing.T) {
	s, o := bitstest.Start(t), bitstest.NewOrigin(t)
	good := bitstest.Content(7, 5000)
	o.File("/f", bitstest.Content(8, 5000))
	file := bits.FileSpec{RemoteName: o.Plain + "/gone", LocalName: s.Path("f"), Content: bits.Content{Digests: map[string]string{"sha256": sum(good)}, Mirrors: []string{o.Plain + "/f"}}}
	job, err := s.Create(ctx, bits.Spec{Files: []bits.FileSpec{file}, Resume: true})
	bitstest.Must(t, err)
	if f := s.Await(job.ID, bits.StateError).Files[0]; !slices.Equal(f.Dropped, file.Mirrors) {
		t.Fatalf("dropped: %v", f.Dropped)
	}
	o.File("/f", good)
	bitstest.Must(t, s.Resume(ctx, job.ID))
	s.Await(job.ID, bits.StateTransferred)
}

// A digest goes on after a kill where its state was recorded. That nothing is read again is seen by a byte that was changed on the disk
// meanwhile: the digest, which is of what has arrived, agrees all the same.
func TestDigestSpansKills(t *testing.T) {
	t.Parallel()
	r := newRig(t, 24<<20)
	want := r.files["f0"]
	for i, name := range []string{"sha256", "blake3"} {
		r.Kill()
		r.Restart()
		digests := map[string]string{"sha256": sum(want)}
		if name == "blake3" { // whose state cannot be recorded: what is there is read
			b := digest.Run([]string{name}, nil, 0)
			b.Pass(want, 0)
			digests = b.Sums(int64(len(want)))
		}
		job, err := r.Create(ctx, bits.Spec{Properties: map[string]bits.RawMessage{"roots": bitstest.JSON(string(r.root.PEM())), "priority": bits.RawMessage(`"FOREGROUND"`)},
			Files: []bits.FileSpec{{RemoteName: r.url + "f0", LocalName: fmt.Sprintf("%s/digest-%d", r.Dir, i), Content: bits.Content{Digests: digests}}}, Resume: true})
		bitstest.Must(t, err)
		job = r.Until(job.ID, func(j *bits.Job) bool { return j.Files[0].TransferredBytes() >= 4<<20 })
		r.Kill()
		if job.Files[0].Finished {
			t.Fatal("it was too fast to be killed")
		}
		f, err := os.OpenFile(job.Files[0].Temporary, os.O_RDWR, 0)
		bitstest.Must(t, err)
		_, err = f.WriteAt([]byte{^want[1000]}, 1000)
		bitstest.Must(t, err, f.Close())
		r.Restart()
		job = r.Until(job.ID, func(j *bits.Job) bool { return j.State == bits.StateTransferred || j.State == bits.StateError })
		there, err := os.ReadFile(job.Files[0].Temporary)
		bitstest.Must(t, err)
		if name == "blake3" { // it does not agree, and the file comes once more
			if job.State != bits.StateTransferred || !bytes.Equal(there, want) || len(job.Files[0].Afresh) != 1 {
				t.Errorf("%s: %v, %+v", name, job.State, job.Error)
			}
			continue
		}
		if there[1000] == want[1000] {
			t.Error("the changed byte is not there: it started over")
		}
		there[1000] = want[1000]
		if job.State != bits.StateTransferred || !bytes.Equal(there, want) {
			t.Errorf("%v, %+v", job.State, job.Error)
		}
	}
}
