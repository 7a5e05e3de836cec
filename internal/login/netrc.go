package login

import (
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
	id := netrc(text, host)
	if id != nil {
		id.from = path
	}
	return id, nil
}

// netrc reads machine, default, login, password, account and macdef; the first entry of the host counts, else the default.
// A word may stand in double quotes, with a backslash before what is meant literally.
func netrc(text, host string) *Identity {
	var fallback, id *Identity
	mine, hasLogin := false, false
	keep := func() {
		if id != nil && hasLogin && mine && fallback == nil {
			fallback = id
		}
	}
	words := netrcWords{text}
	for {
		word, ok := words.next()
		if !ok {
			keep()
			return fallback
		}
		switch word {
		case "machine":
			if keep(); fallback != nil {
				return fallback
			}
			name, _ := words.next()
			id, mine, hasLogin = &Identity{}, strings.EqualFold(name, host), false
		case "default":
			if keep(); fallback != nil {
				return fallback
			}
			id, mine, hasLogin = &Identity{}, true, false
		case "login", "user", "password", "account":
			value, _ := words.next()
			switch {
			case id == nil:
			case word == "password":
				id.Password = value
			case word != "account":
				id.User, hasLogin = value, true
			}
		case "macdef":
			words.macro()
		}
	}
}

type netrcWords struct{ rest string }

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
			w.rest = w.rest[i+1:]
			return word.String(), true
		}
		word.WriteByte(c)
	}
	w.rest = ""
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
