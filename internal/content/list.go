package content

import (
	"bufio"
	"fmt"
	"io"
	"path"
	"regexp"
	"strings"
)

// MaxList is how long a list of digests may be.
const MaxList = 4 << 20

// List are the digests of several files, as sha256sum and its kin write them.
type List struct{ entries []entry }

type entry struct{ file, name, value string }

var (
	bsd = regexp.MustCompile(`^([A-Za-z0-9-]+) ?\((.*)\) ?= ?([0-9A-Fa-f]+)$`)
	gnu = regexp.MustCompile(`^(\\?)([0-9A-Fa-f]+)(?: [ *]|\t)\s*(.+)$`)
)

// ReadList reads lines "DIGITS  NAME" (GNU) and "ALGORITHM (NAME) = DIGITS" (BSD).
// The number of the digits says what they are; hint, the name of the list, decides between sha256 and blake3 (B3SUMS).
// Other lines, such as those of a signature around the list, are passed over; a list without any digest is an error.
func ReadList(r io.Reader, hint string) (*List, error) {
	ofBlake := regexp.MustCompile(`(?i)b3|blake3`).MatchString(path.Base(hint))
	lines, l := bufio.NewScanner(io.LimitReader(r, MaxList)), &List{}
	for lines.Scan() {
		line := strings.TrimSuffix(strings.TrimPrefix(lines.Text(), "\ufeff"), "\r")
		var e entry
		if m := bsd.FindStringSubmatch(line); m != nil {
			e = entry{m[2], m[1], m[3]}
		} else if m := gnu.FindStringSubmatch(line); m != nil {
			if e = (entry{m[3], OfLength(len(m[2])), m[2]}); e.name == "sha256" && ofBlake {
				e.name = "blake3"
			}
			if m[1] != "" { // GNU escapes names with line feeds and backslashes
				e.file = strings.NewReplacer(`\\`, `\`, `\n`, "\n", `\r`, "\r").Replace(e.file)
			}
		} else {
			continue
		}
		var err error
		if e.name, e.value, err = Check(e.name, e.value); err == nil {
			l.entries = append(l.entries, e)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if len(l.entries) == 0 {
		return nil, fmt.Errorf("it has no line %q", "DIGITS  NAME")
	}
	return l, nil
}

// Of returns the digests of the file of a name: that of the whole name, else those of files of that name in any folder, if they agree.
func (l *List) Of(file string) (map[string]string, error) {
	for _, same := range []func(string) bool{
		func(s string) bool { return strings.TrimPrefix(s, "./") == file },
		func(s string) bool { return path.Base(s) == file },
	} {
		found := map[string]string{}
		for _, e := range l.entries {
			if !same(e.file) {
				continue
			}
			if before, ok := found[e.name]; ok && before != e.value {
				return nil, fmt.Errorf("it has two of %s that differ", file)
			}
			found[e.name] = e.value
		}
		if len(found) > 0 {
			return found, nil
		}
	}
	return nil, fmt.Errorf("it does not have %s", file)
}
