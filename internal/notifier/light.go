package notifier

import (
	"context"
	"time"

	"bits"
	"bits/internal/contract"
	"bits/internal/queue"
	"bits/internal/wire"
)

// modified reports whether JobModification is due for the job.
func modified(v queue.View, s *state) bool {
	return s.object != nil && wanted(v.Job, bits.NotifyModification) && v.Changes > s.seen
}

// planLight plans what is not kept: JobModification, and FileRangesTransferred.
// Each is spaced by the minimum notification interval; what happens meanwhile is told with the next one, or, when the job is
// TRANSFERRED or ERROR, perhaps never.
func (n *Notifier) planLight(ctx context.Context, now time.Time, v queue.View, s *state, at func(time.Time) bool) (acts []act) {
	if s.object == nil || v.Job.NotifyFlags&bits.NotifyDisable != 0 {
		return nil
	}
	plan := func(l *light, send func()) {
		if !l.busy && at(l.next) {
			acts = append(acts, act{v.Job, 0, func() {
				l.busy, l.next = true, now.Add(time.Duration(v.Job.MinimumNotificationInterval)*time.Millisecond)
				send()
			}})
		}
	}
	if l := &s.light[0]; modified(v, s) {
		plan(l, func() {
			s.seen = v.Changes
			n.send(ctx, v.Job, s.object, bits.Notification{Kind: wire.JobModificationCall}, func(bool, bool) { l.busy = false })
		})
	}
	if l := &s.light[1]; wanted(v.Job, bits.NotifyRanges) && s.object.Takes&bits.NotifyRanges != 0 && !v.Job.State.Final() {
		if file, fresh := untold(v.Job, s); fresh != nil {
			plan(l, func() {
				if s.told == nil {
					s.told = map[int]bits.Ranges{}
				}
				f := &v.Job.Files[file]
				s.told[file] = f.Done
				n.send(ctx, v.Job, s.object, bits.Notification{Kind: wire.FileRangesTransferredCall, File: f, Ranges: fresh}, func(bool, bool) { l.busy = false })
			})
		}
	}
	return acts
}

// untold returns the first file with ranges on stable storage that the object has not been told of, and those.
func untold(j *bits.Job, s *state) (int, []bits.FileRange) {
	for i := range j.Files {
		f := &j.Files[i]
		if len(f.Done) == 0 || !contract.RandomAccess(j, f) {
			continue
		}
		if fresh := beyond(f.Done, s.told[i]); fresh != nil {
			return i, fresh
		}
	}
	return 0, nil
}

// beyond returns what is in a and not in b.
func beyond(a, b bits.Ranges) (left []bits.FileRange) {
	for _, r := range a {
		for _, gap := range b.Gaps(r) {
			left = append(left, bits.FileRange{Offset: gap.Start, Length: gap.End - gap.Start})
		}
	}
	return left
}
