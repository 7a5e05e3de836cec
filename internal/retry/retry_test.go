package retry

import (
	"strings"
	"testing"
	"time"

	"bits"
)

// Retry-After is seconds or a date, and anything else asks for nothing.
func TestAfter(t *testing.T) {
	now := time.Date(2026, 11, 2, 10, 0, 0, 500, time.UTC)
	const theirs = "Mon, 02 Nov 2026 09:00:00 GMT" // their clock is an hour late
	const longest = 1<<32 - 1                      // Delay waits an hour at the most
	for _, c := range []struct {
		value, date string
		want        bits.Seconds
	}{
		{"120", "", 120},
		{"0", "", 0},
		{"007", "", 7},
		{"4294967295", "", longest},
		{"4294967296", "", longest},
		{"9223372036854775808", "", longest}, // beyond int64
		{"18446744073709551616", "", longest},
		{"1" + strings.Repeat("0", 1000), "", longest},
		{"", "", 0},
		{"-1", "", 0},
		{"-18446744073709551616", "", 0},
		{"+5", "", 0},
		{"1.5", "", 0},
		{"1e3", "", 0},
		{"0x10", "", 0},
		{"1_000", "", 0},
		{"120, 60", "", 0},
		{"120s", "", 0},
		{"soon", theirs, 0},
		{"Mon, 02 Nov 2026 10:02:00 GMT", "", 120},
		{"Mon, 02 Nov 2026 09:02:00 GMT", theirs, 120},
		{"Mon, 02 Nov 2026 09:02:00 GMT", "", 0},
		{"Mon, 02 Nov 1970 10:02:00 GMT", "", 0},
		{"Monday, 02-Nov-26 10:02:00 GMT", "", 120}, // RFC 850
		{"Monday, 02-Nov-26 09:58:00 GMT", "", 0},
		{"Mon Nov  2 10:02:00 2026", "yesterday", 120}, // asctime
		{"Mon Nov  2 09:58:00 2026", "", 0},
		{"Mon, 02 Nov 2026 10:02:00 +0100", "", 0}, // no date of HTTP
		{"2026-11-02T10:02:00Z", "", 0},
		{"Fri, 31 Dec 9999 23:59:59 GMT", "", longest},
	} {
		if got := After(c.value, c.date, now); got != c.want {
			t.Errorf("%q at %q: %d, want %d", c.value, c.date, got, c.want)
		}
	}
}

// Whatever a server says, it is a time that is left alone, and no more than a number can say.
func FuzzAfter(f *testing.F) {
	f.Add("120", "")
	f.Add("Mon, 02 Nov 2026 10:02:00 GMT", "Mon, 02 Nov 2026 09:00:00 GMT")
	f.Add("Fri, 31 Dec 9999 23:59:59 GMT", "Mon, 01 Jan 0001 00:00:00 GMT")
	f.Fuzz(func(t *testing.T, value, date string) {
		after := After(value, date, time.Date(2026, 11, 2, 10, 0, 0, 500, time.UTC))
		job := &bits.Job{Error: &bits.JobError{RetryAfter: after}}
		if d := Delay(job); d < 0 || d > maxAfter || after > 0 && d < min(after.Duration(), maxAfter) {
			t.Errorf("%q, %q: %d s, waits %v", value, date, after, d)
		}
	})
}
