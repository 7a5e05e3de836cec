// Package targets finds out what a command line wants to fetch: the URLs, the files for them, and the headers to send.
package targets

import (
	"bufio"
	"encoding/csv"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"bits"
	"bits/hresult"
	"bits/internal/remotename"
)

// Target is one file to fetch.
type Target struct{ URL, Path string }

func misused(format string, args ...any) error {
	return bits.Errorf(hresult.E_INVALIDARG, format, args...).WithHint("bits get --help, bits add --help")
}

// Command is what a command line says of its targets.
type Command struct {
	URLs   []string
	Output string    // name of the file, for one URL
	Dir    string    // folder for the files
	List   string    // file with one "URL [NAME]" a line; "-": standard input
	In     io.Reader // standard input
	Force  bool      // existing files may be replaced
	More   []Target  // besides
}

// Find returns the targets of the command line and of the list, in this order, with absolute paths.
// What cannot be used is E_INVALIDARG; a name that is taken is ERROR_FILE_EXISTS.
func (c Command) Find() ([]Target, error) {
	var all []Target
	for _, u := range c.URLs {
		all = append(all, Target{URL: u, Path: c.Output})
	}
	if c.List != "" {
		more, err := c.read()
		if err != nil {
			return nil, err
		}
		all = append(all, more...)
	}
	for _, t := range c.More {
		if c.Output != "" {
			t.Path = c.Output
		}
		all = append(all, t)
	}
	switch {
	case c.Output == "-":
		return nil, misused("cannot write to standard output: that is not supported; give a file")
	case len(all) == 0:
		return nil, misused("give at least one URL, or a list with -i")
	case c.Output != "" && len(all) > 1:
		return nil, misused("-o names one file, and there are %d URLs; use -d", len(all))
	}
	seen := map[string]bool{}
	for i := range all {
		t := &all[i]
		if err := remotename.CheckSource(t.URL); err != nil {
			return nil, err
		}
		if t.Path == "" {
			t.Path = fileName(t.URL)
		}
		if c.Dir != "" && !filepath.IsAbs(t.Path) {
			t.Path = filepath.Join(c.Dir, t.Path)
		}
		var err error
		if t.Path, err = filepath.Abs(t.Path); err != nil {
			return nil, err
		}
		if !utf8.ValidString(t.Path) {
			return nil, misused("cannot use the name %q: it is not valid UTF-8", t.Path)
		}
		if seen[t.Path] {
			return nil, misused("two URLs would be written to %s; give them names in a list with -i", t.Path)
		}
		seen[t.Path] = true
		if err := vacant(*t, c.Force); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// vacant refuses a name that is taken, before anything is transferred.
func vacant(t Target, force bool) error {
	info, err := os.Lstat(t.Path)
	if err != nil {
		return nil // what else may be wrong with it, the service says
	}
	taken := bits.Errorf(hresult.ERROR_FILE_EXISTS, "cannot fetch %s: %s exists", t.URL, t.Path).In(bits.ContextLocalFile)
	switch mode := info.Mode(); {
	case mode.IsDir():
		taken.Message = fmt.Sprintf("cannot fetch %s: %s is a folder", t.URL, t.Path)
		return taken.WithHint("-d %s puts the file into it", t.Path)
	case !mode.IsRegular() && mode&fs.ModeSymlink == 0:
		taken.Message = fmt.Sprintf("cannot fetch %s: %s is there and is no file", t.URL, t.Path)
		return taken.WithHint("-o gives another name")
	case force:
		return nil
	}
	return taken.WithHint("--force replaces it when the new one is whole; -o gives another name")
}

// fileName is the last part of the path of a URL, made safe as a name.
// Bytes that are no UTF-8 stay escaped.
func fileName(remote string) string {
	u, err := remotename.URL(remote)
	if err != nil {
		return "index.html"
	}
	var base strings.Builder
	for rest := path.Base(u.Path); rest != ""; {
		r, n := utf8.DecodeRuneInString(rest)
		if r == utf8.RuneError && n == 1 {
			fmt.Fprintf(&base, "%%%02X", rest[0])
		} else {
			base.WriteString(rest[:n])
		}
		rest = rest[n:]
	}
	name := strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || strings.ContainsRune(`/\:`, r) {
			return '_'
		}
		return r
	}, base.String())
	if name == "." || name == ".." || name == "_" || name == "/" || strings.HasSuffix(u.Path, "/") {
		return "index.html"
	}
	return name
}

// read reads lines "URL" or "URL NAME"; empty lines and those that begin with # are passed over.
// A list whose first line names the columns Source and Destination is CSV, as Start-BitsTransfer takes it from Import-Csv.
func (c Command) read() (all []Target, err error) {
	r := c.In
	if c.List != "-" {
		f, err := os.Open(c.List)
		if err != nil {
			return nil, misused("cannot read the list: %w", err)
		}
		defer f.Close()
		r = f
	}
	text := bufio.NewReader(r)
	if head, _ := text.Peek(64); isCSV(head) {
		return readCSV(text)
	}
	if strings.EqualFold(filepath.Ext(c.List), ".csv") { // a comma may be a part of a URL
		return nil, misused("cannot read the list %s: its first line does not name the columns, Source,Destination", c.List)
	}
	lines, n := bufio.NewScanner(text), 1
	for ; lines.Scan(); n++ {
		line := strings.TrimSpace(strings.TrimPrefix(lines.Text(), "\ufeff"))
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		u, file := line, ""
		if i := strings.IndexAny(line, " \t"); i >= 0 {
			u, file = line[:i], strings.TrimSpace(line[i:])
		}
		if err := remotename.CheckSource(u); err != nil {
			return nil, misused("cannot read line %d of the list: %w", n, err)
		}
		all = append(all, Target{u, file})
	}
	if err := lines.Err(); err != nil {
		return nil, misused("cannot read line %d of the list: %w", n, err)
	}
	return all, nil
}

// isCSV reports whether a list begins with the heads of the columns.
func isCSV(head []byte) bool {
	line, _, _ := strings.Cut(strings.TrimPrefix(string(head), "\ufeff"), "\n")
	return strings.Contains(line, ",") && strings.Contains(strings.ToLower(line), "source") && !strings.Contains(line, "://")
}

func readCSV(r io.Reader) (all []Target, err error) {
	rows := csv.NewReader(r)
	rows.TrimLeadingSpace = true
	head, err := rows.Read()
	column := func(name string) int {
		return slices.IndexFunc(head, func(s string) bool { return strings.EqualFold(strings.Trim(s, "\ufeff \""), name) })
	}
	source, destination := column("Source"), column("Destination")
	if err != nil || source < 0 {
		return nil, misused("cannot read the list: its first line has no column Source")
	}
	for {
		row, err := rows.Read()
		if err == io.EOF {
			return all, nil
		} else if err != nil {
			return nil, misused("cannot read the list: %w", err)
		}
		t := Target{URL: row[source]}
		if destination >= 0 {
			t.Path = row[destination]
		}
		if err := remotename.CheckSource(t.URL); err != nil {
			line, _ := rows.FieldPos(source)
			return nil, misused("cannot read line %d of the list: %w", line, err)
		}
		all = append(all, t)
	}
}

// Ranges reads "OFFSET:LENGTH,OFFSET:eof", the ranges of AddFileWithRanges as a command line has them; "" is none.
// Otherwise BG_E_INVALID_RANGE.
func Ranges(text string) (ranges []bits.FileRange, err error) {
	if text == "" {
		return nil, nil
	}
	for word := range strings.SplitSeq(text, ",") {
		offset, length, _ := strings.Cut(strings.TrimSpace(word), ":")
		r := bits.FileRange{Length: bits.ToEOF}
		r.Offset, err = strconv.ParseInt(offset, 10, 64)
		if err == nil && !strings.EqualFold(length, "eof") {
			r.Length, err = strconv.ParseInt(length, 10, 64)
		}
		if err != nil || r.Offset < 0 || r.Length < bits.ToEOF {
			return nil, bits.Errorf(hresult.BG_E_INVALID_RANGE, "cannot read the range %q", word).WithHint("ranges are OFFSET:LENGTH, divided by commas; LENGTH may be eof")
		}
		ranges = append(ranges, r)
	}
	return ranges, nil
}
