package bitsadmin

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"bits"
	"bits/hresult"
)

// shape is what the operands of a switch look like.
type shape struct {
	words []string
	least int
	more  bool            // the last words may be repeated
	flags map[string]bool // true: a value follows
}

// shapeOf reads the text of a row: "job", "[/VERBOSE]", "[/REFRESH seconds]", "job h1 [h2 ...]".
func shapeOf(text string) shape {
	s := shape{flags: map[string]bool{}}
	optional, flag := false, ""
	for word := range strings.FieldsSeq(strings.NewReplacer("[", " [ ", "]", " ] ", " | ", " ").Replace(text)) {
		name, isFlag := strings.CutPrefix(word, "/")
		switch {
		case word == "[" || word == "]":
			optional, flag = word == "[", ""
		case isFlag:
			flag = name
			s.flags[flag] = false
		case flag != "":
			s.flags[flag] = true
		case word == "...":
			s.more = true
		default:
			s.words = append(s.words, word)
			if !optional {
				s.least++
			}
		}
	}
	return s
}

// read sorts the words of a command line into words and flags with their values; a path may look like a flag, so no flag stands behind a
// URL.
func (s shape) read(args []string) (words []string, flags map[string]string, err error) {
	flags = map[string]string{}
	last := slices.Index(s.words, "url")
	for i := 0; i < len(args); i++ {
		name, isFlag := switchName(args[i])
		value, known := s.flags[name]
		switch {
		case !isFlag || !known || last >= 0 && len(words) > last:
			words = append(words, args[i])
		case !value:
			flags[name] = ""
		case i+1 == len(args):
			return nil, nil, misusef("/%s needs a value.", name)
		default:
			i++
			flags[name] = args[i]
		}
	}
	if n := len(words); n < s.least || n > len(s.words) && !s.more {
		return nil, nil, misusef("Wrong number of operands: %d.", n)
	}
	return words, flags, nil
}

func invalid(format string, args ...any) *bits.Error {
	return bits.Errorf(hresult.E_INVALIDARG, format, args...)
}

func isNull(word string) bool { return strings.EqualFold(word, "NULL") }

// null is the word, or nothing for the word NULL.
func null(word string) string {
	if isNull(word) {
		return ""
	}
	return word
}

// parseNumber reads a number of 32 bits, decimal or after 0x hexadecimal.
func parseNumber(word string) (uint32, error) {
	digits, base := word, 10
	if len(word) > 2 && strings.EqualFold(word[:2], "0x") {
		digits, base = word[2:], 16
	}
	n, err := strconv.ParseUint(digits, base, 32)
	if err != nil {
		return 0, invalid("cannot read %q as a number: it is 0 to 4294967295, or 0x and hexadecimal digits", word)
	}
	return uint32(n), nil
}

// parseIndex reads the number of a file.
func parseIndex(o []string) (int, error) {
	n, err := parseNumber(o[0])
	return int(min(n, math.MaxInt32)), err
}

// parseRanges reads "0:100,500:eof".
func parseRanges(list string) (ranges []bits.FileRange, err error) {
	for part := range strings.SplitSeq(list, ",") {
		offset, length, ok := strings.Cut(strings.TrimSpace(part), ":")
		start, err := strconv.ParseUint(offset, 10, 63)
		r := bits.FileRange{Offset: int64(start), Length: bits.ToEOF}
		if ok && err == nil && !strings.EqualFold(length, "eof") && length != "18446744073709551615" {
			var n uint64
			n, err = strconv.ParseUint(length, 10, 63)
			r.Length = int64(n)
		}
		if !ok || err != nil {
			return nil, bits.Errorf(hresult.BG_E_INVALID_RANGE, "cannot read the range %q: it is offset:length, and the length may be eof", part)
		}
		ranges = append(ranges, r)
	}
	return ranges, nil
}

// parseFileSet reads the lines of a file set: a remote name, blanks, a local name; # at the start makes a comment.
func parseFileSet(r io.Reader) (files []bits.FileSpec, err error) {
	lines, n := bufio.NewScanner(r), 0
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		n++
		line := strings.TrimSpace(strings.TrimPrefix(lines.Text(), "\ufeff"))
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		blank := strings.IndexAny(line+" ", " \t")
		f, err := parseFile(line[:blank], strings.TrimSpace(line[blank:]))
		if err != nil {
			return nil, fmt.Errorf("line %d of the file set: %w", n, err)
		}
		files = append(files, f)
	}
	if err := lines.Err(); err != nil {
		return nil, invalid("cannot read line %d of the file set: %w", n+1, err)
	}
	return files, nil
}

func parsePath(local string) (string, error) {
	if !filepath.IsAbs(local) {
		return "", invalid("cannot use the local name %q: it is no full path", local).WithHint("give a path from the root on; a variable in it must be one that the shell knows")
	}
	return local, nil
}

func parseFile(remote, local string) (bits.FileSpec, error) {
	_, err := parsePath(local)
	return bits.FileSpec{RemoteName: remote, LocalName: local}, err
}

// parsePairs reads url path [url path ...].
func parsePairs(words []string) (files []bits.FileSpec, err error) {
	if len(words)%2 != 0 {
		return nil, misusef("Each URL needs a path: there are %d operands for them.", len(words))
	}
	for pair := range slices.Chunk(words, 2) {
		f, err := parseFile(pair[0], pair[1])
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	return files, nil
}

// parseHeaders makes one text of the headers, which are one an operand; one that is empty or NULL removes all.
func parseHeaders(words []string) (any, error) {
	if len(words) == 1 && null(words[0]) == "" {
		return "", nil
	}
	for i, w := range words {
		if !strings.Contains(w, ":") || strings.ContainsAny(w, "\r\n") {
			return nil, invalid("cannot use header %d: an operand is one name:value", i+1)
		}
	}
	return strings.Join(words, "\r\n") + "\r\n", nil
}

// aclLetters are the flags of access lists, from the lowest bit.
const aclLetters = "OGDS"

func parseACL(letters string) (flags bits.ACLFlags, err error) {
	for _, l := range strings.ToUpper(null(letters)) {
		i := strings.IndexRune(aclLetters, l)
		if i < 0 {
			return 0, invalid("cannot use the letter %q: they are O owner, G group, D access list, S audit list", l)
		}
		flags |= 1 << i
	}
	return flags, nil
}

func showACL(flags bits.ACLFlags) string {
	var letters strings.Builder
	for i, l := range aclLetters {
		if flags&(1<<i) != 0 {
			letters.WriteRune(l)
		}
	}
	return letters.String()
}

// parseLocation reads the location of a certificate store: 1 to 8, or its word with or without its prefix.
func parseLocation(word string) (l bits.StoreLocation, err error) {
	if len(word) == 1 && word >= "1" && word <= "8" {
		return bits.StoreLocation(word[0] - '1'), nil
	}
	err = l.UnmarshalText([]byte(strings.TrimPrefix(strings.ToUpper(word), "BG_CERT_STORE_LOCATION_")))
	return l, err
}

// The values that setters send, made of the operands behind the job.

func setText(o []string) (any, error)   { return o[0], nil }
func setWord(o []string) (any, error)   { return strings.ToUpper(o[0]), nil }
func setNumber(o []string) (any, error) { return parseNumber(o[0]) }
func setACL(o []string) (any, error)    { return parseACL(o[0]) }
func setTrue([]string) (any, error)     { return true, nil }

func setPath(o []string) (any, error) {
	if o[0] == "" || isNull(o[0]) {
		return "", nil
	}
	return parsePath(o[0])
}

func setCommand(o []string) (any, error) {
	c := bits.Command{Program: null(o[0])}
	if len(o) > 1 {
		c.Parameters = null(o[1])
	}
	return c, nil // an empty one is none
}

// setProxy takes commas between proxies and semicolons between hosts too.
func setProxy(o []string) (any, error) {
	v := map[string]string{"usage": strings.ToUpper(o[0])}
	if len(o) != 3 && (v["usage"] == "OVERRIDE" || len(o) == 2) {
		return nil, misusef("OVERRIDE needs a list of proxies and a bypass list, which may be NULL.")
	}
	if len(o) == 3 {
		v["list"], v["bypass"] = strings.ReplaceAll(null(o[1]), ",", " "), strings.ReplaceAll(null(o[2]), ";", " ")
	}
	return v, nil
}

func setCertificate(by string) func([]string) (any, error) {
	return func(o []string) (any, error) {
		location, err := parseLocation(o[0])
		return map[string]any{"location": location, "store": o[1], by: strings.TrimSpace(o[2])}, err
	}
}

func setCredentials(o []string) (any, error) {
	v := map[string]any{"target": strings.ToUpper(o[0]), "scheme": strings.ToUpper(o[1])}
	for i, name := range []string{"user", "password"} {
		if len(o) > 2 && !isNull(o[2+i]) {
			v[name] = o[2+i]
		}
	}
	return v, nil
}

func setPrefixes(o []string) (any, error) { return map[string]any{"old": o[0], "new": o[1]}, nil }

func setValid(o []string) (verdict, error) {
	file, err := parseIndex(o)
	valid := strings.EqualFold(o[1], "true")
	if err == nil && !valid && !strings.EqualFold(o[1], "false") {
		err = invalid("cannot read %q: it is true or false", o[1])
	}
	return verdict{file, map[string]any{"valid": valid}}, err
}

// setToken takes no name and password: only the identity of the caller can be lent.
func setToken(o []string) (any, error) {
	if len(o) > 0 {
		return nil, bits.Errorf(hresult.E_NOTIMPL, "cannot lend the identity of another account: only that of the caller").WithHint("call bitsadmin as that user")
	}
	return nil, nil
}
