package bits

import (
	"fmt"
	"slices"
	"strings"

	"bits/hresult"
)

// State is the state of a job (BG_JOB_STATE).
type State int

// The states of a job, with the numbers of bits.h.
const (
	StateQueued         State = iota // ready, waits for its turn
	StateConnecting                  // contacts the server
	StateTransferring                // bytes are moving
	StateSuspended                   // paused by its owner, or new
	StateError                       // a fatal error: needs its owner
	StateTransientError              // a recoverable error: tried again by itself
	StateTransferred                 // all is there, waits for Complete
	StateAcknowledged                // completed: the files have their names
	StateCancelled                   // cancelled: the temporary files are gone
	numStates           = iota
)

var stateNames = []string{"QUEUED", "CONNECTING", "TRANSFERRING", "SUSPENDED", "ERROR", "TRANSIENT_ERROR", "TRANSFERRED", "ACKNOWLEDGED", "CANCELLED"}

// String returns the name without its prefix BG_JOB_STATE_.
func (s State) String() string { return name(stateNames, int(s)) }

// MarshalText makes states readable in JSON.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText accepts what MarshalText writes.
func (s *State) UnmarshalText(text []byte) (err error) {
	*s, err = parse[State]("state", stateNames, text)
	return err
}

// Final reports whether the job has left the queue.
func (s State) Final() bool { return s == StateAcknowledged || s == StateCancelled }

// Running reports whether a transfer may be under way.
func (s State) Running() bool { return s == StateConnecting || s == StateTransferring }

// Paused reports whether nothing will run before the owner acts: SUSPENDED, ERROR or TRANSFERRED.
// SetServerCertificateValidationInterface is legal only then.
func (s State) Paused() bool {
	return s == StateSuspended || s == StateError || s == StateTransferred
}

// Action is what moves a job from state to state: a call of its owner, or what the service observes.
type Action int

// The actions.
// The first four are calls of the owner.
const (
	Resume        Action = iota
	Suspend              // by the owner
	Complete             // keep what is finished
	Cancel               // drop the job
	Begin                // the scheduler picks the job
	Contact              // the server answered
	Yield                // the time slice is over, a better job came, or the service restarts
	Finish               // the last file is there
	FailTransient        // a recoverable error
	FailFatal            // a fatal error, or the end of patience
	Retry                // the retry delay is over
	Expire               // no activity for 90 days
	Invalidate           // the owner declares the content of a finished file invalid
	Satisfy              // in on-demand mode: what was requested is there, and a file is not whole
	numActions    = iota
)

var actionNames = []string{"resume", "suspend", "complete", "cancel", "begin", "contact", "yield", "finish", "fail-transient", "fail-fatal", "retry", "expire", "invalidate", "satisfy"}

// String returns the verb.
func (a Action) String() string { return name(actionNames, int(a)) }

const no = State(-1)

// lifecycle is the whole state machine: what each action makes of each state.
// Source: "Life Cycle of a BITS Job" and the pages of Suspend, Resume, Complete and Cancel.
var lifecycle = [numActions][numStates]State{
	//              QUEUED               CONNECTING           TRANSFERRING         SUSPENDED          ERROR              TRANSIENT_ERROR    TRANSFERRED        ACK CANCELLED
	Resume:        {StateQueued, StateConnecting, StateTransferring, StateQueued, StateQueued, StateQueued, StateTransferred, no, no},
	Suspend:       {StateSuspended, StateSuspended, StateSuspended, StateSuspended, StateSuspended, StateSuspended, StateTransferred, no, no},
	Complete:      {StateAcknowledged, StateAcknowledged, StateAcknowledged, StateAcknowledged, StateAcknowledged, StateAcknowledged, StateAcknowledged, no, no},
	Cancel:        {StateCancelled, StateCancelled, StateCancelled, StateCancelled, StateCancelled, StateCancelled, StateCancelled, no, no},
	Begin:         {StateConnecting, no, no, no, no, no, no, no, no},
	Contact:       {no, StateTransferring, StateTransferring, no, no, no, no, no, no},
	Yield:         {StateQueued, StateQueued, StateQueued, no, no, no, no, no, no},
	Finish:        {no, StateTransferred, StateTransferred, no, no, no, no, no, no},
	FailTransient: {StateTransientError, StateTransientError, StateTransientError, no, no, no, no, no, no},
	FailFatal:     {no, StateError, StateError, no, no, StateError, StateError, no, no},
	Retry:         {no, no, no, no, no, StateQueued, no, no, no},
	Expire:        {StateCancelled, StateCancelled, StateCancelled, StateCancelled, StateCancelled, StateCancelled, StateCancelled, no, no},
	Invalidate:    {StateError, StateError, StateError, StateError, StateError, StateError, StateError, no, no},
	Satisfy:       {no, StateSuspended, StateSuspended, no, no, no, no, no, no},
}

// After returns the state that the action leads to, or BG_E_INVALID_STATE.
func (s State) After(a Action) (State, error) {
	if s < 0 || s >= numStates || a < 0 || a >= numActions || lifecycle[a][s] == no {
		return s, Errorf(hresult.BG_E_INVALID_STATE, "cannot %s a job that is %s", a, s)
	}
	return lifecycle[a][s], nil
}

// After is [State.After] for this job: it knows besides that a job without files cannot be resumed (BG_E_EMPTY), that an upload
// is completed only when it is TRANSFERRED, and that a TRANSFERRED job with new files is queued again by Resume.
func (j *Job) After(a Action) (State, error) {
	next, err := j.State.After(a)
	if err != nil {
		return j.State, Errorf(hresult.BG_E_INVALID_STATE, "cannot %s job %s: it is %s", a, j.ID, j.State)
	}
	switch {
	case a == Resume && j.State == StateSuspended && len(j.Files) == 0:
		return j.State, Errorf(hresult.BG_E_EMPTY, "cannot resume job %s: it has no files", j.ID).WithHint("add a file with: bits add %s URL", j.ID)
	case a == Resume && j.State == StateTransferred && slices.ContainsFunc(j.Files, func(f File) bool { return !f.Finished }):
		return StateQueued, nil
	case a == Complete && j.Type != Download && j.State != StateTransferred:
		return j.State, Errorf(hresult.BG_E_INVALID_STATE, "cannot complete job %s: an upload can be completed only when it is TRANSFERRED, and this one is %s", j.ID, j.State)
	}
	return next, nil
}

func name(names []string, n int) string {
	if n < 0 || n >= len(names) {
		return fmt.Sprintf("unknown(%d)", n)
	}
	return names[n]
}

func parse[T ~int](what string, names []string, text []byte) (T, error) {
	for i, n := range names {
		if equalFold(n, string(text)) {
			return T(i), nil
		}
	}
	return 0, Errorf(hresult.E_NOTIMPL, "cannot take %q as a %s: it is one of %s", text, what, strings.Join(names, ", ")).WithHint("write one of these names")
}
