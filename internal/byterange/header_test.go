package byterange

import "testing"

func TestContentRange(t *testing.T) {
	for in, want := range map[string][4]int64{
		"bytes 0-99/1000": {0, 100, 1000, 1}, "bytes 5-5/*": {5, 6, -1, 1}, "bytes */1000": {-1, -1, 1000, 1}, "BYTES 0-0/1": {0, 1, 1, 1},
		"bytes */*": {}, "bytes 0-99": {}, "bytes 9-1/100": {}, "bytes 0-100/100": {}, "bytes -1-5/10": {}, "bytes 0x0-5/10": {}, "items 0-1/2": {}, "": {},
		"bytes 0-9223372036854775807/*": {}, "bytes 0-99999999999999999999/*": {}, "bytes +1-5/10": {},
	} {
		start, end, total, ok := ParseContentRange(in)
		if ok != (want[3] == 1) || ok && (start != want[0] || end != want[1] || total != want[2]) {
			t.Errorf("%q: %d %d %d %v, want %v", in, start, end, total, ok, want)
		}
	}
}

func FuzzContentRange(f *testing.F) {
	f.Add("bytes 0-99/1000")
	f.Fuzz(func(t *testing.T, s string) {
		start, end, total, ok := ParseContentRange(s)
		if ok && start >= 0 && (end <= start || total >= 0 && end > total) {
			t.Errorf("%q: %d %d %d", s, start, end, total)
		}
	})
}
