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
