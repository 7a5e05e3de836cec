package content_test

import (
	"testing"

	"bits"
	"bits/hresult"
	"bits/internal/content"
)

// Sources that give little each before they fail are not asked in turn for ever; those that give much are.
func TestSourcesThatGiveLittle(t *testing.T) {
	for name, c := range map[string]struct {
		each int64
		most int // requests
		end  bool
	}{"little": {1, 150, true}, "much": {1 << 20, 1000, false}} {
		f, s, n := &bits.File{RemoteName: "a"}, &content.Sources{}, 0
		f.Mirrors = []string{"m"}
		for ok := true; ok && n < c.most; n++ {
			f.Done = bits.Ranges{{End: int64(n+1) * c.each}}
			s.Failed(f, &bits.Error{Code: hresult.ERROR_WINHTTP_TIMEOUT})
			f.Source, ok = s.Next(f)
		}
		if (n < c.most) != c.end {
			t.Errorf("%s: %d requests", name, n)
		}
	}
}

// Two bad pieces are too many, unless enough good ones came between them. A source that is alone is not dropped, but the run ends.
func TestStrikes(t *testing.T) {
	for name, c := range map[string]struct {
		mirrors []string
		good    []int64 // pieces that are there at each bad one
		want    []string
		dropped bool
	}{
		"one":                    {[]string{"m"}, []int64{0}, []string{"m"}, false},
		"two":                    {[]string{"m"}, []int64{0, 0}, []string{"m", "m"}, true},
		"two, too soon":          {[]string{"m"}, []int64{3, 18}, []string{"m", "m"}, true},
		"two, far apart":         {[]string{"m"}, []int64{3, 19}, []string{"m", "m"}, false},
		"three, the last soon":   {[]string{"m"}, []int64{0, 16, 17}, []string{"m", "m", "m"}, true},
		"many, all far apart":    {[]string{"m"}, []int64{0, 16, 32, 48}, []string{"m", "m", "m", "m"}, false},
		"alone, once":            {nil, []int64{5}, []string{""}, false},
		"alone, twice":           {nil, []int64{5, 5}, []string{"", "none"}, false},
		"alone, twice, far away": {nil, []int64{5, 21}, []string{"", ""}, false},
	} {
		f, s := &bits.File{RemoteName: "a", Pieces: &bits.Pieces{Length: 1024}}, &content.Sources{}
		f.Mirrors = c.mirrors
		for i, good := range c.good {
			f.Source, f.Done = "", bits.Ranges{{End: good * 1024}}
			next, ok := s.BadPiece(f, &bits.Error{Code: hresult.BG_E_VALIDATION_FAILED})
			if !ok {
				next = "none"
			}
			if next != c.want[i] {
				t.Errorf("%s: after bad piece %d it is asked at %q", name, i+1, next)
			}
		}
		if dropped := len(f.Dropped) > 0; dropped != c.dropped {
			t.Errorf("%s: dropped %v", name, f.Dropped)
		}
	}
}
