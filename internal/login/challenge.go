package login

import "strings"

// Challenge is one challenge of a server or proxy (RFC 9110, section 11.3).
type Challenge struct {
	Scheme string            // in lower case
	Token  string            // token68: NTLM and Negotiate go on with it
	Params map[string]string // by name in lower case; of a name that comes twice the first
}

// Parse reads the challenges of the fields WWW-Authenticate or Proxy-Authenticate: several may stand in one field, divided by the same
// commas as their parameters (RFC 9110, section 11.6.1). What cannot be read ends its field; what stands before it counts.
func Parse(fields []string) (all []Challenge) {
	for _, field := range fields {
		s := scanner{field}
		for s.separators(); s.rest != ""; s.separators() {
			name := s.token()
			if name == "" {
				break
			}
			c := Challenge{Scheme: strings.ToLower(name), Params: map[string]string{}}
			blank := s.blanks()
			if s.rest != "" && s.rest[0] != ',' && !blank {
				break // no scheme stands directly before anything else
			}
			ok := s.challenge(&c)
			all = append(all, c)
			if !ok {
				break
			}
		}
	}
	return all
}

// challenge reads what follows the name of a scheme: a token, parameters, or nothing.
func (s *scanner) challenge(c *Challenge) bool {
	if token, after := s.token68(); token != "" && (after == "" || after[0] == ',') {
		// A single word before a comma can be nothing else: a parameter has a value.
		c.Token, s.rest = token, after
		return true
	}
	for {
		before := s.rest
		s.separators()
		name := s.token()
		s.blanks()
		if name == "" || !strings.HasPrefix(s.rest, "=") {
			s.rest = before // the next challenge, or the end
			return name != "" || strings.Trim(before, ", \t") == ""
		}
		s.rest = s.rest[1:]
		s.blanks()
		value, ok := s.value()
		if !ok {
			return false
		}
		if name = strings.ToLower(name); c.Params[name] == "" {
			c.Params[name] = value
		}
		s.blanks()
		if s.rest == "" {
			return true
		} else if s.rest[0] != ',' {
			return false
		}
	}
}

// scanner reads a field from its beginning.
type scanner struct{ rest string }

func (s *scanner) separators() { s.rest = strings.TrimLeft(s.rest, ", \t") }

func (s *scanner) blanks() bool {
	before := len(s.rest)
	s.rest = strings.TrimLeft(s.rest, " \t")
	return len(s.rest) < before
}

func (s *scanner) take(fits func(byte) bool) string {
	n := 0
	for n < len(s.rest) && fits(s.rest[n]) {
		n++
	}
	taken := s.rest[:n]
	s.rest = s.rest[n:]
	return taken
}

func letter(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

func (s *scanner) token() string {
	return s.take(func(c byte) bool { return letter(c) || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0 })
}

// token68 looks ahead.
func (s *scanner) token68() (token, after string) {
	look := *s
	token = look.take(func(c byte) bool { return letter(c) || strings.IndexByte("-._~+/", c) >= 0 })
	if token != "" {
		token += look.take(func(c byte) bool { return c == '=' })
	}
	look.blanks()
	return token, look.rest
}

func (s *scanner) value() (string, bool) {
	if !strings.HasPrefix(s.rest, `"`) {
		v := s.token()
		return v, v != ""
	}
	text := strings.Builder{}
	for i := 1; i < len(s.rest); i++ {
		switch c := s.rest[i]; {
		case c == '"':
			s.rest = s.rest[i+1:]
			return text.String(), true
		case c == '\\' && i+1 < len(s.rest):
			i++
			text.WriteByte(s.rest[i])
		default:
			text.WriteByte(c)
		}
	}
	return "", false
}
