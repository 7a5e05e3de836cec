package hresult_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"regexp"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"bits/hresult"
)

func TestRows(t *testing.T) {
	names, codes, families := map[string]bool{}, map[hresult.Code]bool{}, map[string]int{}
	name := regexp.MustCompile(`^[A-Z][A-Z0-9_]*$`)
	for _, r := range hresult.Rows() {
		if names[r.Name] || codes[r.Code] {
			t.Errorf("%v %s stands there twice", r.Code, r.Name)
		}
		names[r.Name], codes[r.Code] = true, true
		families[family(r)]++
		if !name.MatchString(r.Name) || r.Message == "" {
			t.Errorf("%v: name %q, message %q", r.Code, r.Name, r.Message)
		}
		if r.Code.Failed() && r.Class == 'S' || !r.Code.Failed() && r.Class != 'S' && r.Class != 'I' {
			t.Errorf("%v %s has class %c", r.Code, r.Name, r.Class)
		}
		if got, err := hresult.Parse(r.Name); err != nil || got != r.Code {
			t.Errorf("Parse(%s) = %v, %v", r.Name, got, err)
		}
		if got, err := hresult.Parse(r.Code.String()); err != nil || got != r.Code {
			t.Errorf("Parse(%v) = %v, %v", r.Code, got, err)
		}
	}
	if want := map[string]int{"BITS": 91, "HTTP": 41, "WinHTTP": 48, "certificates": 41, "COM and Windows": 63, "event log": 12}; !maps.Equal(families, want) {
		t.Errorf("the table has %v, want %v", families, want)
	}
}

// family says where a code comes from.
func family(r hresult.Row) string {
	switch facility := r.Code >> 16 & 0x1fff; {
	case facility == 0x20:
		return "BITS"
	case facility == 0x19 && r.Code&0xffff < 1000:
		return "HTTP"
	case facility == 0x19:
		return "event log"
	case facility == 7 && r.Code&0xffff >= 12000 && r.Code&0xffff < 12200:
		return "WinHTTP"
	case facility == 9, facility == 0xb:
		return "certificates"
	}
	return "COM and Windows"
}

// codes.go has the rows of codes.txt, and nothing else.
func TestConstants(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "codes.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	there := map[string]string{}
	ast.Inspect(file, func(n ast.Node) bool {
		if v, ok := n.(*ast.ValueSpec); ok {
			there[v.Names[0].Name] = v.Values[0].(*ast.BasicLit).Value
		}
		return true
	})
	for _, r := range hresult.Rows() {
		if got := there[r.Name]; got != r.Code.String() {
			t.Errorf("%s is %s in codes.go, and %v in codes.txt", r.Name, got, r.Code)
		}
		delete(there, r.Name)
	}
	if len(there) > 0 {
		t.Errorf("only in codes.go: %v", there)
	}
}

// Whatever a person can do something about says what.
func TestHints(t *testing.T) {
	for _, r := range hresult.Rows() {
		if first, _ := utf8.DecodeRuneInString(r.Message); !unicode.IsUpper(first) || strings.HasSuffix(r.Message, ".") || strings.HasPrefix(r.Hint, "try") || strings.HasSuffix(r.Hint, ".") {
			t.Errorf("%s: %q, %q", r.Name, r.Message, r.Hint)
		}
		if r.Hint == "" && (r.Exit == 2 && r.Class == 'F' || r.Exit == 10 || r.Exit == 14 || r.Exit == 20 || r.Exit == 21 || r.Exit == 22) && !noHelp[r.Name] {
			t.Errorf("%s (%s) has no hint", r.Name, r.Message)
		}
	}
}

// noHelp are codes for which nobody can do anything but wait, or whose message always says what was wrong.
var noHelp = map[string]bool{"E_INVALIDARG": true, "ERROR_WININET_CONNECTION_RESET": true, "ERROR_NETNAME_DELETED": true, "ERROR_CONNECTION_ABORTED": true}

// Names, messages and numbers of what is not in the table.
func TestUnnamed(t *testing.T) {
	for _, c := range []struct {
		text    string
		code    hresult.Code
		name    string
		message string
	}{
		{"BG_E_HTTP_ERROR_429", 0x801901AD, "BG_E_HTTP_ERROR_429", "The server answered 429 Too Many Requests"},
		{"0x801901AD", 0x801901AD, "BG_E_HTTP_ERROR_429", "The server answered 429 Too Many Requests"},
		{"-2145844839", 0x80190199, "BG_E_HTTP_ERROR_409", "The server answered 409 Conflict: the file is being changed"},
		{"BG_E_HTTP_ERROR_599", 0x80190257, "BG_E_HTTP_ERROR_599", "The server answered 599"},
		{"0x800704D2", 0x800704D2, "", "Windows error 1234"},
		{"0x80041234", 0x80041234, "", ""},
	} {
		if got, err := hresult.Parse(c.text); err != nil || got != c.code || got.Name() != c.name || got.Message() != c.message {
			t.Errorf("%s is %v %s: %q, %v", c.text, got, got.Name(), got.Message(), err)
		}
	}
	for _, text := range []string{"", "E_NONSENSE", "BG_E_HTTP_ERROR_", "BG_E_HTTP_ERROR_99", "BG_E_HTTP_ERROR_1000", "BG_E_HTTP_ERROR_+404", "BG_E_HTTP_ERROR_65636", "0x100000000", "-2147483649"} {
		if got, err := hresult.Parse(text); err == nil {
			t.Errorf("%q is %v", text, got)
		}
	}
}

func TestHTTPStatuses(t *testing.T) {
	for status, want := range map[int]struct {
		transient bool
		exit      int
	}{
		300: {false, 1}, 301: {false, 1}, 306: {true, 1}, 400: {false, 12}, 401: {false, 14}, 404: {false, 12}, 407: {false, 14},
		408: {true, 12}, 409: {true, 12}, 429: {false, 12}, 500: {true, 13}, 501: {false, 13}, 503: {true, 13}, 505: {false, 13}, 599: {true, 13},
	} {
		c := hresult.FromHTTPStatus(status)
		if c.Transient() != want.transient || c.Exit() != want.exit {
			t.Errorf("%d: transient %v, exit %d; want %v, %d", status, c.Transient(), c.Exit(), want.transient, want.exit)
		}
	}
}

func TestClasses(t *testing.T) {
	for _, c := range []hresult.Code{hresult.ERROR_WINHTTP_SECURE_CERT_REVOKED, hresult.ERROR_WINHTTP_SECURE_CERT_REV_FAILED, hresult.BG_E_SERVER_CERT_VALIDATION_INTERFACE_REQUIRED} {
		if c.Transient() {
			t.Errorf("%v %s is transient", c, c.Name())
		}
	}
	for _, c := range []hresult.Code{hresult.ERROR_WINHTTP_SECURE_INVALID_CA, hresult.ERROR_WINHTTP_SECURE_CERT_CN_INVALID, hresult.ERROR_WINHTTP_TIMEOUT, hresult.ERROR_WINHTTP_CANNOT_CONNECT, 0x80041234} {
		if !c.Transient() {
			t.Errorf("%v %s is fatal", c, c.Name())
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"0x80004005", "E_FAIL", "-2147467259", "0x0", "x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c, err := hresult.Parse(s)
		if err != nil {
			return
		}
		if again, err := hresult.Parse(c.String()); err != nil || again != c {
			t.Errorf("%q is %v, and that is %v, %v", s, c, again, err)
		}
	})
}
