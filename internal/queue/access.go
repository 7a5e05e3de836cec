package queue

import (
	"cmp"
	"slices"

	"bits"
	"bits/hresult"
	"bits/internal/contract"
	"bits/internal/ipc"
	"bits/internal/notify"
	"bits/internal/store"
	"bits/internal/tempfile"
)

// FileAccess returns nil if the service may touch the files of the job, else E_NOTIMPL of the local file.
// It is the only place that decides it: before names are checked, before a run begins, before files are renamed or removed.
//
// A service without privilege can do no more than its own user can.
// One with privilege would do for everybody what he cannot do himself, so it touches only the paths that its own user has named.
// A job that was taken over still has the paths of the owner before: /etc/shadow, perhaps, or a folder that he makes a link to /etc in
// time.
func FileAccess(j *bits.Job) error {
	self, named := ipc.Self(), cmp.Or(j.TakenFrom, j.Owner)
	switch {
	case !self.Admin || named == self.Owner:
		return nil
	case j.TakenFrom != "":
		return bits.Errorf(hresult.E_NOTIMPL, "cannot touch the files of job %s: %s has named them, and this service cannot write files as another user yet", j.ID, named).
			In(bits.ContextLocalFile).WithHint("make a job of your own, with names that you have chosen")
	}
	return bits.Errorf(hresult.E_NOTIMPL, "cannot touch the files of job %s: it belongs to %s, and this service cannot write files as another user yet", j.ID, named).
		In(bits.ContextLocalFile).WithHint("use your own service: the same command without --system")
}

// checkLocal checks local names: on the disk where the service may look there, else as text, so that it tells nobody what he cannot see.
// It does so before the lock is taken.
func checkLocal(j *bits.Job, c contract.Call) error {
	target, source := tempfile.Check, tempfile.CheckSource
	if FileAccess(j) != nil {
		target, source = tempfile.CheckName, tempfile.CheckName
	}
	for _, local := range c.Targets {
		if err := target(local); err != nil {
			return err
		}
	}
	for _, local := range c.Sources {
		if err := source(local); err != nil {
			return err
		}
	}
	return nil
}

// Own makes the caller the owner of the job (TakeOwnership), and removes what the owner before trusted it with: see [bits.Job.Strip].
// The requirement of a validator stays, but nothing is remembered as accepted: the job fails closed.
// BG_E_INVALID_STATE if the job is final or being completed; BG_E_NEW_OWNER_NO_FILE_ACCESS if a folder or temporary file of an unfinished
// file cannot be reached.
// For the owner himself it only records anew how he is elevated.
func (q *Queue) Own(id string, caller contract.Caller) error {
	j, err := q.Get(id)
	if err != nil {
		return err
	}
	if j.Owner == caller.Owner {
		return q.change(id, func(j *bits.Job, _ *store.Change) error { return taken(j, caller) })
	}
	if err = takeable(j); err == nil {
		err = reachable(j)
	}
	if err != nil {
		return err
	}
	defer q.hold(id)()
	return q.change(id, func(j *bits.Job, c *store.Change) error {
		lost := stateEvent(j) // so that who follows it as its owner looks, and finds it gone
		before := j.Owner
		if err := taken(j, caller); err != nil {
			return err
		}
		j.TakenFrom = cmp.Or(j.TakenFrom, before)
		j.Strip()
		c.Files, c.ForgetAccepted = all(j.Files), true
		c.Events = append(c.Events, lost, stateEvent(j))
		q.hub.Remove(id, notify.Certificates)
		q.hub.Remove(id, notify.Notifications)
		return nil
	})
}

// takeable returns nil for a job that can get another owner.
func takeable(j *bits.Job) error {
	if j.State.Final() || j.Completing {
		return bits.Errorf(hresult.BG_E_INVALID_STATE, "cannot take job %s: it is %s, or being completed", j.ID, j.State)
	}
	return nil
}

func taken(j *bits.Job, by contract.Caller) error {
	j.Owner, j.OwnerElevated, j.OwnerIntegrity = by.Owner, by.Admin, by.Integrity
	return takeable(j)
}

// reachable looks whether the service reaches the folders and the temporary files of what is unfinished.
// Only an administrator asks, and nothing is opened.
func reachable(j *bits.Job) error {
	for _, f := range j.Files {
		if f.Completed {
			continue
		}
		err := tempfile.Check(f.LocalName)
		if err == nil && len(f.Done) > 0 {
			err = tempfile.Exists(f.Temporary)
		}
		if err != nil {
			return bits.Errorf(hresult.BG_E_NEW_OWNER_NO_FILE_ACCESS, "cannot take job %s: %w", j.ID, err).In(bits.ContextLocalFile)
		}
	}
	return nil
}

// begun reports whether there may be temporary files of the job.
func begun(j *bits.Job) bool {
	return slices.ContainsFunc(j.Files, func(f bits.File) bool { return !f.Completed && (f.Validator != nil || len(f.Done) > 0) })
}
