//go:build unix

package splice

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// kind is one kind of server: what it says of the versions of a file, and how it takes ranges.
type kind struct {
	name    string
	etag    func(version int) string
	date    func(version int, now time.Time) time.Time // zero: says none
	ranges  ranges
	sizes   bool // versions differ in size
	swings  bool // two servers behind one name, each with its own version
	partial bool // only the middle of the file changes, and nothing tells it: we are given a checksum, as the others are not
}

// ranges is how a server takes Range and If-Range.
type ranges int

const (
	honest  ranges = iota
	deaf           // to If-Range: a part, of whatever version there is
	wholly         // 200 to every If-Range
	without        // 200 always
)

var (
	old      = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	numbered = func(v int) string { return fmt.Sprintf(`"v%d"`, v) }
	dated    = func(v int, _ time.Time) time.Time { return old.Add(time.Duration(v) * time.Hour) }
	fixed    = func(int, time.Time) time.Time { return old }
	justNow  = func(_ int, now time.Time) time.Time { return now }
)

// kinds are the servers that are hunted on.
var kinds = []kind{
	{name: "strong ETag", etag: numbered, date: dated},
	{name: "strong ETag, two servers", etag: numbered, swings: true},
	{name: "strong ETag, If-Range ignored", etag: numbered, date: dated, ranges: deaf},
	{name: "strong ETag, 200 to If-Range", etag: numbered, date: dated, ranges: wholly},
	{name: "date", date: dated},
	{name: "date, If-Range ignored", date: dated, ranges: deaf},
	{name: "date of this second", date: justNow},
	{name: "weak ETag", etag: func(v int) string { return "W/" + numbered(v) }},
	{name: "weak ETag, If-Range ignored", etag: func(v int) string { return "W/" + numbered(v) }, ranges: deaf},
	{name: "nothing", ranges: deaf},
	{name: "nothing, other size", ranges: deaf, sizes: true},
	{name: "no ranges", etag: numbered, ranges: without},
	{name: "ETag that lies", etag: func(int) string { return `"same"` }},
	{name: "date that lies", date: fixed},
	{name: "all lies, If-Range ignored", etag: func(int) string { return `"same"` }, date: fixed, ranges: deaf},
	{name: "all lies, only the middle changes; with a checksum", etag: func(int) string { return `"same"` }, date: fixed, partial: true},
}

// resource is one file on the way to one tool: its versions, and what still happens to it.
type resource struct {
	kind kind
	size int
	seed uint64

	mu      sync.Mutex
	plan    *rand.Rand
	version int
	changes int // still to come
	cuts    int // still to come
	served  atomic.Int64
}

// last is the version that the resource will have in the end.
func (r *resource) last() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.version + r.changes
}

// newResource makes a resource whose fate hangs on the seed alone.
func newResource(k kind, seed uint64) *resource {
	plan := rand.New(rand.NewPCG(seed, 1))
	return &resource{kind: k, seed: seed, plan: plan, size: 40_000 + plan.IntN(260_000), changes: 1 + plan.IntN(2), cuts: 2 + plan.IntN(3)}
}

// content is a version of the resource.
func (r *resource) content(version int) []byte {
	size, stream := r.size, uint64(version)
	if r.kind.sizes {
		size += 1000 * version
	}
	fill := func(b []byte, stream uint64) {
		rng := rand.New(rand.NewPCG(r.seed, 1000+stream))
		for i := 0; i < len(b); i += 8 {
			w := rng.Uint64()
			for j := i; j < min(i+8, len(b)); j++ {
				b[j] = byte(w >> (8 * (j - i)))
			}
		}
	}
	b := make([]byte, size)
	if !r.kind.partial {
		fill(b, stream)
		return b
	}
	fill(b, 0)
	fill(b[size*2/5:size*3/5], stream)
	return b
}

// next is what the next request meets: the version, and after how many bytes the connection is cut; -1: it is not.
func (r *resource) next(length int) (version, cut int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	cut = -1
	if r.cuts > 0 {
		r.cuts--
		cut = r.plan.IntN(length + 1)
	}
	version = r.version
	if r.kind.swings && (r.cuts > 0 || r.changes > 0) {
		version = r.plan.IntN(2)
	}
	if r.changes > 0 && r.plan.IntN(2) == 0 { // for the request after this one
		r.changes--
		r.version++
	}
	return version, cut
}

// ServeHTTP answers one request.
func (r *resource) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	version, cut := r.next(r.size)
	body := r.content(version)
	now := time.Now().UTC()
	h := w.Header()
	h.Set("Date", now.Format(http.TimeFormat))
	h.Set("Content-Type", "application/octet-stream")
	tag, date := "", ""
	if r.kind.etag != nil {
		tag = r.kind.etag(version)
		h.Set("ETag", tag)
	}
	if r.kind.date != nil {
		date = r.kind.date(version, now).Format(http.TimeFormat)
		h.Set("Last-Modified", date)
	}
	start, status := 0, http.StatusOK
	condition := q.Header.Get("If-Range")
	ranged := r.kind.ranges != without && strings.HasPrefix(q.Header.Get("Range"), "bytes=")
	switch {
	case condition == "" || r.kind.ranges == deaf:
	case r.kind.ranges == wholly, condition != tag && condition != date, strings.HasPrefix(condition, "W/"):
		ranged = false
	}
	end := len(body)
	if ranged {
		first, last, _ := strings.Cut(strings.TrimPrefix(q.Header.Get("Range"), "bytes="), "-")
		start, _ = strconv.Atoi(first)
		if n, err := strconv.Atoi(last); err == nil && n+1 < end {
			end = n + 1
		}
		if start >= len(body) {
			h.Set("Content-Range", fmt.Sprintf("bytes */%d", len(body)))
			w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
			return
		}
		status = http.StatusPartialContent
		h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", start, end-1, len(body)))
	}
	if r.kind.ranges != without {
		h.Set("Accept-Ranges", "bytes")
	}
	h.Set("Content-Length", strconv.Itoa(end-start))
	w.WriteHeader(status)
	if q.Method == http.MethodHead {
		return
	}
	part := body[start:end]
	broken := cut >= 0 && cut < len(part)
	if broken {
		part = part[:cut]
	}
	n, _ := w.Write(part)
	r.served.Add(int64(n))
	if broken {
		http.NewResponseController(w).Flush()
		time.Sleep(time.Duration(cut%20) * time.Millisecond) // so that some are killed while they wait
		panic(http.ErrAbortHandler)
	}
}

// versionOf is which version the bytes are; -1: none.
func (r *resource) versionOf(there []byte) int {
	for v := range r.version + 2 {
		if string(r.content(v)) == string(there) {
			return v
		}
	}
	return -1
}

// origin serves resources by the number in their path.
type origin struct {
	url string
	all []*resource
}

func newOrigin(t *testing.T, rounds int, seed uint64) *origin {
	o := &origin{}
	for n := range rounds {
		o.all = append(o.all, newResource(kinds[n%len(kinds)], seed+uint64(n)))
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		n, err := strconv.Atoi(strings.TrimPrefix(q.URL.Path, "/"))
		if err != nil || n >= len(o.all) {
			http.NotFound(w, q)
			return
		}
		o.all[n].ServeHTTP(w, q)
	}))
	s.Config.ErrorLog = nil
	t.Cleanup(s.Close)
	o.url = s.URL
	return o
}

func (o *origin) at(n int) string { return fmt.Sprintf("%s/%d", o.url, n) }
