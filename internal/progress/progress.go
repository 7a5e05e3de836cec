// Package progress shows people how far jobs are: sizes in words, and bars on a terminal.
package progress

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"time"
	"unicode"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"

	"bits"
)

// Terminal reports whether a stream is one.
func Terminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb"
}

// Clean makes text of others safe for a terminal: control characters, and those that change how the rest is laid out, become "?".
func Clean(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) {
			return '?'
		}
		return r
	}, s)
}

// Cut is the first n characters.
func Cut(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n])
	}
	return s
}

// Brief is the text, or its beginning and three dots, in n characters.
func Brief(s string, n int) string {
	if short := Cut(s, n-3); len(Cut(s, n)) < len(s) {
		return short + "..."
	}
	return s
}

// Size writes a number of bytes in binary units.
func Size(n int64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}
	f, i := float64(n), 0
	for f >= 1024 && i+1 < len(units) {
		f, i = f/1024, i+1
	}
	if i == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", f, units[i])
}

// Bars draw the progress of jobs on a terminal; anywhere else they print their notes only.
type Bars struct {
	out    io.Writer
	screen *mpb.Progress
	each   map[string]*mpb.Bar
	waits  map[string]*atomic.Pointer[bits.Job] // that wait for the next try
}

// New draws bars for the jobs, if out is a terminal.
// Nothing at all is printed to a nil writer.
func New(out io.Writer, jobs []*bits.Job) *Bars {
	b := &Bars{out: out, each: map[string]*mpb.Bar{}, waits: map[string]*atomic.Pointer[bits.Job]{}}
	if out == nil || !Terminal(out) {
		return b
	}
	b.screen = mpb.New(mpb.WithOutput(out), mpb.WithWidth(40))
	began := time.Now()
	for _, j := range jobs {
		waits := new(atomic.Pointer[bits.Job])
		b.waits[j.ID] = waits
		b.each[j.ID] = b.screen.AddBar(0,
			mpb.PrependDecorators(decor.Name(Clean(Cut(j.DisplayName, 32)), decor.WCSyncSpaceR)),
			mpb.AppendDecorators(
				decor.Any(amount, decor.WCSyncSpace),
				decor.Any(rate(began), decor.WCSyncSpace),
				decor.Any(remaining(began), decor.WCSyncSpace),
				decor.Any(func(decor.Statistics) string {
					if j := waits.Load(); j != nil {
						return " " + Clean(Brief(Retry(j.Error, j.Failures, j.NextRetry), 60))
					}
					return ""
				}),
			))
	}
	return b
}

// amount says how much there is, and of how much if that is known.
func amount(s decor.Statistics) string {
	if s.Total <= 0 {
		return Size(s.Current)
	}
	return Size(s.Current) + " / " + Size(s.Total)
}

// rate is the average rate.
func rate(began time.Time) decor.DecorFunc {
	return func(s decor.Statistics) string {
		if passed := time.Since(began).Seconds(); s.Current > 0 && passed > 0 {
			return Size(int64(float64(s.Current)/passed)) + "/s"
		}
		return ""
	}
}

// remaining says how long the rest will take at the average rate, if the size is known.
func remaining(began time.Time) decor.DecorFunc {
	return func(s decor.Statistics) string {
		if s.Total <= 0 || s.Current <= 0 {
			return ""
		}
		left := float64(time.Since(began)) * float64(max(s.Total-s.Current, 0)) / float64(s.Current)
		return time.Duration(left).Round(time.Second).String()
	}
}

// Drawn reports whether there are bars on a terminal.
func (b *Bars) Drawn() bool { return b.screen != nil }

// Wait shows beside the bar of a job when it is tried again and why, while it waits for that.
func (b *Bars) Wait(j *bits.Job) {
	waits := b.waits[j.ID]
	switch {
	case waits == nil:
	case j.State == bits.StateTransientError && j.Error != nil:
		waits.Store(j)
	default:
		waits.Store(nil)
	}
}

// Show moves the bar of a job.
func (b *Bars) Show(id string, p bits.JobProgress) {
	if bar := b.each[id]; bar != nil {
		if p.BytesTotal != nil {
			bar.SetTotal(*p.BytesTotal, false)
		}
		bar.SetCurrent(p.BytesReceived)
	}
}

// Done ends the bar of a job; without a bar it says where the files of a job are that went well.
func (b *Bars) Done(j *bits.Job, fault error) {
	if bar := b.each[j.ID]; bar != nil {
		if fault == nil {
			bar.SetTotal(j.Progress.BytesReceived, true)
		} else {
			bar.Abort(false)
		}
		bar.Wait()
		return
	}
	if fault == nil {
		for _, f := range j.Files {
			b.Note("%s: %s", Clean(f.LocalName), Size(f.TransferredBytes()))
		}
	}
}

// Note prints a line, above the bars if there are any.
func (b *Bars) Note(format string, args ...any) {
	if b.screen != nil {
		if _, err := fmt.Fprintf(b.screen, format+"\n", args...); err == nil {
			return
		} // the bars were closed
	}
	if b.out != nil {
		fmt.Fprintf(b.out, format+"\n", args...)
	}
}

// Close leaves the screen as it is.
func (b *Bars) Close() {
	for _, bar := range b.each {
		bar.Abort(false) // no effect on one that is complete
	}
	if b.screen != nil {
		b.screen.Wait()
	}
}
