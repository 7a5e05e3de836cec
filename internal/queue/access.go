package queue

import (
	"cmp"
	"slices"

	"bits"
	"bits/hresult"
	"bits/internal/contract"
	"bits/internal/notify"
	"bits/internal/store"
	"bits/internal/tempfile"
)

// Own makes the caller the owner of the job (TakeOwnership), and removes what the owner before trusted it with: see [contract.Strip].
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
		contract.Strip(j)
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
