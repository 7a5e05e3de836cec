package cli

import (
	"fmt"
	"io"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"bits"
)

// bars draw the progress of jobs on a terminal; anywhere else they are silent.
type bars struct {
	a      *app
	screen *mpb.Progress
	each   map[string]*mpb.Bar
}

func (a *app) newBars(jobs []*bits.Job) *bars {
	b := &bars{a: a, each: map[string]*mpb.Bar{}}
	if a.quiet || a.json || !terminal(a.Err) {
		return b
	}
	b.screen = mpb.New(mpb.WithOutput(a.Err), mpb.WithWidth(40))
	for _, j := range jobs {
		b.each[j.ID] = b.screen.AddBar(0,
			mpb.PrependDecorators(decor.Name(clean(cut(j.DisplayName, 32)), decor.WCSyncSpaceR)),
			mpb.AppendDecorators(
				decor.CountersKibiByte("% .1f / % .1f", decor.WCSyncSpace),
				decor.AverageSpeed(decor.SizeB1024(0), "% .1f", decor.WCSyncSpace),
				decor.AverageETA(decor.ET_STYLE_GO, decor.WCSyncSpace),
			))
	}
	return b
}

func (b *bars) progress(id string, p bits.JobProgress) {
	if bar := b.each[id]; bar != nil {
		if p.BytesTotal != nil {
			bar.SetTotal(*p.BytesTotal, false)
		}
		bar.SetCurrent(p.BytesReceived)
	}
}

// done ends the bar of a job, and says where its files are.
func (b *bars) done(j *bits.Job, fault error) {
	if bar := b.each[j.ID]; bar != nil {
		if fault == nil {
			bar.SetTotal(j.Progress.BytesReceived, true)
		} else {
			bar.Abort(false)
		}
		bar.Wait()
	}
	if fault == nil && b.screen == nil && !b.a.json {
		for _, f := range j.Files {
			b.note("%s: %s", clean(f.LocalName), size(f.TransferredBytes()))
		}
	}
}

// note prints a line above the bars.
func (b *bars) note(format string, args ...any) {
	if b.screen != nil {
		fmt.Fprintf(io.Writer(b.screen), format+"\n", args...)
		return
	}
	b.a.note(format, args...)
}

func (b *bars) close() {
	for _, bar := range b.each {
		bar.Abort(false) // no effect on one that is complete
	}
	if b.screen != nil {
		b.screen.Wait()
	}
}
