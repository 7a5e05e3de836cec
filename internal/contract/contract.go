// Package contract holds the rules of BITS as data: the properties of jobs and files, the calls that change them, and the limits.
//
// It is pure: a row says what it reads and what it makes of a job in memory.
// The queue applies it to the real one, under its lock and with a record; the local API has a route for each row.
package contract

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"bits"
	"bits/hresult"
	"bits/internal/limits"
)

// Effect is what a change does to a transfer under way.
type Effect int

// The effects.
const (
	EffectNone      Effect = iota
	EffectReconnect        // every connection of the job is closed; the transfer goes on over new ones, under the new rules
)

// Caller is who makes a call.
type Caller struct {
	Owner     string // the user's SID or "uid:N"
	Admin     bool   // the limits of policy are not for an administrator
	Integrity uint32 // of its token
	Limits    limits.Limits

	NoCommands bool // policy: notification commands are kept, and not run
}

// Outcome is what a call has done.
type Outcome struct {
	Code   hresult.Code // S_OK or another code of success
	Effect Effect
}

// Call is a call that was read and is well formed.
type Call struct {
	Targets []string // local names that must be writable
	Sources []string // local names that must be readable

	Certificate *bits.ClientCertificate // that must be found
	Apply       func(j *bits.Job, by Caller) (Outcome, error)
}

// rule says for which jobs a row is, and until when.
type rule struct {
	types []bits.JobType // nil: all
	other hresult.Code   // for a job of another type
	until limitOfTime
	late  hresult.Code // after that
}

// limitOfTime is the moment from which a property cannot be set.
type limitOfTime int

const (
	always limitOfTime = iota
	beforeFiles
	beforeResume
	beforeTransferred
	beforeReply
)

var momentNames = map[limitOfTime]string{
	beforeFiles: "it has files", beforeResume: "it was resumed", beforeTransferred: "it is TRANSFERRED", beforeReply: "its reply arrives",
}

// over reports whether the moment has come.
func (l limitOfTime) over(j *bits.Job) bool {
	switch l {
	case beforeFiles:
		return len(j.Files) > 0
	case beforeResume:
		return j.Resumed
	case beforeTransferred:
		return j.State == bits.StateTransferred
	case beforeReply:
		return j.ReplyProgress != nil && j.ReplyProgress.BytesTotal != nil
	}
	return false
}

// allows returns the error of a job that has no such thing.
func (r rule) allows(what string, j *bits.Job) error {
	if r.types != nil && !slices.Contains(r.types, j.Type) {
		return bits.Errorf(r.other, "cannot use %s with job %s: its type is %s", what, j.ID, j.Type)
	}
	return nil
}

// settable returns the error of a job that is too far.
func (r rule) settable(what string, j *bits.Job) error {
	if err := r.allows(what, j); err != nil {
		return err // for good, so it is said first
	}
	if r.until.over(j) {
		return bits.Errorf(r.late, "cannot set %s of job %s: %s", what, j.ID, momentNames[r.until]).WithHint("make a new job, and set it at once")
	}
	return nil
}

// notFinal is the rule of everything that changes a job.
func notFinal(what string, j *bits.Job) error {
	if j.State.Final() || j.Completing {
		state := j.State.String()
		if j.Completing {
			state = "being completed"
		}
		return bits.Errorf(hresult.BG_E_INVALID_STATE, "cannot %s job %s: it is %s", what, j.ID, state)
	}
	return nil
}

// decode reads a value strictly: known fields, and null only where null has a meaning.
func decode(raw bits.RawMessage, into any) error {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	err := dec.Decode(into)
	if err == nil && string(bytes.TrimSpace(raw)) == "null" && !nullable(into) {
		err = errors.New("null is no value for it")
	}
	return Misread(err)
}

// Misread says why JSON could not be read, to somebody who does not know Go.
func Misread(err error) error {
	var wrong *json.UnmarshalTypeError
	switch {
	case errors.As(err, &wrong):
		kind, number, _ := strings.Cut(wrong.Value, " ") // "number -1"
		what := map[string]string{"bool": "true or false", "array": "an array", "object": "an object"}[kind]
		if what = cmp.Or(what, "a "+kind); number != "" {
			what = "the number " + number
		}
		return fmt.Errorf("%s cannot be %s", cmp.Or(wrong.Field, "it"), what)
	case err != nil && strings.HasPrefix(err.Error(), "json: "):
		return errors.New(strings.TrimPrefix(err.Error(), "json: "))
	}
	return err
}

// text is a string for which BITS takes NULL: the same as an empty one.
type text string

// nullable reports whether null has a meaning: no text, or no value.
func nullable(v any) bool {
	switch v.(type) {
	case *text, **bits.Backoff, **bits.Command, **bits.ClientCertificate, **int64:
		return true
	}
	return false
}

// refused makes the error of a value that cannot be read, or was refused.
func refused(what, doc string, err error) error {
	if e := bits.AsError(err); e.Code != hresult.E_FAIL {
		hint := e.Hint
		e = bits.Errorf(e.Code, "cannot set %s: %w", what, err)
		e.Hint = hint
		return e
	}
	return bits.Errorf(hresult.E_INVALIDARG, "cannot set %s: %w", what, err).WithHint("it is: %s", doc)
}

func atMost(n int, code hresult.Code) func(*bits.Job, *string) error {
	return func(_ *bits.Job, s *string) error {
		if got := utf8.RuneCountInString(*s); got > n {
			return bits.Errorf(code, "it has %d characters, and %d are allowed", got, n)
		}
		return nil
	}
}

// within returns the error of a caller who would have n of something that a limit is set for; administrators are exempt.
func (c Caller) within(name string, n int, what string) error {
	if c.Admin {
		return nil
	}
	return c.Limits.Within(name, n, what)
}

// MoreJobs returns the error of a caller who would make one job more than the limits allow.
func (c Caller) MoreJobs(mine, all int) error {
	if err := c.within(limits.MaxJobsPerUser, mine+1, "jobs of one user"); err != nil {
		return err
	}
	return c.within(limits.MaxJobsPerMachine, all+1, "jobs of all users")
}
