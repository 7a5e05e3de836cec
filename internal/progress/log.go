package progress

import (
	"fmt"
	"strings"

	"bits/internal/joblog"
)

// LogLine is a line of a log for people: time, kind, file, text. Of a head it is the first line, and with heads all of them.
func LogLine(l joblog.Line, heads bool) string {
	file := "-"
	if l.File != nil {
		file = fmt.Sprint(*l.File)
	}
	lines := strings.Split(l.Text, "\n")
	text := fmt.Sprintf("%s %-8s %3s  %s", l.At.Local().Format("2006-01-02 15:04:05.000"), Clean(l.Kind), file, Clean(lines[0]))
	if heads {
		for _, more := range lines[1:] {
			text += "\n" + strings.Repeat(" ", 4) + Clean(more)
		}
	}
	return text
}

// Trace is a line of a log in the manner of curl -v: what was sent begins with >, what was received with <, all else with *.
func Trace(l joblog.Line) (lines []string) {
	mark := map[string]string{joblog.Request: ">", joblog.Response: "<"}[l.Kind]
	if mark == "" {
		return []string{"* " + Clean(l.Text)}
	}
	for line := range strings.SplitSeq(l.Text, "\n") {
		lines = append(lines, mark+" "+Clean(line))
	}
	return append(lines, mark)
}
