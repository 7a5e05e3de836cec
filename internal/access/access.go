// Package access decides which files the service may touch for a job.
package access

import (
	"cmp"

	"bits"
	"bits/hresult"
	"bits/internal/certstore"
	"bits/internal/contract"
	"bits/internal/ipc"
	"bits/internal/tempfile"
)

// Files returns nil if the service may touch the files of the job, else E_NOTIMPL of the local file.
// It is the only place that decides it: before names are checked, before a run begins, before files are renamed or removed.
//
// A service without privilege can do no more than its own user can.
// One with privilege would do for everybody what he cannot do himself, so it touches only the paths that its own user has named.
// A job that was taken over still has the paths of the owner before: /etc/shadow, perhaps, or a folder that he makes a link to /etc in
// time.
func Files(j *bits.Job) error {
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

// Check checks local names, and whether there is the certificate that a call names: on the disk where the service may look there, else as text, so that it tells nobody what he cannot see.
// It does so before the lock is taken.
func Check(j *bits.Job, c contract.Call) error {
	target, source := tempfile.Check, tempfile.CheckSource
	if Files(j) != nil {
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
	if c.Certificate == nil {
		return nil
	}
	if Files(j) != nil {
		return bits.Errorf(hresult.E_ACCESSDENIED, "cannot use the certificate for job %s: this service reads no certificates and keys of other users yet", j.ID).
			WithHint("use your own service: the same command without --system")
	}
	_, err := certstore.Find(c.Certificate, j.Secrets.Environment)
	return err
}
