package targets

import (
	"os"
	"strings"
)

// Headers joins the headers of a command line, each ended by CRLF: "Name: value", or "@FILE" with one a line.
// Secret is called with the name of each that looks like a secret and stands on the command line itself, where others can see it.
// A file that cannot be read is E_INVALIDARG.
func Headers(args []string, secret func(name string)) (string, error) {
	var all strings.Builder
	for _, arg := range args {
		if file, ok := strings.CutPrefix(arg, "@"); ok {
			text, err := os.ReadFile(file)
			if err != nil {
				return "", misused("cannot read the headers: %w", err)
			}
			for line := range strings.Lines(string(text)) {
				if line = strings.TrimRight(line, "\r\n"); line != "" {
					all.WriteString(line + "\r\n")
				}
			}
			continue
		}
		name, _, _ := strings.Cut(arg, ":")
		for _, word := range []string{"auth", "cookie", "token", "key", "secret", "password"} {
			if strings.Contains(strings.ToLower(name), word) {
				secret(name)
				break
			}
		}
		all.WriteString(arg + "\r\n")
	}
	return all.String(), nil
}
