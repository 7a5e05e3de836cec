package console

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// Password reads the first line of a file (-: standard input), or, without one, asks at the terminal. It never comes from the command line.
func (a *App) Password(question, file string) (string, error) {
	in := a.In
	switch f, ok := a.In.(*os.File); {
	case file == "" && ok && term.IsTerminal(int(f.Fd())):
		fmt.Fprint(a.Err, question)
		text, err := term.ReadPassword(int(f.Fd()))
		fmt.Fprintln(a.Err)
		if err != nil {
			return "", fmt.Errorf("cannot read the password: %w", err)
		}
		return string(text), nil
	case file == "":
		return "", Usagef("there is no terminal to ask for the password at: use --password-file FILE, or - for standard input")
	case file != "-":
		f, err := os.Open(file)
		if err != nil {
			return "", Usagef("cannot read the password: %w", err)
		}
		defer f.Close()
		in = f
	}
	line, err := bufio.NewReader(io.LimitReader(in, 1<<20)).ReadString('\n')
	if err != nil && err != io.EOF {
		return "", fmt.Errorf("cannot read the password: %w", err)
	}
	return strings.TrimRight(line, "\r\n"), nil
}
