package byterange

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"bits"
)

// Endless is the end of what has no known end.
const Endless = math.MaxInt64

// ParseContentRange reads "bytes 0-99/1000", "bytes 0-99/*" and "bytes */1000" (RFC 9110, section 14.4).
// end is one past the last byte; what is not told is -1.
func ParseContentRange(s string) (start, end, total int64, ok bool) {
	unit, rest, _ := strings.Cut(strings.TrimSpace(s), " ")
	span, size, cut := strings.Cut(strings.TrimSpace(rest), "/")
	if !strings.EqualFold(unit, "bytes") || !cut {
		return 0, 0, 0, false
	}
	start, end, total = -1, -1, -1
	if size != "*" {
		if total, ok = number(size); !ok {
			return 0, 0, 0, false
		}
	}
	if span == "*" {
		return start, end, total, total >= 0
	}
	first, last, _ := strings.Cut(span, "-")
	start, ok = number(first)
	end, ok2 := number(last)
	end++
	if !ok || !ok2 || end <= start || end <= 0 || total >= 0 && end > total {
		return 0, 0, 0, false
	}
	return start, end, total, true
}

// number reads decimal digits and nothing else.
func number(s string) (int64, bool) {
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}

// Header asks for stretches of a remote file; one that ends at Endless asks for all that is there.
func Header(ask bits.Ranges) string {
	var specs []string
	for _, r := range ask {
		spec := fmt.Sprintf("%d-", r.Start)
		if r.End != Endless {
			spec += fmt.Sprint(r.End - 1)
		}
		specs = append(specs, spec)
	}
	return "bytes=" + strings.Join(specs, ",")
}
