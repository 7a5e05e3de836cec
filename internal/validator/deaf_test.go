package validator

import (
	"fmt"
	"testing"
)

// What is remembered of an origin is for the jobs of one owner, and bounded.
func TestDeaf(t *testing.T) {
	d := &Deaf{}
	d.Add("joe", "https://a.example/f?x=1")
	d.Add("joe", "not a place")
	for _, c := range []struct {
		owner, place string
		want         bool
	}{
		{"joe", "https://a.example/g", true},
		{"ann", "https://a.example/g", false},
		{"joe", "http://a.example/g", false},
		{"joe", "https://a.example:8443/g", false},
		{"joe", "not a place", false},
		{"joe", "", false},
	} {
		if got := d.Has(c.owner, c.place); got != c.want {
			t.Errorf("%s, %q: %v", c.owner, c.place, got)
		}
	}
	for i := range 2 * maxDeaf {
		d.Add("joe", fmt.Sprintf("https://%d.example/", i))
	}
	if len(d.all) != maxDeaf || !d.Has("joe", fmt.Sprintf("https://%d.example/", 2*maxDeaf-1)) {
		t.Errorf("it remembers %d", len(d.all))
	}
}
