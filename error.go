package bits

import (
	"errors"
	"fmt"

	"bits/hresult"
)

// ErrorContext says which part of the service an error belongs to (BG_ERROR_CONTEXT).
type ErrorContext int

// The error contexts of BITS (BG_ERROR_CONTEXT in bits.h).
const (
	ContextNone                ErrorContext = 0
	ContextUnknown             ErrorContext = 1
	ContextQueueManager        ErrorContext = 2
	ContextNotification        ErrorContext = 3
	ContextLocalFile           ErrorContext = 4
	ContextRemoteFile          ErrorContext = 5
	ContextGeneralTransport    ErrorContext = 6
	ContextRemoteApplication   ErrorContext = 7
	ContextCertificateCallback ErrorContext = 8
)

// contexts are their codes in bitsmsg.h, which have the names and the descriptions.
var contexts = []hresult.Code{
	hresult.BG_S_ERROR_CONTEXT_NONE,
	hresult.BG_E_ERROR_CONTEXT_UNKNOWN,
	hresult.BG_E_ERROR_CONTEXT_GENERAL_QUEUE_MANAGER,
	hresult.BG_E_ERROR_CONTEXT_QUEUE_MANAGER_NOTIFICATION,
	hresult.BG_E_ERROR_CONTEXT_LOCAL_FILE,
	hresult.BG_E_ERROR_CONTEXT_REMOTE_FILE,
	hresult.BG_E_ERROR_CONTEXT_GENERAL_TRANSPORT,
	hresult.BG_E_ERROR_CONTEXT_REMOTE_APPLICATION,
	hresult.BG_E_ERROR_CONTEXT_SERVER_CERTIFICATE_CALLBACK,
}

func (c ErrorContext) code() hresult.Code {
	if c < 0 || int(c) >= len(contexts) {
		c = ContextUnknown
	}
	return contexts[c]
}

// String returns the name in bits.h.
func (c ErrorContext) String() string { return "BG_" + c.code().Name()[len("BG_E_"):] }

// Message says in a sentence where it went wrong (GetErrorContextDescription).
func (c ErrorContext) Message() string { return c.code().Message() }

// Error is the one type of error that crosses a border a user can see: the local API, the client package and the command line.
// It reads "cannot x: cause".
type Error struct {
	Code    hresult.Code // what BITS would return
	Context ErrorContext // the part of the service concerned; ContextNone for a refused call
	Message string       // "cannot x: cause", without the code
	Hint    string       // the way out; empty if there is none to give
	Err     error        // what caused it, for errors.Is; never sent over the API
	After   Seconds      // how long the server asks to be left alone (Retry-After); 0: it says nothing
}

// Errorf makes an Error for a refused call.
// A %w in the format works as in fmt.Errorf.
func Errorf(code hresult.Code, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Code: code, Message: err.Error(), Err: errors.Unwrap(err), Hint: code.Hint()}
}

// In returns the error with another context.
func (e *Error) In(c ErrorContext) *Error {
	d := *e
	d.Context = c
	return &d
}

// WithHint returns the error with another hint.
func (e *Error) WithHint(format string, args ...any) *Error {
	d := *e
	d.Hint = fmt.Sprintf(format, args...)
	return &d
}

func (e *Error) Error() string { return e.Message }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Is reports whether the target is an Error with the same code, so that errors.Is(err, ErrNotFound) works on both sides of the API.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code && t.Message == ""
}

// Targets for errors.Is.
var (
	ErrNotFound           = &Error{Code: hresult.BG_E_NOT_FOUND}
	ErrInvalidState       = &Error{Code: hresult.BG_E_INVALID_STATE}
	ErrEmpty              = &Error{Code: hresult.BG_E_EMPTY}
	ErrNoInterface        = &Error{Code: hresult.E_NOINTERFACE}
	ErrReadOnlyWhenActive = &Error{Code: hresult.BG_E_READ_ONLY_WHEN_JOB_ACTIVE}
	ErrInvalidArg         = &Error{Code: hresult.E_INVALIDARG}
	ErrAccessDenied       = &Error{Code: hresult.E_ACCESSDENIED}
)

// AsError returns err as an Error.
// One that is none yet becomes E_FAIL with the text of err.
func AsError(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		if e.Error() == err.Error() {
			return e
		}
		d := *e
		d.Message, d.Err = err.Error(), err
		return &d
	}
	return &Error{Code: hresult.E_FAIL, Context: ContextUnknown, Message: err.Error(), Err: err}
}
