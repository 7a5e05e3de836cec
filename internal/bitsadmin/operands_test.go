package bitsadmin

import (
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"bits"
	"bits/hresult"
)

func TestNumbers(t *testing.T) {
	for word, want := range map[string]int64{
		"0": 0, "600": 600, "0600": 600, "0x0106": 0x106, "0XfF": 255, "4294967295": 1<<32 - 1,
		"": -1, "-1": -1, "+1": -1, "1.5": -1, "0x": -1, "0b1": -1, "1_0": -1, "4294967296": -1, "0x100000000": -1, " 1": -1,
	} {
		n, err := parseNumber(word)
		if got := int64(n); (err != nil) != (want < 0) || err == nil && got != want {
			t.Errorf("%q: %d, %v; want %d", word, got, err, want)
		}
	}
}

func TestRanges(t *testing.T) {
	for list, want := range map[string][]bits.FileRange{
		"0:100,500:eof":          {{Offset: 0, Length: 100}, {Offset: 500, Length: bits.ToEOF}},
		" 0:1, 2:EOF ":           {{Offset: 0, Length: 1}, {Offset: 2, Length: bits.ToEOF}},
		"0:0":                    {{}},
		"5:18446744073709551615": {{Offset: 5, Length: bits.ToEOF}},
		"9223372036854775807:1":  {{Offset: 1<<63 - 1, Length: 1}},
		"":                       nil,
		"0":                      nil,
		"0:":                     nil,
		":1":                     nil,
		"0:1,":                   nil,
		"0:-1":                   nil,
		"-1:1":                   nil,
		"eof:1":                  nil,
		"1:2:3":                  nil,
		"9223372036854775808:1":  nil,
	} {
		got, err := parseRanges(list)
		if want == nil && bits.AsError(orElse(err)).Code != hresult.BG_E_INVALID_RANGE {
			t.Errorf("%q: %v, %v; want BG_E_INVALID_RANGE", list, got, err)
		} else if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q: %v %s", list, err, diff)
		}
	}
}

// orElse makes that a missing error is none of any code that is looked for.
func orElse(err error) error {
	if err == nil {
		return bits.Errorf(hresult.S_OK, "no error")
	}
	return err
}

func TestFileSets(t *testing.T) {
	root := "/"
	if runtime.GOOS == "windows" {
		root = `C:\`
	}
	for _, c := range []struct {
		text  string
		want  []bits.FileSpec
		fails string
	}{
		{"\ufeff# comment\r\n\r\n http://h/a \t" + root + "a b \r\nhttp://h/c " + root + "c", []bits.FileSpec{{RemoteName: "http://h/a", LocalName: root + "a b"}, {RemoteName: "http://h/c", LocalName: root + "c"}}, ""},
		{"# nothing\n", nil, ""},
		{"http://h/a " + root + "a\nhttp://h/b\n", nil, "line 2"},
		{"\n\nhttp://h/a a\n", nil, "line 3"},
		{strings.Repeat("x", 1<<21), nil, "line 1"},
	} {
		got, err := parseFileSet(strings.NewReader(c.text))
		if c.fails != "" {
			if err == nil || !strings.Contains(err.Error(), c.fails) || bits.AsError(err).Code != hresult.E_INVALIDARG {
				t.Errorf("%.20q: %v, want %q", c.text, err, c.fails)
			}
		} else if diff := cmp.Diff(c.want, got); diff != "" || err != nil {
			t.Errorf("%q: %v %s", c.text, err, diff)
		}
	}
}

func TestShapes(t *testing.T) {
	const transfer = "name [/DOWNLOAD | /UPLOAD] [/PRIORITY p] url path [url path ...]"
	for _, c := range []struct {
		shape string
		args  []string
		words []string
		flags map[string]string
		fails bool
	}{
		{"job", []string{"a"}, []string{"a"}, nil, false},
		{"job", nil, nil, nil, true},
		{"job", []string{"a", "b"}, nil, nil, true},
		{"job text", []string{"a", "/VERBOSE"}, []string{"a", "/VERBOSE"}, nil, false},
		{"[/ALLUSERS] [/REFRESH seconds]", []string{"-refresh", "3", "/AllUsers"}, nil, map[string]string{"REFRESH": "3", "ALLUSERS": ""}, false},
		{"[/ALLUSERS] [/REFRESH seconds]", []string{"/REFRESH"}, nil, nil, true},
		{"job h1 [h2 ...]", []string{"a", "b", "c", "d"}, []string{"a", "b", "c", "d"}, nil, false},
		{"job h1 [h2 ...]", []string{"a"}, nil, nil, true},
		{transfer, []string{"n", "/UPLOAD", "/PRIORITY", "LOW", "u", "/DOWNLOAD"}, []string{"n", "u", "/DOWNLOAD"}, map[string]string{"UPLOAD": "", "PRIORITY": "LOW"}, false},
		{transfer, []string{"/UPLOAD", "n", "u", "p", "u", "p"}, []string{"n", "u", "p", "u", "p"}, map[string]string{"UPLOAD": ""}, false},
		{transfer, []string{"n", "u"}, nil, nil, true},
		{"job index true|false", []string{"a", "0", "true"}, []string{"a", "0", "true"}, nil, false},
	} {
		words, flags, err := shapeOf(c.shape).read(c.args)
		if c.fails {
			if err == nil {
				t.Errorf("%s %q: %v, want an error", c.shape, c.args, words)
			}
			continue
		}
		if c.flags == nil {
			c.flags = map[string]string{}
		}
		if diff := cmp.Diff(c.words, words) + cmp.Diff(c.flags, flags); diff != "" || err != nil {
			t.Errorf("%s %q: %v %s", c.shape, c.args, err, diff)
		}
	}
}

// What is taken keeps its promises: no range has a negative number but eof, no local name is relative, no header hides a second one,
// no number is other than its digits say.
func FuzzOperands(f *testing.F) {
	for _, s := range []string{"0:100,500:eof", "http://h/a /a\n# x\nhttp://h/b /b", "X-A: 1", "0x1F", "OGDS", "X: 1\r\nRange: y", "{a}", "CURRENT_USER", "NULL", "\ufeff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if ranges, err := parseRanges(s); err == nil {
			for _, r := range ranges {
				if r.Offset < 0 || r.Length < bits.ToEOF || r.Length == bits.ToEOF && !strings.Contains(strings.ToLower(s), "eof") && !strings.Contains(s, "18446744073709551615") {
					t.Errorf("%q makes the range %v", s, r)
				}
			}
		}
		if files, err := parseFileSet(strings.NewReader(s)); err == nil {
			for _, f := range files {
				if !filepath.IsAbs(f.LocalName) || f.RemoteName == "" || strings.ContainsAny(f.RemoteName, " \t\n") {
					t.Errorf("%q makes the file %v", s, f)
				}
			}
		}
		if h, err := parseHeaders([]string{s, "X-Last: 1"}); err == nil && strings.Count(h.(string), "\r\n") != 2 {
			t.Errorf("%q makes the headers %q", s, h)
		}
		if n, err := parseNumber(s); err == nil && n != 0 && strings.Trim(s, "0xX") == "" {
			t.Errorf("%q makes the number %d", s, n)
		}
		if flags, err := parseACL(s); err == nil {
			if again, err := parseACL(showACL(flags)); err != nil || again != flags {
				t.Errorf("%q makes %v, and that %v, %v", s, flags, again, err)
			}
		}
		if l, err := parseLocation(s); err == nil && (l < 0 || l > 7) {
			t.Errorf("%q makes the location %d", s, l)
		}
		if _, err := parsePairs([]string{s, s}); err == nil && !filepath.IsAbs(s) {
			t.Errorf("%q passes as a full path", s)
		}
		for i := range switches { // no operand brings the interpreter down
			shapeOf(switches[i].Operands).read([]string{s, "x", s})
		}
	})
}
