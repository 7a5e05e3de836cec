package validator

import (
	"net/http"
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
		a.Header.Set("ETag", `"`+hex(modified.Unix())+`-a"`)
		a.Header.Set("Last-Modified", "Mon, 02 Nov 2026 10:00:00 GMT")
		a.Header.Set("Date", date)
		if v := Of(a, 10); (v.ETag != "") != proof {
			t.Errorf("at %s: %+v, want proof %v", date, v, proof)
		}
	}
}

func hex(n int64) (s string) {
	for ; n > 0; n >>= 4 {
		s = string("0123456789abcdef"[n&15]) + s
	}
	return s
}
