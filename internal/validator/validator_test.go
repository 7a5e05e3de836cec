package validator

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"bits"
)

// What proves a version, and what does not.
func TestValidatorOf(t *testing.T) {
	const old, now = "Mon, 02 Nov 2026 10:00:00 GMT", "Mon, 02 Nov 2026 10:00:30 GMT"
	for _, c := range []struct {
		name, etag, modified, date string
		want                       bits.Validator
	}{
		{"strong", `"x"`, "", now, bits.Validator{ETag: `"x"`, Size: 10}},
		{"strong, file not rested", `"x"`, now, now, bits.Validator{ETag: `"x"`, Modified: now, Size: 10}},
		{"weak", `W/"x"`, "", now, bits.Validator{Size: 10}},
		{"weak, rested", `W/"x"`, old, now, bits.Validator{LastModified: old, Modified: old, Size: 10}},
		{"empty", `""`, "", now, bits.Validator{Size: 10}},
		{"no quotes", `x`, "", now, bits.Validator{Size: 10}},
		{"date, rested", "", old, now, bits.Validator{LastModified: old, Modified: old, Size: 10}},
		{"date, not rested", "", now, now, bits.Validator{Modified: now, Size: 10}},
		{"date in the future", "", now, old, bits.Validator{Modified: now, Size: 10}},
		{"date, no clock", "", old, "", bits.Validator{Modified: old, Size: 10}},
		{"no date", "", "yesterday", now, bits.Validator{Modified: "yesterday", Size: 10}},
		{"nothing", "", "", now, bits.Validator{Size: 10}},
	} {
		a := &http.Response{Header: http.Header{}}
		for name, v := range map[string]string{"ETag": c.etag, "Last-Modified": c.modified, "Date": c.date} {
			if v != "" {
				a.Header.Set(name, v)
			}
		}
		if d := cmp.Diff(&c.want, Of(a, 10)); d != "" {
			t.Errorf("%s: %s", c.name, d)
		}
	}
}

// nginx makes its ETag of date and size, so it proves no more than they do: a file that was written again in the same second has it too.
func TestDerivedETagIsNoProofUnlessRested(t *testing.T) {
	modified, err := http.ParseTime("Mon, 02 Nov 2026 10:00:00 GMT")
	if err != nil {
		t.Fatal(err)
	}
	for date, proof := range map[string]bool{"Mon, 02 Nov 2026 10:00:00 GMT": false, "Mon, 02 Nov 2026 10:00:01 GMT": true} {
		a := &http.Response{Header: http.Header{}}
		a.Header.Set("ETag", `"`+fmt.Sprintf("%x", modified.Unix())+`-a"`)
		a.Header.Set("Last-Modified", "Mon, 02 Nov 2026 10:00:00 GMT")
		a.Header.Set("Date", date)
		if v := Of(a, 10); (v.ETag != "") != proof {
			t.Errorf("at %s: %+v, want proof %v", date, v, proof)
		}
	}
}

// answer is one with these headers, "Name: value".
func answer(status int, headers ...string) *http.Response {
	a := &http.Response{StatusCode: status, Header: http.Header{}, ContentLength: 10}
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		a.Header.Add(name, value)
	}
	return a
}

const (
	old   = "Mon, 02 Nov 2026 10:00:00 GMT"
	other = "Mon, 02 Nov 2026 11:00:00 GMT"
	sumA  = "sha-256=:YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWE=:" // of 32 letters a
	sumB  = "sha-256=:YmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmI=:"
	hexA  = "6161616161616161616161616161616161616161616161616161616161616161"
)

// Which answers are of the version that was begun.
func TestSame(t *testing.T) {
	etag := &bits.Validator{ETag: `"a"`, Size: 10}
	both := &bits.Validator{ETag: `"a"`, LastModified: old, Modified: old, Size: 10}
	date := &bits.Validator{LastModified: old, Modified: old, Size: 10}
	sum := &bits.Validator{Digests: map[string]string{"sha256": hexA}, Size: 10}
	all := &bits.Validator{ETag: `"a"`, LastModified: old, Modified: old, Digests: sum.Digests, Size: 10}
	packed := &bits.Validator{ETag: `"a"`, Encoding: "gzip", Size: 10}
	untold := &bits.Validator{ETag: `"a"`, Size: -1}
	for i, c := range []struct {
		v     *bits.Validator
		a     *http.Response
		total int64
		want  bool
	}{
		{etag, answer(206, `ETag: "a"`), 10, true},
		{etag, answer(206, `ETag: "a"`), 11, false},
		{etag, answer(206, `ETag: "a"`), -1, false},
		{etag, answer(206, `ETag: "b"`), 10, false},
		{etag, answer(206, `ETag: W/"a"`), 10, false},
		{etag, answer(206), 10, false},
		{untold, answer(206, `ETag: "a"`), 99, true},
		{untold, answer(206, `ETag: "b"`), 99, false},
		{both, answer(206, `ETag: "a"`, "Last-Modified: "+old), 10, true},
		{both, answer(206, `ETag: "a"`), 10, true},
		{both, answer(206, `ETag: "a"`, "Last-Modified: "+other), 10, false},
		{both, answer(206, "Last-Modified: "+old), 10, false},
		{date, answer(206, "Last-Modified: "+old), 10, true},
		{date, answer(206, "Last-Modified: "+old, `ETag: "new"`), 10, true},
		{date, answer(206, "Last-Modified: "+other), 10, false},
		{date, answer(206), 10, false},
		{sum, answer(206, "Repr-Digest: "+sumA), 10, true},
		{sum, answer(206, "Repr-Digest: "+sumB), 10, false},
		{sum, answer(206, "Content-Digest: "+sumA), 10, false}, // of the part
		{sum, answer(200, "Content-Digest: "+sumA), 10, true},
		{sum, answer(206), 10, false},
		{all, answer(206, `ETag: "a"`), 10, true},
		{all, answer(200, `ETag: "b"`, "Last-Modified: "+other, "Repr-Digest: "+sumA), 10, true},
		{all, answer(206, `ETag: "a"`, "Last-Modified: "+old, "Repr-Digest: "+sumB), 10, false},
		{all, answer(206, `ETag: "b"`), 10, false},
		{packed, answer(206, `ETag: "a"`, "Content-Encoding: gzip"), 10, true},
		{packed, answer(206, `ETag: "a"`), 10, true},
		{packed, answer(206, `ETag: "a"`, "Content-Encoding: br"), 10, false},
		{etag, answer(206, `ETag: "a"`, "Content-Encoding: gzip"), 10, false},
		{etag, answer(206, `ETag: "a"`, "Content-Encoding: identity"), 10, true},
		{&bits.Validator{Size: 10}, answer(206), 10, true}, // for who has a digest of the whole
	} {
		if got := Same(c.v, c.a, c.total); got != c.want {
			t.Errorf("%d: %+v with %v, %d: %v", i, c.v, c.a.Header, c.total, got)
		}
	}
}

// Structured fields that tell digests, and such that do not.
func TestDigests(t *testing.T) {
	for _, c := range []struct {
		a    *http.Response
		want map[string]string
	}{
		{answer(206), nil},
		{answer(206, "Repr-Digest: "+sumA), map[string]string{"sha256": hexA}},
		{answer(206, "Repr-Digest: md5=:YWFhYWFhYWFhYWFhYWFhYQ==:,  "+sumA+" ;q=1 , unixsum=42"), map[string]string{"sha256": hexA}},
		{answer(206, "Repr-Digest: md5=:YWFhYWFhYWFhYWFhYWFhYQ==:", "Repr-Digest: "+sumA), map[string]string{"sha256": hexA}},
		{answer(206, "Repr-Digest: "+sumA+", "+sumB), nil},
		{answer(206, "Repr-Digest: sha-256=:YWFh:"), nil},
		{answer(206, "Repr-Digest: sha-256=:!!!!:"), nil},
		{answer(206, "Repr-Digest: sha-256=YWFh"), nil},
		{answer(206, "Repr-Digest: sha-256=:"), nil},
		{answer(206, "Repr-Digest: SHA-256"+sumA[7:]), nil}, // keys are in lower case
		{answer(200, "Content-Digest: "+sumA), map[string]string{"sha256": hexA}},
		{answer(200, "Content-Digest: "+sumA, "Repr-Digest: "+sumB), nil},
		{answer(206, "Content-Digest: "+sumA, "Digest: sha-256=YWFh"), nil},
	} {
		if d := cmp.Diff(c.want, Digests(c.a)); d != "" {
			t.Errorf("%v: %s", c.a.Header, d)
		}
	}
}

func FuzzDigests(f *testing.F) {
	f.Add(sumA + ", " + sumB)
	f.Fuzz(func(t *testing.T, s string) {
		for name, sum := range Digests(answer(206, "Repr-Digest: "+s)) {
			if len(sum) != 64 && len(sum) != 128 || name != "sha256" && name != "sha512" {
				t.Errorf("%q: %s %s", s, name, sum)
			}
		}
	})
}

// Another name keeps what is there by a digest, or by size and date.
func TestSameElsewhere(t *testing.T) {
	sums := map[string]string{"sha256": hexA}
	for i, c := range []struct {
		begun, now bits.Validator
		want       bool
	}{
		{bits.Validator{LastModified: old, Size: 10}, bits.Validator{LastModified: old, Size: 10}, true},
		{bits.Validator{LastModified: old, Size: 10}, bits.Validator{LastModified: old, Size: 11}, false},
		{bits.Validator{LastModified: old, Size: 10}, bits.Validator{LastModified: old, Size: 10, Encoding: "gzip"}, false},
		{bits.Validator{LastModified: old, ETag: "a", Size: 10}, bits.Validator{LastModified: old, ETag: "b", Size: 10}, false},
		{bits.Validator{ETag: "a", Size: 10}, bits.Validator{ETag: "a", Size: 10}, false},
		{bits.Validator{ETag: "a", Digests: sums, Size: 10}, bits.Validator{ETag: "b", Digests: sums, Size: 10}, true},
		{bits.Validator{LastModified: old, Digests: sums, Size: 10}, bits.Validator{LastModified: old, Digests: map[string]string{"sha256": "b"}, Size: 10}, false},
		{bits.Validator{LastModified: old, Digests: sums, Size: 10}, bits.Validator{LastModified: old, Size: 10}, true},
		{bits.Validator{LastModified: old, Size: -1}, bits.Validator{LastModified: old, Size: -1}, false},
	} {
		if got := SameElsewhere(&c.begun, &c.now); got != c.want {
			t.Errorf("%d: %v", i, got)
		}
	}
}

// What is recorded of a place tells no signature and no password.
func TestPlace(t *testing.T) {
	r, err := http.NewRequest(http.MethodGet, "https://joe:secret@cdn.example/a%20b?X-Signature=secret#part", nil)
	if err != nil {
		t.Fatal(err)
	}
	a := answer(200)
	a.Request = r
	if got := Of(a, 10).URL; got != "https://cdn.example/a%20b" {
		t.Error(got)
	}
}

// 416 means that nothing is missing only if all is there, of a version that can be told and has not been told to be another.
func TestComplete(t *testing.T) {
	etag, whole := &bits.Validator{ETag: `"a"`, Size: -1}, bits.Ranges{{Start: 0, End: 10}}
	for i, c := range []struct {
		v     *bits.Validator
		a     *http.Response
		done  bits.Ranges
		total int64
		want  bool
	}{
		{etag, answer(416), whole, 10, true},
		{etag, answer(416, `ETag: "a"`), whole, 10, true},
		{etag, answer(416, `ETag: "b"`), whole, 10, false},
		{etag, answer(416), whole, 9, false},
		{etag, answer(416), bits.Ranges{{Start: 0, End: 4}, {Start: 5, End: 10}}, 10, false},
		{&bits.Validator{Size: -1}, answer(416), whole, 10, false},
		{&bits.Validator{ETag: `"a"`, Size: 11}, answer(416), whole, 10, false},
	} {
		if got := Complete(c.v, c.a, c.done, c.total); got != c.want {
			t.Errorf("%d: %v", i, got)
		}
	}
}
