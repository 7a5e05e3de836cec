//go:build unix

package splice

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"bits"
)

// kind is one kind of server: what it says of the versions of a file, and how it takes ranges; and what we know beforehand, as the others
// do not.
type kind struct {
	name    string
	etag    func(version int) string
	date    func(version int, now time.Time) time.Time // zero: says none
	digest  func(r *resource, h http.Header, version int, part []byte)
	ranges  ranges
	sizes   bool   // versions differ in size
	swings  bool   // two servers behind one name, each with its own version
	partial bool   // only the middle of the file changes
	known   known  // of the last version
	mirrors []kind // each says the same of versions as the first, but for what it has of its own
	stray   bool   // a mirror: it has another version than its own server ever has
	late    bool   // what it tells of its content may be wrong for a while
	lies    bool   // or for ever: then no file is the right answer too
}

// known is what we are told of the last version of a file.
type known int

const (
	nothing known = iota
	checksum
	pieces
)

// pieceSize is how long the pieces are whose digests we know.
const pieceSize = 16 << 10

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
	same     = func(int) string { return `"same"` }
)

func field(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha-256=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":"
}

// reprDigest and contentDigest are what RFC 9530 has: of the whole, and of the content of this answer, be it a part.
func reprDigest(r *resource, h http.Header, version int, _ []byte) {
	h.Set("Repr-Digest", field(r.content(version)))
}

func contentDigest(_ *resource, h http.Header, _ int, part []byte) {
	h.Set("Content-Digest", field(part))
}

// staleDigest is one that nobody computes anew when the file changes; lateDigest is late by a version until there are no more changes.
func staleDigest(r *resource, h http.Header, _ int, _ []byte) {
	h.Set("Repr-Digest", field(r.content(0)))
}

func lateDigest(r *resource, h http.Header, version int, _ []byte) {
	if r.last() != version {
		version = max(version-1, 0)
	}
	h.Set("Repr-Digest", field(r.content(version)))
}

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
	{name: "ETag that lies", etag: same},
	{name: "date that lies", date: fixed},
	{name: "all lies, If-Range ignored", etag: same, date: fixed, ranges: deaf},
	{name: "all lies, only the middle changes; with a checksum", etag: same, date: fixed, partial: true, known: checksum},
	{name: "nothing; with a checksum", ranges: deaf, known: checksum},
	{name: "Repr-Digest", digest: reprDigest},
	{name: "Content-Digest, If-Range ignored", digest: contentDigest, ranges: deaf},
	{name: "Repr-Digest of the first version, all else lies", digest: staleDigest, etag: same, date: fixed, ranges: deaf, partial: true, lies: true},
	{name: "Repr-Digest that is late, strong ETag", digest: lateDigest, etag: numbered, date: dated, late: true},
	{name: "nothing; with the digests of pieces", ranges: deaf, known: pieces},
	{name: "all lies, only the middle changes; with the digests of pieces", etag: same, date: fixed, partial: true, known: pieces},
	{name: "strong ETag; mirrors", etag: numbered, date: dated, mirrors: []kind{{stray: true, etag: numbered, date: dated}, {date: dated}}},
	{name: "date; mirrors with the same date", date: fixed, mirrors: []kind{{stray: true, date: fixed}, {date: fixed, ranges: deaf}}},
	{name: "Repr-Digest; mirrors", digest: reprDigest, mirrors: []kind{{stray: true, digest: reprDigest}, {digest: reprDigest, ranges: wholly}}},
	{name: "all lies, only the middle changes; mirrors, with a checksum", etag: same, date: fixed, partial: true, known: checksum,
		mirrors: []kind{{stray: true, etag: same, date: fixed}, {etag: same, date: fixed}}},
	{name: "nothing; mirrors, with the digests of pieces", ranges: deaf, known: pieces, mirrors: []kind{{stray: true, ranges: deaf}, {ranges: without}}},
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
	served  *atomic.Int64

	mirrors []*resource // on another server
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
	r := &resource{kind: k, seed: seed, plan: plan, size: 40_000 + plan.IntN(260_000), changes: 1 + plan.IntN(2), cuts: 2 + plan.IntN(3), served: &atomic.Int64{}}
	for n, m := range k.mirrors {
		m.partial, m.sizes = k.partial, k.sizes
		has := r.changes // the last version, from the beginning on
		if m.stray {
			has = astray
		}
		r.mirrors = append(r.mirrors, &resource{kind: m, seed: seed, plan: rand.New(rand.NewPCG(seed, uint64(2+n))), size: r.size, version: has, cuts: 2, served: r.served})
	}
	return r
}

// astray is the version that a mirror has which has another one.
const astray = 9

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
	part := body[start:end]
	if r.kind.digest != nil {
		r.kind.digest(r, h, version, part)
	}
	h.Set("Content-Length", strconv.Itoa(len(part)))
	w.WriteHeader(status)
	if q.Method == http.MethodHead {
		return
	}
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

// is reports whether the bytes are one version of the resource: the last one if that was known beforehand, else any that one of its
// servers has had.
func (r *resource) is(there []byte, known known) bool {
	versions := []int{r.last()}
	if known == nothing {
		for v := range r.last() {
			versions = append(versions, v)
		}
		for _, m := range r.mirrors {
			versions = append(versions, m.version)
		}
	}
	return slices.ContainsFunc(versions, func(v int) bool { return string(r.content(v)) == string(there) })
}

// origin serves resources by the number in their path, and their mirrors on other servers.
type origin struct {
	urls []string
	all  []*resource
}

func newOrigin(t *testing.T, rounds int, seed uint64) *origin {
	o := &origin{}
	for n := range rounds {
		o.all = append(o.all, newResource(kinds[n%len(kinds)], seed+uint64(n)))
	}
	for i := range 3 {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
			n, err := strconv.Atoi(strings.TrimPrefix(q.URL.Path, "/"))
			switch {
			case err != nil || n >= len(o.all) || i > len(o.all[n].mirrors):
				http.NotFound(w, q)
			case i == 0:
				o.all[n].ServeHTTP(w, q)
			default:
				o.all[n].mirrors[i-1].ServeHTTP(w, q)
			}
		}))
		t.Cleanup(s.Close)
		o.urls = append(o.urls, s.URL)
	}
	return o
}

// at is where a resource is.
func (o *origin) at(n int) string { return fmt.Sprintf("%s/%d", o.urls[0], n) }

// file is a resource as we are to fetch it: with its mirrors, and what is known of it beforehand.
func (o *origin) file(n int) (f bits.FileSpec) {
	r := o.all[n]
	f.RemoteName = o.at(n)
	for i := range r.mirrors {
		f.Mirrors = append(f.Mirrors, fmt.Sprintf("%s/%d", o.urls[i+1], n))
	}
	last := r.content(r.last())
	switch r.kind.known {
	case checksum:
		f.Digests = map[string]string{"sha256": fmt.Sprintf("%x", sha256.Sum256(last))}
	case pieces:
		f.Pieces = &bits.Pieces{Algorithm: "sha256", Length: pieceSize}
		for piece := range slices.Chunk(last, pieceSize) {
			f.Pieces.Hashes = append(f.Pieces.Hashes, fmt.Sprintf("%x", sha256.Sum256(piece)))
		}
	}
	return f
}
