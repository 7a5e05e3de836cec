package progress

import (
	"testing"
	"time"

	"github.com/vbauerster/mpb/v8/decor"
)

// Text of others moves no cursor, and does not turn the direction of what is printed.
func TestClean(t *testing.T) {
	for text, want := range map[string]string{
		"a\x1b[2Jb\nc\u009bd": "a?[2Jb?c?d",
		"gpj.\u202eexe":       "gpj.?exe",
		"a\u2066b\u200fc":     "a?b?c",
		"x\u2028y":            "x?y",
		"Größe 大":             "Größe 大",
	} {
		if got := Clean(text); got != want {
			t.Errorf("Clean(%q) = %q, want %q", text, got, want)
		}
	}
}

func TestBrief(t *testing.T) {
	for text, want := range map[string]string{"12345678": "12345678", "123456789": "12345...", "äöüäöüäö": "äöüäöüäö", "": ""} {
		if got := Brief(text, 8); got != want {
			t.Errorf("Brief(%q) = %q, want %q", text, got, want)
		}
	}
}

// A bar says nothing of a size that nobody knows.
func TestUnknownSize(t *testing.T) {
	began := time.Now().Add(-10 * time.Second)
	for _, c := range []struct {
		s            decor.Statistics
		amount, left string
	}{
		{decor.Statistics{Current: 2048}, "2.0 KiB", ""},
		{decor.Statistics{Current: 0, Total: 4096}, "0 B / 4.0 KiB", ""},
		{decor.Statistics{Current: 2048, Total: 4096}, "2.0 KiB / 4.0 KiB", "10s"},
		{decor.Statistics{Current: 4096, Total: 2048}, "4.0 KiB / 2.0 KiB", "0s"},
	} {
		if got := amount(c.s); got != c.amount {
			t.Errorf("amount of %+v: %q, want %q", c.s, got, c.amount)
		}
		if got := remaining(began)(c.s); got != c.left {
			t.Errorf("rest of %+v: %q, want %q", c.s, got, c.left)
		}
	}
}
