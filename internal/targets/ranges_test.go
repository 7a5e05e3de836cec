package targets_test

import (
	"errors"
	"testing"

	"bits"
	"bits/hresult"
	"bits/internal/targets"
)

func FuzzRanges(f *testing.F) {
	for _, s := range []string{"0:10", "5:eof,0:1", "-1:1", "1:-1", ":", "0:0", "9223372036854775808:1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		ranges, err := targets.Ranges(s)
		for _, r := range ranges {
			if r.Offset < 0 || r.Length < bits.ToEOF {
				t.Errorf("%q: %v", s, ranges)
			}
		}
		if err != nil && !errors.Is(err, &bits.Error{Code: hresult.BG_E_INVALID_RANGE}) {
			t.Errorf("%q: %v", s, err)
		}
	})
}
