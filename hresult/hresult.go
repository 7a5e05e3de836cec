// Package hresult knows every code that a user of the service can see: its name, its message, whether it is worth another try, and
// the way out.
//
// All of it stands in the table codes.txt.
// Sources: the page "BITS Return Values", bitsmsg.h, and the WinHTTP and COM error pages of Microsoft.
package hresult

import (
	_ "embed"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
)

//go:embed codes.txt
var text string

// Code is an HRESULT.
type Code uint32

// Row is one line of the table.
type Row struct {
	Code    Code
	Name    string
	Class   byte // T transient, F fatal, M of a call, S success, I text only
	Context int  // BG_ERROR_CONTEXT of a job that fails with it, if nothing else is known; 0: no job does
	Exit    int  // of a command that fails with it
	Message string
	Hint    string
}

type table struct {
	rows   []Row
	byCode map[Code]*Row
	byName map[string]*Row
}

var codes = sync.OnceValue(func() *table {
	t := &table{byCode: map[Code]*Row{}, byName: map[string]*Row{}}
	for line := range strings.SplitSeq(text, "\n") {
		cells := strings.Split(line, "|")
		if strings.HasPrefix(line, "#") || len(cells) != 7 {
			continue
		}
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		n, _ := strconv.ParseUint(cells[0], 0, 32)
		context, _ := strconv.Atoi(cells[3])
		exit, _ := strconv.Atoi(cells[4])
		t.rows = append(t.rows, Row{Code(n), cells[1], cells[2][0], context, exit, cells[5], cells[6]})
	}
	for i := range t.rows {
		t.byCode[t.rows[i].Code], t.byName[t.rows[i].Name] = &t.rows[i], &t.rows[i]
	}
	return t
})

// Rows returns the table, in its order.
func Rows() []Row { return append([]Row(nil), codes().rows...) }

// String returns eight hexadecimal digits after "0x".
func (c Code) String() string { return fmt.Sprintf("0x%08X", uint32(c)) }

// status is the HTTP status in the code, 0 if there is none.
func (c Code) status() int {
	if s := int(c & 0xffff); c>>16 == 0x8019 && s >= 100 && s < 1000 {
		return s
	}
	return 0
}

// httpName begins the name of the code of every HTTP status, also of those that bitsmsg.h does not name.
const httpName = "BG_E_HTTP_ERROR_"

// Name returns the official name, or "".
func (c Code) Name() string {
	if r := codes().byCode[c]; r != nil {
		return r.Name
	}
	if s := c.status(); s != 0 {
		return httpName + strconv.Itoa(s)
	}
	return ""
}

// Message returns what the code means, for people, or "" if it is not known.
// HTTP statuses and Windows errors that are not in the table have at least their number.
func (c Code) Message() string {
	if r := codes().byCode[c]; r != nil {
		return r.Message
	}
	if s := c.status(); s != 0 {
		return strings.TrimSpace(fmt.Sprintf("The server answered %d %s", s, http.StatusText(s)))
	}
	if c>>16 == 0x8007 {
		return fmt.Sprintf("Windows error %d", uint32(c&0xffff))
	}
	return ""
}

// Hint returns the way out, or "".
func (c Code) Hint() string {
	if r := codes().byCode[c]; r != nil {
		return r.Hint
	}
	return ""
}

// Context returns the BG_ERROR_CONTEXT of a job that fails with the code, if nothing else is known; 0 if no job does.
func (c Code) Context() int {
	if r := codes().byCode[c]; r != nil {
		return r.Context
	}
	if c.status() != 0 {
		return 5 // the remote file
	}
	return 1 // unknown
}

// Failed reports whether the code is a failure.
func (c Code) Failed() bool { return c&0x80000000 != 0 }

// Transient reports whether a job that fails with the code is tried again by itself.
// A code that is not in the table is.
func (c Code) Transient() bool {
	if s := c.status(); s != 0 {
		fatal := s >= 300 && s <= 305 || s == 307 || s == 308 || s >= 400 && s < 500 && s != 408 && s != 409 || s == 501 || s == 505
		return !fatal
	}
	if r := codes().byCode[c]; r != nil {
		return r.Class == 'T'
	}
	return true
}

// Exit returns the exit code of a command that fails with the code.
func (c Code) Exit() int {
	if r := codes().byCode[c]; r != nil {
		return r.Exit
	}
	switch s := c.status(); {
	case s >= 400 && s < 500:
		return 12
	case s >= 500:
		return 13
	}
	return 1
}

// MarshalText writes the code as String does.
func (c Code) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText reads what Parse reads.
func (c *Code) UnmarshalText(text []byte) (err error) {
	*c, err = Parse(string(text))
	return err
}

// Parse reads a code in hexadecimal with "0x", in decimal, also negative, or by its name.
func Parse(s string) (Code, error) {
	if r := codes().byName[s]; r != nil {
		return r.Code, nil
	}
	if status, ok := strings.CutPrefix(s, httpName); ok {
		if n, err := strconv.ParseUint(status, 10, 16); err == nil && FromHTTPStatus(int(n)).status() != 0 {
			return FromHTTPStatus(int(n)), nil
		}
	}
	if n, err := strconv.ParseInt(s, 0, 64); err == nil && n >= -1<<31 && n < 1<<32 {
		return Code(uint32(n)), nil
	}
	return 0, fmt.Errorf("cannot read %q as an HRESULT: write 0x and eight digits, a decimal number, or a name", s)
}

// FromHTTPStatus is the code of an HTTP status.
func FromHTTPStatus(status int) Code { return 0x80190000 | Code(status&0xffff) }

// FromWin32 is the code of a Windows system error.
func FromWin32(n uint32) Code { return 0x80070000 | Code(n&0xffff) }
