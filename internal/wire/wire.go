// Package wire holds the messages and paths of the local API.
// docs/api.md is its text for people.
package wire

import (
	"encoding/json"
	"net/http"
	"time"

	"bits"
	"bits/hresult"
)

// Version is the version of the API, the first element of every path.
const Version = "v1"

// System is the answer to GET /v1/system.
type System struct {
	API     string    `json:"api"`
	Build   Build     `json:"build"`
	PID     int       `json:"pid"`
	Started time.Time `json:"started"`
	State   string    `json:"state"`  // the folder of the store
	Owner   string    `json:"owner"`  // who the service believes the caller to be
	Busy    bool      `json:"busy"`   // a job is QUEUED, running or TRANSIENT_ERROR
	Asking  int       `json:"asking"` // applications attached: to judge certificates, or to be notified

	// AllUsers is true for the service of all users; it tells Busy and Asking to administrators only.
	AllUsers bool `json:"all_users"`
}

// Build identifies an executable.
type Build struct {
	ID   string    `json:"id"`
	Time time.Time `json:"time"` // of the file
	Path string    `json:"path"`
}

// Error is the body of every answer that is no success.
type Error struct {
	Code    hresult.Code      `json:"hresult"`
	Name    string            `json:"name"`
	Context bits.ErrorContext `json:"context"`
	Message string            `json:"message"`
	Hint    string            `json:"hint,omitempty"`
}

// FromError makes the body for an error.
func FromError(err error) Error {
	e := bits.AsError(err)
	return Error{Code: e.Code, Name: e.Code.Name(), Context: e.Context, Message: e.Message, Hint: e.Hint}
}

// Err is the error for a body.
func (e Error) Err() error {
	return &bits.Error{Code: e.Code, Context: e.Context, Message: e.Message, Hint: e.Hint}
}

// Description is the answer to GET /v1/errors/{code}: what a code means, whoever has returned it.
type Description struct {
	Code      hresult.Code      `json:"hresult"`
	Decimal   int32             `json:"decimal"`
	Name      string            `json:"name"`
	Message   string            `json:"message"`
	Hint      string            `json:"hint,omitempty"`
	Transient bool              `json:"transient"`       // a job that fails with it is tried again by itself
	Context   bits.ErrorContext `json:"context"`         // of a job that fails with it, if nothing else is known; 0: no job does
	Where     string            `json:"context_message"` // the context in words
	Exit      int               `json:"exit"`            // of a command that fails with it
}

// Describe describes a code given as hresult.Parse reads it.
// One that is not known is ERROR_RESOURCE_LANG_NOT_FOUND, as for GetErrorDescription.
func Describe(code string) (Description, error) {
	c, err := hresult.Parse(code)
	if err != nil {
		return Description{}, bits.Errorf(hresult.E_INVALIDARG, "%w", err)
	}
	if c.Message() == "" {
		return Description{}, bits.Errorf(hresult.ERROR_RESOURCE_LANG_NOT_FOUND, "cannot describe %v: it is no code of BITS, HTTP, TLS or Windows that is known here", c)
	}
	where := bits.ErrorContext(c.Context())
	return Description{c, int32(c), c.Name(), c.Message(), c.Hint(), c.Failed() && c.Transient(), where, where.Message(), c.Exit()}, nil
}

// Result is the body of a success that has nothing else to say.
// A success code that is not S_OK travels in it, BG_S_PARTIAL_COMPLETE for example.
type Result struct {
	Code  hresult.Code `json:"hresult"`
	Name  string       `json:"name"`
	Value any          `json:"value,omitempty"` // of a call that returns one
}

// Explain is the body of POST /v1/proxy: what a job would be made with.
type Explain struct {
	URL           string             `json:"url"`
	ProxySettings bits.ProxySettings `json:"proxy_settings"`
	Environment   map[string]string  `json:"environment,omitempty"`
}

// Route is the answer to it, and to GET /v1/jobs/{job}/proxy: how a URL is reached.
type Route struct {
	URL   string          `json:"url"`
	Usage bits.ProxyUsage `json:"usage"`
	Route []string        `json:"route"` // proxies without their logins, tried in order; DIRECT is none
	Why   []string        `json:"why"`   // what has decided it, for people
}

// Files is the body of POST /v1/jobs/{job}/files.
type Files struct {
	Files []bits.FileSpec `json:"files"`
}

// Jobs is the answer to GET /v1/jobs.
type Jobs struct {
	Jobs []bits.Job `json:"jobs"`
}

// SetValidation is the body of POST /v1/jobs/{job}/certificate-validation.
type SetValidation struct {
	Interface string `json:"interface"`
	Attach    bool   `json:"attach,omitempty"` // in any state but a final one: Suspend, set and Resume in one step
}

// SetNotify is the body of POST /v1/jobs/{job}/notify-interface.
type SetNotify struct {
	Interfaces []string `json:"interfaces"` // of [Callbacks]; the first is needed
}

// Callbacks are the names of the interfaces that an application can implement to be notified, each an extension of the one before.
// They stand in the place of the pointer.
var Callbacks = []string{"IBackgroundCopyCallback", "IBackgroundCopyCallback2", "IBackgroundCopyCallback3"}

// The calls of the callback interfaces, as the field Kind of a Notification has them.
const (
	JobTransferredCall        = "JobTransferred"        // flag 0x01; kept until S_OK
	JobErrorCall              = "JobError"              // flag 0x02; kept until S_OK
	JobModificationCall       = "JobModification"       // flag 0x08; not kept
	FileTransferredCall       = "FileTransferred"       // flag 0x10; IBackgroundCopyCallback2; kept until a success
	FileRangesTransferredCall = "FileRangesTransferred" // flag 0x20; IBackgroundCopyCallback3; not kept
)

// Item is one line of the stream that answers either: first the registration, then calls, at the end perhaps replaced.
type Item struct {
	Registration string             `json:"registration,omitempty"`
	Question     *bits.Question     `json:"ask,omitempty"`
	Notification *bits.Notification `json:"notify,omitempty"`
	Replaced     bool               `json:"replaced,omitempty"`
}

// ValidationItem is an Item of certificate-validation, for the document of the API.
type ValidationItem struct {
	Registration string         `json:"registration,omitempty"`
	Question     *bits.Question `json:"ask,omitempty"`
	Replaced     bool           `json:"replaced,omitempty"`
}

// NotificationItem is an Item of notify-interface, for the document of the API.
type NotificationItem struct {
	Registration string             `json:"registration,omitempty"`
	Notification *bits.Notification `json:"notify,omitempty"`
	Replaced     bool               `json:"replaced,omitempty"`
}

// Verdict is what the application returns from a call: the body of POST .../certificate-validation/{question} and of
// POST .../notify-interface/{notification}.
type Verdict struct {
	Registration string        `json:"registration"`
	Code         *hresult.Code `json:"hresult"` // needed: a verdict that is left out is none
}

// Changed is the answer to PATCH /v1/jobs/{job}: the job, and besides the code if it is another success than S_OK.
type Changed struct {
	*bits.Job
	Code hresult.Code `json:"hresult,omitempty"`
	Name string       `json:"name,omitempty"`
}

// Kinds of events.
const (
	KindState    = "state"    // the job entered a state; kept, with a number; without one it is the present state
	KindProgress = "progress" // bytes have moved; live, without a number
	KindNow      = "now"      // the present states are told; its number is the one to go on from
)

// Event is one line of GET /v1/events.
type Event struct {
	N    int64           `json:"n,omitempty"`
	At   time.Time       `json:"at"`
	Job  string          `json:"job,omitempty"`
	Kind string          `json:"kind"`
	Body json.RawMessage `json:"body"`
}

// StateEvent is the body of an event of kind "state".
type StateEvent struct {
	State bits.State     `json:"state"`
	Error *bits.JobError `json:"error,omitempty"`

	Failures  int        `json:"failures,omitempty"`   // in a row, without progress
	NextRetry *time.Time `json:"next_retry,omitempty"` // of TRANSIENT_ERROR
}

// StateOf is the body for the state that a job is in.
func StateOf(j *bits.Job) StateEvent { return StateEvent{j.State, j.Error, j.Failures, j.NextRetry} }

// statuses maps codes to HTTP statuses; what is not in it is 400 for a failure.
// Clients decide on the code only.
var statuses = map[hresult.Code]int{
	hresult.BG_E_NOT_FOUND:                 http.StatusNotFound,
	hresult.ERROR_RESOURCE_LANG_NOT_FOUND:  http.StatusNotFound,
	hresult.E_ACCESSDENIED:                 http.StatusForbidden,
	hresult.BG_E_INVALID_STATE:             http.StatusConflict,
	hresult.BG_E_EMPTY:                     http.StatusConflict,
	hresult.BG_E_READ_ONLY_WHEN_JOB_ACTIVE: http.StatusConflict,
	hresult.ERROR_FILE_EXISTS:              http.StatusConflict,
	hresult.BG_E_TOO_MANY_FILES_IN_JOB:     http.StatusTooManyRequests,
	hresult.BG_E_TOO_MANY_RANGES_IN_FILE:   http.StatusTooManyRequests,
	hresult.BG_E_TOO_MANY_JOBS_PER_USER:    http.StatusTooManyRequests,
	hresult.BG_E_TOO_MANY_JOBS_PER_MACHINE: http.StatusTooManyRequests,
	hresult.BG_E_FILE_NOT_FOUND:            http.StatusNotFound,
	hresult.E_NOTIMPL:                      http.StatusNotImplemented,
	hresult.E_FAIL:                         http.StatusInternalServerError,
	hresult.BG_E_DATABASE_CORRUPT:          http.StatusInternalServerError,
}

// Status is the HTTP status for a code.
func Status(code hresult.Code) int {
	if s, ok := statuses[code]; ok {
		return s
	}
	if code.Failed() {
		return http.StatusBadRequest
	}
	return http.StatusOK
}
