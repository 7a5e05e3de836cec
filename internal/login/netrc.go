package login

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// maxFile is how much is read of files that hold logins.
const maxFile = 1 << 20

func readSmall(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return "", fmt.Errorf("%s is not a regular file", path)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(text) > maxFile {
		err = fmt.Errorf("%s is too large", path)
	}
	return string(text), err
}

// fromNetrc finds the login of a host in a file .netrc; nil: there is none.
func fromNetrc(path, host string) (*Identity, error) {
	text, err := readSmall(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the logins: %w", err)
	}
	id, wrong := netrc(text, host)
	if id != nil {
		id.from = path
	}
	return id, unclear(path, wrong)
}

// malformed is what is wrong with a file of logins. The rest of it counts.
type malformed struct{ error }

func unclear(path string, wrong error) error {
	if wrong == nil {
		return nil
	}
	return malformed{fmt.Errorf("cannot read all of the logins in %s: %w", path, wrong)}
}

// CheckNetrc reports what cannot be understood in a file .netrc, by its line, without what stands there.
func CheckNetrc(path string) error {
	text, err := readSmall(path)
	if err != nil {
		return fmt.Errorf("cannot read the logins: %w", err)
	}
	_, wrong := netrc(text, "")
	return unclear(path, wrong)
}

// netrc finds the login of a host in a file .netrc, and hears once what is wrong with that; nil: there is none.
func (l *Login) netrc(host string) (*Identity, error) {
	id, err := fromNetrc(l.Sources.Netrc, host)
	if wrong := (malformed{}); !errors.As(err, &wrong) {
		return id, err
	}
	l.mu.Lock()
	said := l.warned
	l.warned = true
	l.mu.Unlock()
	if l.Warn != nil && !said {
		l.Warn(err.Error())
	}
	if id != nil {
		err = nil
	}
	return id, err
}

// Share is the login for a server of shares, from the file .netrc: no user where there is none. The error says why it cannot be read.
func (l *Login) Share(host string) (user, password string, err error) {
	if l.Sources.Netrc == "" {
		return "", "", nil
	}
	id, err := l.netrc(host)
	if err != nil || id == nil {
		return "", "", err
	}
	l.found(*id)
	return id.User, id.Password, nil
}

// netrc reads machine, default, login, password, account and macdef; the first entry of the host counts, else the default.
// A word may stand in double quotes, with a backslash before what is meant literally. The whole text is read: wrong is the first thing in it
// that is not understood, by its line.
func netrc(text, host string) (found *Identity, wrong error) {
	var fallback, id *Identity
	mine, hasLogin := false, false
	keep := func() {
		if id != nil && hasLogin && mine && fallback == nil {
			fallback = id
		}
	}
	words := netrcWords{rest: text}
	bad := func(format string, args ...any) {
		if wrong == nil {
			wrong = fmt.Errorf("in line %d %s", 1+strings.Count(text[:len(text)-len(words.rest)], "\n"), fmt.Sprintf(format, args...))
		}
	}
	value := func(of string) string {
		v, ok := words.next()
		if !ok {
			bad("%s has no value", of)
		}
		return v
	}
	for {
		word, ok := words.next()
		if !ok {
			keep()
			if words.open {
				bad("a quote is not closed")
			}
			return fallback, wrong
		}
		switch word {
		case "machine":
			keep()
			name := value(word)
			id, mine, hasLogin = &Identity{}, strings.EqualFold(name, host), false
		case "default":
			keep()
			id, mine, hasLogin = &Identity{}, true, false
		case "login", "user", "password", "account":
			v := value(word)
			switch {
			case id == nil:
				bad("%s stands before any machine", word)
			case word == "password":
				id.Password = v
			case word != "account":
				id.User, hasLogin = v, true
			}
		case "macdef":
			words.macro()
		default:
			bad("a word is none of machine, default, login, password, account, macdef; a value with a blank in it stands in double quotes")
		}
	}
}

type netrcWords struct {
	rest string
	open bool // the last word is in quotes that do not end
}

func (w *netrcWords) next() (string, bool) {
	for {
		w.rest = strings.TrimLeft(w.rest, " \t\r\n")
		if !strings.HasPrefix(w.rest, "#") {
			break
		}
		_, w.rest, _ = strings.Cut(w.rest, "\n")
	}
	if w.rest == "" {
		return "", false
	}
	word, inQuotes := strings.Builder{}, w.rest[0] == '"'
	i := 0
	if inQuotes {
		i = 1
	}
	for ; i < len(w.rest); i++ {
		c := w.rest[i]
		switch {
		case inQuotes && c == '\\' && i+1 < len(w.rest):
			i++
			c = w.rest[i]
			if e := strings.IndexByte("nrt", c); e >= 0 {
				c = "\n\r\t"[e]
			}
		case inQuotes && c == '"', !inQuotes && strings.IndexByte(" \t\r\n", c) >= 0:
			if w.rest = w.rest[i:]; inQuotes { // the end of a line is of the next word
				w.rest = w.rest[1:]
			}
			return word.String(), true
		}
		word.WriteByte(c)
	}
	w.rest, w.open = "", inQuotes
	return word.String(), true
}

// macro skips a macro: to the next empty line.
func (w *netrcWords) macro() {
	if _, after, ok := strings.Cut(w.rest, "\n\n"); ok {
		w.rest = after
	} else if _, after, ok := strings.Cut(w.rest, "\n\r\n"); ok {
		w.rest = after
	} else {
		w.rest = ""
	}
}
