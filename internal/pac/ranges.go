package pac

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

var (
	weekdays = []string{"SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"}
	months   = []string{"JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"}
)

// zone takes "GMT" off the end of the arguments.
func zone(now time.Time, words []string) (time.Time, []string) {
	if n := len(words); n > 0 && strings.EqualFold(words[n-1], "GMT") {
		return now.UTC(), words[:n-1]
	}
	return now, words
}

// within reports whether a point lies between two others, ends included; if the second is before the first, it is about the turn: of the
// week, the year or the day.
func within(from, now, to int) bool {
	if from <= to {
		return from <= now && now <= to
	}
	return now >= from || now <= to
}

// weekdayRange takes one day or two.
func weekdayRange(now time.Time, words []string) bool {
	now, words = zone(now, words)
	if len(words) < 1 || len(words) > 2 {
		return false
	}
	from := slices.Index(weekdays, strings.ToUpper(words[0]))
	to := slices.Index(weekdays, strings.ToUpper(words[len(words)-1]))
	return from >= 0 && to >= 0 && within(from, int(now.Weekday()), to)
}

// dateRange takes a day, a month or a year, two of these, or days with months, with years, or with both, from and to.
func dateRange(now time.Time, words []string) bool {
	now, words = zone(now, words)
	if len(words) == 0 || len(words) > 6 {
		return false
	}
	kinds, values := make([]byte, len(words)), make([]int, len(words))
	for i, w := range words {
		n, err := strconv.Atoi(w)
		month := slices.Index(months, strings.ToUpper(w))
		switch {
		case month >= 0:
			kinds[i], values[i] = 'm', month+1
		case err != nil || n < 1:
			return false
		case n <= 31:
			kinds[i], values[i] = 'd', n
		default:
			kinds[i], values[i] = 'y', n
		}
	}
	is := map[byte]int{'d': now.Day(), 'm': int(now.Month()), 'y': now.Year()}
	half := len(words) / 2
	if len(words) == 1 {
		return is[kinds[0]] == values[0]
	}
	if len(words)%2 == 1 || string(kinds[:half]) != string(kinds[half:]) || !slices.Contains([]string{"d", "m", "y", "dm", "my", "dmy"}, string(kinds[:half])) {
		return false
	}
	// As numbers in which the larger unit stands first.
	number := func(value func(i int) int) (n int) {
		for i := half - 1; i >= 0; i-- {
			n = n*100 + value(i)
		}
		return n
	}
	from, to := number(func(i int) int { return values[i] }), number(func(i int) int { return values[half+i] })
	return within(from, number(func(i int) int { return is[kinds[i]] }), to)
}

// timeRange takes an hour, two hours, or hours with minutes, or with minutes and seconds, from and to. Two hours are whole ones.
func timeRange(now time.Time, words []string) bool {
	now, words = zone(now, words)
	n := make([]int, len(words))
	for i, w := range words {
		var err error
		if n[i], err = strconv.Atoi(w); err != nil || n[i] < 0 || n[i] > 59 {
			return false
		}
	}
	second := now.Hour()*3600 + now.Minute()*60 + now.Second()
	switch len(n) {
	case 1:
		return now.Hour() == n[0]
	case 2:
		return within(n[0], now.Hour(), n[1])
	case 4:
		return within(n[0]*3600+n[1]*60, second, n[2]*3600+n[3]*60+59)
	case 6:
		return within(n[0]*3600+n[1]*60+n[2], second, n[3]*3600+n[4]*60+n[5])
	}
	return false
}
