package conformance

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"bits"
	"bits/client"
	"bits/client/bitstest"
	"bits/hresult"
	"bits/internal/contract"
	"bits/internal/ipc"
	"bits/internal/program"
)

// world is where the steps of one row happen.
type world struct {
	t      testing.TB
	row    row
	door   door
	s      *service
	origin *origin
	key    string            // of the row, in URLs
	ids    map[string]string // of jobs, by the names that the row gives them
	states map[string]bits.State
	lives  bool // a restart follows each step
	kill   bool // the next restart is a kill

	listeners map[string]*listener
}

// run carries out the steps of the row.
func (w *world) run() {
	for _, s := range w.row.steps {
		if !w.step(s) {
			return
		}
		if w.lives {
			w.restart(s)
		}
		if w.t.Failed() {
			return
		}
	}
}

func (w *world) errorf(s step, format string, args ...any) {
	w.t.Helper()
	w.t.Errorf("%s: %s\n\t%s", s.at, s.text, fmt.Sprintf(format, args...))
}

// fill puts values in the place of variables.
func (w *world) fill(word string) string {
	pairs := []string{"$URL", w.origin.server.URL + "/" + w.key, "$DIR", w.dir(), "$ME", ipc.Self().Owner, "$HASH", identity.hash, "$CERTIFICATE", identity.file, "$TLS", w.origin.secure.URL + "/" + w.key}
	for _, name := range slices.SortedFunc(maps.Keys(w.ids), func(a, b string) int { return len(b) - len(a) }) {
		pairs = append(pairs, "$"+name, w.ids[name])
	}
	return strings.NewReplacer(pairs...).Replace(expand(word))
}

func (w *world) dir() string {
	dir := filepath.Join(w.s.dir, "files")
	os.MkdirAll(dir, 0o777)
	return dir
}

// local makes a full path of a name; one that begins with = is taken as it stands.
func (w *world) local(name string) string {
	if literal, ok := strings.CutPrefix(name, "="); ok {
		return literal
	}
	return filepath.Join(w.dir(), filepath.FromSlash(name))
}

func unquote(word string) string {
	var s string
	if json.Unmarshal([]byte(word), &s) == nil {
		return s
	}
	return word
}

// step carries out one step, and reports whether the row can go on.
func (w *world) step(s step) bool {
	w.t.Helper()
	args := make([]string, len(s.args))
	for i := range s.args {
		args[i] = w.fill(s.args[i])
	}
	arg := func(i int) string {
		if i < len(args) {
			return args[i]
		}
		return ""
	}
	id := w.ids[arg(0)]
	number := func(i int) int { n, _ := strconv.Atoi(arg(i)); return n }
	var a answer
	switch s.verb {
	case "create": // NAME [TYPE [DISPLAY_NAME]]
		spec := bits.Spec{DisplayName: w.row.name(), Environment: map[string]string{}}
		if len(spec.DisplayName) > 200 {
			spec.DisplayName = spec.DisplayName[:200]
		}
		if len(args) > 1 {
			if err := spec.Type.UnmarshalText([]byte(args[1])); err != nil {
				spec.Type = 99
			}
		}
		if len(args) > 2 {
			spec.DisplayName = unquote(args[2])
		}
		if id, a = w.door.create(spec); id != "" {
			w.ids[args[0]] = id
			w.states[args[0]] = bits.StateSuspended
		}
	case "list": // -> NAME ...
		var ids, names []string
		ids, a = w.door.list()
		for _, id := range ids {
			for name, known := range w.ids {
				if known == id {
					names = append(names, name)
				}
			}
		}
		a.value = bitstest.JSON(strings.Join(names, " "))
		s.want = strconv.Quote(s.want)
	case "add": // NAME [URL LOCAL]...
		var files []bits.FileSpec
		for i := 1; i+1 < len(args); i += 2 {
			files = append(files, bits.FileSpec{RemoteName: unquote(args[i]), LocalName: w.local(unquote(args[i+1]))})
		}
		a = w.door.add(id, files)
	case "addmany": // NAME N URL LOCAL
		var files []bits.FileSpec
		for i := range number(1) {
			files = append(files, bits.FileSpec{RemoteName: fmt.Sprint(args[2], i), LocalName: w.local(fmt.Sprint(args[3], i))})
		}
		a = w.door.add(id, files)
	case "ranges": // NAME URL LOCAL [OFFSET:LENGTH,...]; eof is a length
		spec := bits.FileSpec{RemoteName: args[1], LocalName: w.local(args[2]), Ranges: []bits.FileRange{}}
		for _, r := range strings.FieldsFunc(arg(3), func(r rune) bool { return r == ',' }) {
			from, length, _ := strings.Cut(r, ":")
			var fr bits.FileRange
			fr.Offset, _ = strconv.ParseInt(from, 10, 64)
			if fr.Length, _ = strconv.ParseInt(length, 10, 64); length == "eof" {
				fr.Length = bits.ToEOF
			}
			spec.Ranges = append(spec.Ranges, fr)
		}
		a = w.door.add(id, []bits.FileSpec{spec})
	case "get": // NAME PROPERTY[.FIELD]
		a = w.door.get(id, args[1])
	case "fileget": // NAME FILE PROPERTY[.FIELD]
		a = w.door.fileGet(id, number(1), args[2])
	case "set": // NAME PROPERTY VALUE
		a = w.door.set(id, args[1], json.RawMessage(args[2]))
		if args[1] == "priority" {
			w.states[args[0]] = -1 // it may have its turn now
		}
	case "call": // NAME OPERATION [PARAMETERS]
		a = w.door.call(id, args[1], json.RawMessage(arg(2)))
	case "filecall": // NAME FILE OPERATION [PARAMETERS]
		a = w.door.fileCall(id, number(1), args[2], json.RawMessage(arg(3)))
	case "resume", "suspend", "complete", "cancel", "own": // NAME
		a = w.door.act(id, s.verb)
		w.states[args[0]] = -1 // whatever comes; the next wait says it
	case "wait": // NAME STATE
		var want bits.State
		if err := want.UnmarshalText([]byte(arg(1))); err != nil {
			w.errorf(s, "%v", err)
			return false
		}
		w.states[args[0]] = want
		return w.wait(s, args[0], want)
	case "waitfor": // NAME PROPERTY.FIELD -> VALUE
		program.Until(func() bool {
			a = w.door.get(id, args[1])
			return w.compare(s, a, args[1]) == ""
		})
	case "listen", "leave", "refuse", "told", "untold":
		w.listening(s, args)
		return true
	case "restart": // the service
		w.s.end(w.t, false)
		w.s.start(w.t)
		return true
	case "open": // the gate of the row's origin
		w.origin.open(w.key)
		for name, state := range w.states {
			if state.Running() {
				w.states[name] = -1
			}
		}
		return true
	case "appears": // LOCAL
		if !program.Until(func() bool { _, err := os.Lstat(w.local(arg(0))); return err == nil }) {
			w.errorf(s, "it does not")
		}
		return true
	case "exists", "missing": // LOCAL
		if _, err := os.Lstat(w.local(arg(0))); (err == nil) != (s.verb == "exists") {
			w.errorf(s, "%v", err)
		}
		return true
	case "content": // LOCAL FROM:TO[,FROM:TO]: of the content of a good server
		return w.content(s, w.local(arg(0)), arg(1))
	case "text": // LOCAL TEXT
		there, err := os.ReadFile(w.local(arg(0)))
		if string(there) != unquote(arg(1)) {
			w.errorf(s, "it is %q, %v", there, err)
		}
		return true
	case "write": // LOCAL TEXT
		if err := os.WriteFile(w.local(arg(0)), []byte(unquote(arg(1))), 0o666); err != nil {
			w.errorf(s, "%v", err)
		}
		return true
	case "mkdir":
		if err := os.Mkdir(w.local(arg(0)), 0o777); err != nil {
			w.errorf(s, "%v", err)
		}
		return true
	case "removetemporary": // NAME FILE: somebody else does
		j, err := w.s.client.Job(ctx, id)
		if err == nil {
			err = os.Remove(j.Files[number(1)].Temporary)
		}
		if err != nil {
			w.errorf(s, "%v", err)
		}
		return true
	case "requests": // PATH -> NUMBER
		n := 0
		for _, r := range w.origin.requests(w.key) {
			if strings.Contains(r, args[0]) {
				n++
			}
		}
		a = answer{value: bitstest.JSON(n)}
	default:
		w.errorf(s, "there is no verb %s", s.verb)
		return false
	}
	code := codeOf(w.t, s.at, cmp.Or(s.code, "S_OK"))
	if a.text != nil && !code.Failed() {
		a.code = code // words tell a value, and no code of success
	}
	if a.code != code {
		w.errorf(s, "%v %s (%v), and %s is right", a.code, a.code.Name(), a.err, s.code)
		return true
	}
	if s.returned {
		property := ""
		switch s.verb {
		case "get", "waitfor":
			property = args[1]
		case "fileget":
			property = args[2]
		}
		if why := w.compare(s, a, property); why != "" {
			w.errorf(s, "%s", why)
		}
	}
	return true
}

func codeOf(t testing.TB, at, name string) hresult.Code {
	t.Helper()
	c, err := hresult.Parse(name)
	if err != nil {
		t.Fatalf("%s: %v", at, err)
	}
	return c
}

// compare returns what is wrong with the value of an answer, or nothing. "A | B" is A without and B with a restart before;
// * is any value but null; /x/ is an expression for a text.
func (w *world) compare(s step, a answer, property string) string {
	want := w.fill(s.want)
	if first, after, two := strings.Cut(want, " | "); two {
		if want = first; w.lives {
			want = after
		}
	}
	var value any
	if a.text != nil {
		value = *a.text
	} else if err := json.Unmarshal(a.value, &value); err != nil {
		return fmt.Sprintf("%v: %s", err, a.value)
	}
	if _, path, ok := strings.Cut(property, "."); ok && a.text == nil {
		for field := range strings.SplitSeq(path, ".") {
			object, ok := value.(map[string]any)
			if list, isList := value.([]any); isList {
				if n, err := strconv.Atoi(field); err == nil && n < len(list) {
					value = list[n]
					continue
				}
			}
			if !ok {
				return fmt.Sprintf("no field %s in %s", field, a.value)
			}
			value = object[field]
		}
	}
	if want == "*" {
		if value == nil || value == "" || value == "UNKNOWN" || value == "NULL" {
			return "it is " + fmt.Sprint(value)
		}
		return ""
	}
	if pattern, ok := strings.CutPrefix(want, "/"); ok {
		text, isText := value.(string)
		if !isText {
			text = fmt.Sprint(value)
		}
		if !regexp.MustCompile(strings.TrimSuffix(pattern, "/")).MatchString(text) {
			return fmt.Sprintf("it is %q", text)
		}
		return ""
	}
	var right any
	if err := json.Unmarshal([]byte(want), &right); err != nil {
		return fmt.Sprintf("%v: %s", err, want)
	}
	if a.text != nil {
		right = words(property, right)
	}
	if !reflect.DeepEqual(value, right) {
		return fmt.Sprintf("it is %v, and %s is right", short(value), short(want))
	}
	return ""
}

func short(v any) string {
	s := fmt.Sprint(v)
	if len(s) > 300 {
		s = s[:300] + "..."
	}
	return s
}

func (w *world) wait(s step, name string, want bits.State) bool {
	w.t.Helper()
	id := w.ids[name]
	var j *bits.Job
	var err error
	program.Until(func() bool {
		j, err = w.s.client.Job(ctx, id)
		return err == nil && (j.State == want || client.Settled(j) && j.State != bits.StateSuspended)
	})
	if err == nil && j.State == want {
		return true
	}
	if err == nil {
		w.errorf(s, "it is %v: %+v", j.State, j.Error)
	} else {
		w.errorf(s, "%v", err)
	}
	return false
}

// content compares a file with parts of the content, one after another.
func (w *world) content(s step, local, parts string) bool {
	var want []byte
	for part := range strings.SplitSeq(parts, ",") {
		from, to := 0, len(content)
		fmt.Sscanf(part, "%d:%d", &from, &to)
		want = append(want, content[from:to]...)
	}
	if parts == "other" {
		want = bitstest.Content(2, 1000)
	}
	there, err := os.ReadFile(local)
	if err != nil || !bytes.Equal(there, want) {
		w.errorf(s, "%d bytes are there, and %d others are right (%v)", len(there), len(want), err)
	}
	return true
}

// picture is everything that can be read of the jobs of a row: what must be the same after a restart.
func (w *world) picture() map[string]string {
	p := map[string]string{}
	api := newHTTPDoor(w.s)
	note := func(key string, a answer) { p[key] = fmt.Sprintf("%v %s", a.code, a.value) }
	for name, id := range w.ids {
		j, err := w.s.client.Job(ctx, id)
		if err != nil {
			p[name] = err.Error()
			continue
		}
		moving := j.State.Running() || j.State == bits.StateQueued
		for _, prop := range contract.Properties() {
			switch {
			case prop.Name == "notify_interface": // is of the life of its application
			case moving && slices.Contains([]string{"state", "progress", "times", "error", "error_count"}, prop.Name):
			default:
				note(name+" "+prop.Name, api.get(id, prop.Name))
			}
		}
		for n := range j.Files {
			for _, prop := range contract.FileProperties() {
				if moving && !slices.Contains([]string{"local_name", "ranges", "temporary_name", "validation_state"}, prop.Name) {
					continue
				}
				note(fmt.Sprintf("%s file %d %s", name, n, prop.Name), api.fileGet(id, n, prop.Name))
			}
		}
	}
	return p
}

// restart ends the service, one time in two by a kill, and starts it again: what must persist does, and what must not does not.
func (w *world) restart(s step) {
	w.t.Helper()
	before := w.picture()
	w.s.end(w.t, w.kill)
	w.kill = !w.kill
	w.s.start(w.t)
	for name, state := range w.states {
		// What is running or waiting for it is QUEUED, and gets there again.
		if id := w.ids[name]; id != "" && state >= 0 && (state.Running() || state == bits.StateQueued) {
			w.wait(s, name, state)
		}
	}
	after := w.picture()
	volatile, _, _ := strings.Cut(w.row.marks["volatile"], ":")
	for key, was := range before {
		is, ok := after[key]
		_, property, _ := strings.Cut(key, " ")
		switch {
		case slices.Contains(strings.Fields(volatile), property):
			if is != "0x00000000 null" && is != "0x00000000 false" {
				w.errorf(s, "after a restart %s is still %s", key, is)
			}
		case ok && was != is:
			w.errorf(s, "after a restart %s is %s, and was %s", key, short(is), short(was))
		}
	}
}
