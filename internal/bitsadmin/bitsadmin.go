// Package bitsadmin is bitsadmin: its switches stand in one table, and one short interpreter reads it.
//
// It uses the client package as any program can.
// stdout carries the banner and the answer, failures go to stderr.
package bitsadmin

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"

	"golang.org/x/term"

	"bits"
	"bits/client"
	"bits/hresult"
	"bits/internal/progress"
)

// Command is one invocation of bitsadmin.
type Command struct {
	Client   *client.Client
	Connect  func(context.Context) error // makes sure that the service answers
	Out, Err io.Writer
}

// Exit is the exit code of a command that has said itself why it failed: on Windows the HRESULT, elsewhere the exit code of the table of
// codes.
type Exit int

func (e Exit) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// Exit codes beside those of the table of codes.
const (
	exitDeclined   Exit = 15
	exitStillRuns  Exit = 23
	exitSomeFailed Exit = 24
)

// Switch is one row of the table.
type Switch struct {
	Name     string // in capitals, without its slash; after the switch that opens its family: "UTIL VERSION"
	Operands string // "job url path"; what may be left out stands in brackets
	Does     string // goes on from "Unable to"
	State    string // for the document: works, engine later, or left out
	Differs  string // for the document: what is not as in BITS

	do action
}

// action carries out a switch.
type action func(ctx context.Context, r *run, words []string) error

// The states of a switch.
const (
	works   = "works"
	later   = "engine later" // what it sets is kept, and obeyed once there is something that obeys it
	leftOut = "left out"
)

// synonyms are the spellings that scripts took from faulty pages of the manual.
var synonyms = map[string]string{
	"SETACLFLAG": "SETACLFLAGS", "GETHELPERNOTIFYFLAGS": "GETHELPERTOKENFLAGS", "DELETEURL": "CACHE DELETEURL", "H": "HELP",
	"UTIL ?": "UTIL HELP", "PEERCACHING ?": "PEERCACHING HELP", "CACHE ?": "CACHE HELP", "PEERS ?": "PEERS HELP",
}

// run is a command whose modifiers are read.
type run struct {
	*Command
	out    *bufio.Writer
	table  []Switch
	flags  map[string]string // that were given, with their values
	does   string            // what the switch does
	raw    bool              // the bare value
	cut    bool              // lines end at the edge of the screen
	screen int               // the width of the terminal; 0: it is none
}

func (r *run) has(flag string) bool { _, ok := r.flags[flag]; return ok }

// misuse is a command line that cannot be understood.
type misuse struct{ error }

func misusef(format string, args ...any) error { return misuse{fmt.Errorf(format, args...)} }

// Run carries out one command line.
// A failure that it has reported is an Exit; when the context ended, its cause is returned.
func (c *Command) Run(ctx context.Context, args []string) error {
	r := &run{Command: c, out: bufio.NewWriter(c.Out), table: switches}
	if f, ok := c.Out.(*os.File); ok && progress.Terminal(f) {
		r.screen, _, _ = term.GetSize(int(f.Fd()))
	}
	given := map[string]bool{}
	for ; len(args) > 0; args = args[1:] {
		name, _ := switchName(args[0])
		if i := slices.IndexFunc(r.table, func(s Switch) bool { return s.Name == name && s.do == nil }); i < 0 {
			break
		}
		given[name] = true
	}
	r.raw, r.cut = given["RAWRETURN"], given["NOWRAP"]
	if !r.raw {
		banner(r.out)
	}
	row, rest, err := r.find(args)
	if err == nil {
		r.does, r.cut = row.Does, r.cut || row.Name == "MONITOR" && !given["WRAP"]
		if rest, r.flags, err = shapeOf(row.Operands).read(rest); err == nil {
			err = row.do(ctx, r, rest)
		}
		if m := (misuse{}); errors.As(err, &m) {
			err = misusef("%w\nUsage: bitsadmin %s", m, spelling(row))
		}
	}
	return r.end(ctx, err)
}

// find finds the row of a command line, and its operands: some switches are two words.
func (r *run) find(args []string) (*Switch, []string, error) {
	if len(args) == 0 {
		args = []string{"/HELP"}
	}
	name := ""
	for n := 1; n <= min(2, len(args)); n++ {
		word, ok := switchName(args[n-1])
		if !ok {
			break
		}
		name = strings.TrimSpace(name + " " + word)
		name = cmp.Or(synonyms[name], name)
		if i := slices.IndexFunc(r.table, func(s Switch) bool { return s.Name == name && s.do != nil }); i >= 0 {
			return &r.table[i], args[n:], nil
		}
	}
	r.out.Flush()
	fmt.Fprintf(r.Err, "Unknown switch: %s\n\n", progress.Clean(strings.Join(args[:strings.Count(name, " ")+1], " ")))
	family, _, _ := strings.Cut(name, " ")
	if !slices.ContainsFunc(r.table, func(s Switch) bool { return strings.HasPrefix(s.Name, family+" ") }) {
		family = ""
	}
	usage(r.Err, r.table, family)
	return nil, nil, exit(&bits.Error{Code: hresult.E_INVALIDARG})
}

// switchName is the name of a switch, in capitals; ok is false for a word that is none.
// A dash, or two, may stand in the place of the slash.
func switchName(word string) (name string, ok bool) {
	for _, mark := range []string{"/", "--", "-"} {
		if name, ok = strings.CutPrefix(word, mark); ok {
			return strings.ToUpper(name), true
		}
	}
	return word, false
}

// end reports a failure and makes the exit code of it.
func (r *run) end(ctx context.Context, err error) error {
	if flushed := r.out.Flush(); err == nil && flushed != nil {
		err = fmt.Errorf("cannot write to standard output: %w", flushed)
	}
	var done Exit
	var wrong misuse
	switch cause := context.Cause(ctx); {
	case err == nil:
		return nil
	case errors.As(err, &done):
		return done
	case cause != nil && errors.Is(err, cause):
		return cause
	case errors.As(err, &wrong):
		fmt.Fprintln(r.Err, wrong)
		return exit(&bits.Error{Code: hresult.E_INVALIDARG})
	}
	e := bits.AsError(err)
	r.report(r.does, e)
	return exit(e)
}

// report says what could not be done, the text of the code, and what is known besides.
func (r *run) report(does string, e *bits.Error) {
	r.out.Flush()
	fmt.Fprintf(r.Err, "Unable to %s - %s\n", progress.Clean(does), e.Code)
	for _, line := range []string{e.Code.Message(), e.Message} {
		if line != "" {
			fmt.Fprintln(r.Err, progress.Clean(line))
		}
	}
	if e.Hint != "" {
		fmt.Fprintln(r.Err, "Try: "+progress.Clean(e.Hint))
	}
}

func exit(e *bits.Error) Exit {
	switch {
	case runtime.GOOS == "windows":
		return Exit(int32(e.Code))
	case e.Context == bits.ContextCertificateCallback:
		return exitDeclined // whatever code the application chose
	}
	return Exit(e.Code.Exit())
}

// line prints a line of the answer.
func (r *run) line(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if r.cut && r.screen > 0 {
		text = progress.Cut(text, r.screen)
	}
	fmt.Fprintln(r.out, text)
}

// say prints a line for people.
func (r *run) say(format string, args ...any) {
	if !r.raw {
		r.line("%s", progress.Clean(fmt.Sprintf(format, args...)))
	}
}

func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}

func banner(w io.Writer) {
	fmt.Fprintf(w, "BITSADMIN of bits %s\nThe jobs of this machine, by the switches of bitsadmin.\nFree software under the Apache License, Version 2.0.\n\n", version())
}

// spelling is how a switch is written, with its operands.
func spelling(s *Switch) string {
	return strings.TrimSpace("/" + strings.ReplaceAll(s.Name, " ", " /") + " " + s.Operands)
}

// usage prints the switches, or those of a family.
func usage(w io.Writer, table []Switch, family string) {
	fmt.Fprintln(w, "Usage: bitsadmin [/RAWRETURN] [/WRAP | /NOWRAP] /SWITCH [operands]\n\nA job is named by its display name, or by its GUID.")
	for i := range table {
		if s := &table[i]; family == "" || strings.HasPrefix(s.Name, family+" ") {
			fmt.Fprintf(w, "\n  %s\n      %s\n", spelling(s), s.Does)
		}
	}
}
