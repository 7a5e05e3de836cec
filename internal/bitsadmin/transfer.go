package bitsadmin

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"bits"
	"bits/client"
	"bits/hresult"
	"bits/internal/progress"
)

// transferFlags are the flags of /TRANSFER that are properties of the job.
var transferFlags = map[string]struct {
	name  string
	value func([]string) (any, error)
}{"PRIORITY": {"priority", setWord}, "ACLFLAGS": {"file_acl_flags", setACL}, "DYNAMIC": {"dynamic_content", setTrue}}

// transfer makes a job, waits for it and completes it.
// Everything is checked before there is a job: it is made with its files in one call.
func transfer(ctx context.Context, r *run, words []string) error {
	t, err := r.jobType()
	if err != nil {
		return err
	}
	files, err := parsePairs(words[1:])
	if err != nil {
		return err
	}
	spec := bits.Spec{ID: bits.NewID(), Type: t, DisplayName: words[0], Files: files, Properties: map[string]bits.RawMessage{}, Resume: true}
	for flag, p := range transferFlags {
		if word, ok := r.flags[flag]; ok {
			v, err := p.value([]string{word})
			if err != nil {
				return err
			}
			if spec.Properties[p.name], err = json.Marshal(v); err != nil {
				return err
			}
		}
	}
	limited := ctx
	if s, ok := r.flags["DEADLINE"]; ok {
		n, err := parseNumber(s)
		if err != nil {
			return err
		}
		late := bits.Errorf(hresult.ERROR_TIMEOUT, "cannot transfer %q: it has taken %d seconds", spec.DisplayName, n)
		var cancel context.CancelFunc
		limited, cancel = context.WithTimeoutCause(ctx, time.Duration(n)*time.Second, late)
		defer cancel()
	}
	if err := r.Connect(ctx); err != nil {
		return err
	}
	// Cut short, this call would leave a job of which nobody knows.
	if _, err := r.Client.Create(context.WithoutCancel(ctx), spec); err != nil {
		return err
	}
	err = r.follow(limited, spec.ID)
	if cause := context.Cause(limited); err == nil || cause == nil || !errors.Is(err, cause) {
		return err
	}
	if r.screen > 0 {
		r.say("") // after the ^C
	}
	if ctx.Err() != nil && r.has("DETACHONINTERRUPT") {
		r.say("The job goes on: bitsadmin /INFO %[1]s shows it; when it is TRANSFERRED, bitsadmin /COMPLETE %[1]s ends it.", guid(spec.ID))
		return exitStillRuns
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if _, err := r.Client.Cancel(last, spec.ID); err != nil && !errors.Is(err, bits.ErrNotFound) {
		return err
	}
	r.say("The job is canceled.")
	return err
}

// follow shows how far a job is until it has ended, and ends it.
func (r *run) follow(ctx context.Context, id string) error {
	d, pause := display{run: r}, 20*time.Millisecond
	for {
		j, err := r.Client.Job(ctx, id)
		if errors.Is(err, client.ErrUnreachable) {
			err = r.Connect(ctx) // one that died is started again
		} else if err == nil {
			if err := d.draw(j); err != nil {
				return err
			}
			switch j.State {
			case bits.StateTransferred:
				code, err := r.Client.Complete(context.WithoutCancel(ctx), id)
				return r.done(code, err, "Transfer complete.")
			case bits.StateAcknowledged:
				return r.done(0, nil, "Transfer complete.")
			case bits.StateCancelled:
				return bits.Errorf(hresult.BG_E_INVALID_STATE, "cannot transfer %q: the job was canceled", j.DisplayName)
			case bits.StateError:
				for _, line := range errorLines(j) {
					r.say("%s", line)
				}
				_, err := r.Client.Cancel(ctx, id)
				e := cmp.Or(j.Error, &bits.JobError{Code: hresult.E_FAIL})
				return cmp.Or[error](err, &bits.Error{Code: e.Code, Context: e.Context, Message: e.Message})
			}
		}
		if err != nil {
			return err
		}
		select {
		case <-time.After(pause):
			pause = min(2*pause, 400*time.Millisecond)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// display shows a job in two lines, and why it waits: drawn again in their place on a terminal, elsewhere printed when there is
// something new.
type display struct {
	*run
	shown string
	lines int // that are on the terminal
	state bits.State
	at    time.Time
}

// every is the time between two reports of progress in a file or a pipe.
const every = 5 * time.Second

func (d *display) draw(j *bits.Job) error {
	p := j.Progress
	text := fmt.Sprintf("BYTES: %d / %s", p.BytesTransferred, size(p.BytesTotal))
	if p.BytesTotal != nil && *p.BytesTotal > 0 {
		text += fmt.Sprintf(" (%d%%)", p.BytesTransferred*100 / *p.BytesTotal)
	}
	lines := []string{
		progress.Clean(fmt.Sprintf("DISPLAY: '%s' TYPE: %s STATE: %s", j.DisplayName, typeName(j.Type), j.State)),
		fmt.Sprintf("PRIORITY: %s FILES: %d / %d %s", j.Priority, p.FilesTransferred, p.FilesTotal, text),
	}
	if j.State == bits.StateTransientError {
		lines = append(lines, errorLines(j)...)
	}
	now := strings.Join(lines, "\n")
	drawn := d.shown != ""
	if d.raw || now == d.shown || drawn && d.screen == 0 && j.State == d.state && time.Since(d.at) < every {
		return nil
	}
	if d.screen > 0 && drawn {
		fmt.Fprintf(d.out, "\x1b[%dA\x1b[J", d.lines)
	}
	d.shown, d.lines, d.state, d.at = now, len(lines), j.State, time.Now()
	for _, line := range lines {
		if d.screen > 0 { // a line that wraps would be two to go back over
			line = progress.Cut(line, d.screen-1)
		}
		fmt.Fprintln(d.out, line)
	}
	return d.out.Flush()
}

// monitor lists the jobs again and again, until the context ends.
func monitor(ctx context.Context, r *run, jobs []bits.Job) (err error) {
	seconds := uint32(5)
	if s, ok := r.flags["REFRESH"]; ok {
		if seconds, err = parseNumber(s); err != nil || seconds == 0 {
			return cmp.Or(err, error(invalid("cannot refresh every 0 seconds: one second is the least")))
		}
	}
	for {
		if r.screen > 0 {
			r.out.WriteString("\x1b[H\x1b[2J")
		}
		r.say("Monitoring the jobs every %d second(s). Press Ctrl+C to end.", seconds)
		for i := range jobs {
			r.line("%s", summary(&jobs[i]))
		}
		if err := r.out.Flush(); err != nil {
			return err
		}
		select {
		case <-time.After(time.Duration(seconds) * time.Second):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if jobs, err = r.jobs(ctx); errors.Is(err, client.ErrUnreachable) {
			if err = r.Connect(ctx); err == nil { // one that died is started again
				jobs, err = r.jobs(ctx)
			}
		}
		if err != nil {
			return err
		}
	}
}
