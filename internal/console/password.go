package console

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// maxPassword is how long a password may be.
const maxPassword = 1 << 20

// Terminal reports whether somebody can be asked: standard input is a terminal.
func (a *App) Terminal() bool {
	f, ok := a.In.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// Password reads the first line of a file (-: standard input), or, without one, asks at the terminal. It never comes from the command line.
func (a *App) Password(ctx context.Context, question, file string) (string, error) {
	in := a.In
	switch {
	case file == "":
		return a.ask(ctx, question)
	case file != "-":
		f, err := os.Open(file)
		if err != nil {
			return "", Usagef("cannot read the password: %w", err)
		}
		defer f.Close()
		in = f
	}
	line, err := firstLine(in)
	if err != nil {
		return "", fmt.Errorf("cannot read the password: %w", err)
	}
	return line, nil
}

// ask asks without an echo. The terminal is left as it was, also when somebody interrupts.
func (a *App) ask(ctx context.Context, question string) (string, error) {
	if !a.Terminal() {
		return "", Usagef("there is no terminal to ask for the password at")
	}
	type result struct {
		text []byte
		err  error
	}
	fd, got := int(a.In.(*os.File).Fd()), make(chan result, 1)
	before, err := term.GetState(fd)
	if err != nil {
		return "", fmt.Errorf("cannot read the password: %w", err)
	}
	fmt.Fprint(a.Err, question)
	defer fmt.Fprintln(a.Err)
	go func() { // reading from a terminal knows no context
		text, err := term.ReadPassword(fd)
		got <- result{text, err}
	}()
	select {
	case r := <-got:
		if r.err != nil {
			return "", Usagef("cannot read the password: %w", r.err)
		}
		return string(r.text), nil
	case <-ctx.Done():
		term.Restore(fd, before)
		return "", context.Cause(ctx)
	}
}

// firstLine reads no byte more than the line: what follows may be meant for others. Nothing at all is no line.
func firstLine(in io.Reader) (string, error) {
	var line []byte
	for b := make([]byte, 1); len(line) < maxPassword; {
		n, err := in.Read(b)
		if n == 1 {
			if b[0] == '\n' {
				return strings.TrimRight(string(line), "\r"), nil
			}
			line = append(line, b[0])
			continue
		}
		if err == io.EOF && len(line) > 0 {
			return strings.TrimRight(string(line), "\r"), nil
		} else if err == io.EOF {
			return "", Usagef("there is none")
		} else if err != nil {
			return "", err
		}
	}
	return "", Usagef("its line is longer than %d bytes", maxPassword)
}
