package bitsadmin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"bits"
	"bits/client"
	"bits/hresult"
	"bits/internal/progress"
)

// errDeadline is the end of the patience of /DEADLINE.
var errDeadline = errors.New("the deadline is over")

// transfer makes a job, waits for it and completes it.
// Everything is checked before there is a job: it is made with its files in one call.
func transfer(ctx context.Context, r *run, o operands) error {
	t, err := jobType(o)
	if err != nil {
		return err
	}
	files, err := parsePairs(o.words[1:])
	if err != nil {
		return err
	}
	values := map[string]any{}
	if p, ok := o.flags["PRIORITY"]; ok {
		values["priority"] = p
	}
	if letters, ok := o.flags["ACLFLAGS"]; ok {
		if values["file_acl_flags"], err = parseACL(letters); err != nil {
			return err
		}
	}
	if o.has("DYNAMIC") {
		values["dynamic_content"] = true
	}
	spec := bits.Spec{ID: bits.NewID(), Type: t, DisplayName: o.words[0], Files: files, Properties: map[string]bits.RawMessage{}, Resume: true}
	for name, v := range values {
		if spec.Properties[name], err = json.Marshal(v); err != nil {
			return err
		}
	}
	limited := ctx
	if s, ok := o.flags["DEADLINE"]; ok {
		n, err := parseNumber(s)
		if err != nil {
			return err
		}
		var cancel context.CancelFunc
		limited, cancel = context.WithTimeoutCause(ctx, time.Duration(n)*time.Second, errDeadline)
		defer cancel()
	}
	err = r.Connect(limited)
	if err == nil {
		// Cut short, this call would leave a job of which nobody knows.
		if _, err = r.Client.Create(context.WithoutCancel(limited), spec); err == nil {
			err = r.follow(limited, spec.ID)
		}
	}
	return r.stopped(ctx, limited, err, spec, o.has("DETACHONINTERRUPT"))
}

// stopped ends a transfer whose waiting was cut short: the job is dropped, unless it is to stay behind.
func (r *run) stopped(ctx, limited context.Context, err error, spec bits.Spec, stays bool) error {
	cause := context.Cause(limited)
	if err == nil || cause == nil || !errors.Is(err, cause) {
		return err
	}
	if r.screen > 0 {
		r.say("") // after the ^C
	}
	if ctx.Err() != nil && stays {
		r.say("The job goes on: bitsadmin /INFO %s shows it; when it is TRANSFERRED, bitsadmin /COMPLETE %s ends it.", guid(spec.ID), guid(spec.ID))
		return exitStillRuns
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if _, err := r.Client.Cancel(last, spec.ID); err != nil && !errors.Is(err, bits.ErrNotFound) {
		return err
	}
	r.say("The job is canceled.")
	if cause == errDeadline {
		return bits.Errorf(hresult.ERROR_TIMEOUT, "cannot transfer %q: %w", spec.DisplayName, errDeadline)
	}
	return cause
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
				code, err := r.Client.Complete(ctx, id)
				if err != nil {
					return err
				}
				return r.done(code, "Transfer complete.")
			case bits.StateAcknowledged:
				return r.done(0, "Transfer complete.")
			case bits.StateCancelled:
				return bits.Errorf(hresult.BG_E_INVALID_STATE, "cannot transfer %q: the job was canceled", j.DisplayName)
			case bits.StateError:
				return r.failed(ctx, j)
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

// failed prints the error of a job, and drops the job.
func (r *run) failed(ctx context.Context, j *bits.Job) error {
	for _, line := range errorLines(j) {
		r.say("%s", line)
	}
	_, err := r.Client.Cancel(ctx, j.ID)
	if err != nil || j.Error == nil {
		return errors.Join(bits.Errorf(hresult.E_FAIL, "cannot transfer %q", j.DisplayName), err)
	}
	return &bits.Error{Code: j.Error.Code, Context: j.Error.Context, Message: j.Error.Message}
}

// display shows a job in two lines: drawn again in their place on a terminal, elsewhere printed when there is something new.
type display struct {
	*run
	shown string
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
	now := lines[0] + lines[1]
	drawn := d.shown != ""
	if d.raw || now == d.shown || drawn && d.screen == 0 && j.State == d.state && time.Since(d.at) < every {
		return nil
	}
	d.shown, d.state, d.at = now, j.State, time.Now()
	if d.screen > 0 && drawn {
		d.out.WriteString("\x1b[2A\x1b[J")
	}
	for _, line := range lines {
		if d.screen > 0 { // a line that wraps would be two to go back over
			line = progress.Cut(line, d.screen-1)
		}
		fmt.Fprintln(d.out, line)
	}
	return d.out.Flush()
}

// monitor lists the jobs again and again, until the context ends.
func monitor(ctx context.Context, r *run, o operands) error {
	seconds := uint32(5)
	if s, ok := o.flags["REFRESH"]; ok {
		var err error
		if seconds, err = parseNumber(s); err != nil {
			return err
		}
		if seconds < 1 || seconds > math.MaxInt32 {
			return invalid("cannot refresh every %d seconds: one second is the least", seconds)
		}
	}
	for {
		jobs, err := r.jobs(ctx, o)
		if err != nil {
			return err
		}
		if r.screen > 0 {
			r.out.WriteString("\x1b[H\x1b[2J")
		}
		r.say("Monitoring the jobs every %s second(s). Press Ctrl+C to end.", strconv.Itoa(int(seconds)))
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
	}
}
