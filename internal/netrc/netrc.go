// Package netrc reads files of logins as ftp made them, and curl and git read them.
package netrc

import (
	"fmt"
	"strings"
)

// Login is an entry of a file.
type Login struct{ User, Password string }

// Find reads machine, default, login, password, account and macdef; the first entry of the host counts, else the default.
// A word may stand in double quotes, with a backslash before what is meant literally. The whole text is read: wrong is the first thing in it
// that is not understood, by its line.
func Find(text, host string) (found *Login, wrong error) {
	var fallback, id *Login
	mine, hasLogin := false, false
	keep := func() {
		if id != nil && hasLogin && mine && fallback == nil {
			fallback = id
		}
	}
	rest := words{rest: text}
	bad := func(format string, args ...any) {
		if wrong == nil {
			wrong = fmt.Errorf("in line %d %s", 1+strings.Count(text[:len(text)-len(rest.rest)], "\n"), fmt.Sprintf(format, args...))
		}
	}
	value := func(of string) string {
		v, ok := rest.next()
		if !ok {
			bad("%s has no value", of)
		}
		return v
	}
	for {
		word, ok := rest.next()
		if !ok {
			keep()
			if rest.open {
				bad("a quote is not closed")
			}
			return fallback, wrong
		}
		switch word {
		case "machine":
			keep()
			name := value(word)
			id, mine, hasLogin = &Login{}, strings.EqualFold(name, host), false
		case "default":
			keep()
			id, mine, hasLogin = &Login{}, true, false
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
			rest.macro()
		default:
			bad("a word is none of machine, default, login, password, account, macdef; a value with a blank in it stands in double quotes")
		}
	}
}

type words struct {
	rest string
	open bool // the last word is in quotes that do not end
}

func (w *words) next() (string, bool) {
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
func (w *words) macro() {
	if _, after, ok := strings.Cut(w.rest, "\n\n"); ok {
		w.rest = after
	} else if _, after, ok := strings.Cut(w.rest, "\n\r\n"); ok {
		w.rest = after
	} else {
		w.rest = ""
	}
}
