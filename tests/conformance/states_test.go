package conformance

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"bits"
	"bits/internal/contract"
)

// cell is one call in one state.
type cell struct {
	at, call, code, state string
}

// matrix reads states.txt: the cells by type and state.
func matrix(t testing.TB) map[string]map[bits.State][]cell {
	t.Helper()
	text, err := os.ReadFile("testdata/states.txt")
	if err != nil {
		t.Fatal(err)
	}
	times := regexp.MustCompile(`^(.*)\*(\d+)$`)
	all, kind := map[string]map[bits.State][]cell{}, ""
	for n, line := range strings.Split(string(text), "\n") {
		at := fmt.Sprintf("states.txt:%d", n+1)
		call, columns, ok := strings.Cut(line, " | ")
		switch {
		case line == "" || strings.HasPrefix(line, "//"):
			continue
		case !ok:
			kind = line
			all[kind] = map[bits.State][]cell{}
			continue
		}
		var words []string
		for _, word := range strings.Fields(columns) {
			count := 1
			if m := times.FindStringSubmatch(word); m != nil {
				word = m[1]
				count, _ = strconv.Atoi(m[2])
			}
			for range count {
				words = append(words, word)
			}
		}
		if len(words) != 9 {
			t.Fatalf("%s: %d columns, and there are 9 states", at, len(words))
		}
		for state, word := range words {
			if word != "-" {
				code, after, _ := strings.Cut(word, ">")
				code = map[string]string{"ok": "S_OK", "invalid": "BG_E_INVALID_STATE"}[code] + strings.NewReplacer("ok", "", "invalid", "").Replace(code)
				all[kind][bits.State(state)] = append(all[kind][bits.State(state)], cell{at, call, code, after})
			}
		}
	}
	return all
}

// ways are how a job gets into a state for real.
var ways = map[bits.State]struct{ page, steps string }{
	bits.StateQueued:         {"dead", "resume $J;wait $J QUEUED"}, // behind a job of a higher priority
	bits.StateConnecting:     {"dead", "resume $J;wait $J CONNECTING"},
	bits.StateTransferring:   {"half", "resume $J;wait $J TRANSFERRING"},
	bits.StateSuspended:      {"dead", ""},
	bits.StateError:          {"404", "resume $J;wait $J ERROR"},
	bits.StateTransientError: {"503", "resume $J;wait $J TRANSIENT_ERROR"},
	bits.StateTransferred:    {"ok", "resume $J;wait $J TRANSFERRED"},
	bits.StateAcknowledged:   {"ok", "resume $J;wait $J TRANSFERRED;complete $J"},
	bits.StateCancelled:      {"ok", "cancel $J"},
}

// TestStates makes each call in each state, of each type, through each door.
func TestStates(t *testing.T) {
	t.Parallel()
	o := newOrigin()
	t.Cleanup(o.close)
	for door, open := range chosen() {
		for kind, states := range matrix(t) {
			for state, cells := range states {
				t.Run(fmt.Sprint(door, "/", kind, "/", state), func(t *testing.T) {
					t.Parallel()
					if !(row{marks: map[string]string{}}).ours() {
						t.Skip("another user is at work")
					}
					s := newService(t, false, nil)
					w := &world{t: t, door: open(s), s: s, origin: o, key: strings.ReplaceAll(t.Name(), "/", "-"), ids: map[string]string{}, states: map[string]bits.State{}}
					w.play("write source \"text\"")
					if state == bits.StateQueued {
						w.play("create ahead;set ahead priority \"HIGH\";add ahead $URL/dead ahead;resume ahead;wait ahead CONNECTING")
					}
					for n, c := range cells {
						if strings.HasPrefix(c.call, "own ") && os.Getuid() != 0 {
							continue // it is for administrators
						}
						w.cell(fmt.Sprint("j", n), kind, state, c)
						if t.Failed() {
							return
						}
					}
				})
			}
		}
	}
}

// play carries out steps.
func (w *world) play(steps string) {
	w.t.Helper()
	for line := range strings.SplitSeq(steps, ";") {
		if line == "" {
			continue
		}
		s, err := readStep(w.t.Name(), line)
		if err != nil {
			w.t.Fatal(err)
		}
		if !w.step(s) || w.t.Failed() {
			w.t.FailNow()
		}
	}
}

// cell makes a job, brings it into the state, makes the call, and looks at what came of it.
func (w *world) cell(job, kind string, state bits.State, c cell) {
	w.t.Helper()
	way, file := ways[state], "file-"+job
	if kind != "DOWNLOAD" {
		file = "source"
		if state == bits.StateError {
			way.page = "ok" // engine: uploads
		}
	}
	named := strings.NewReplacer("$J", job, "$F", "$URL/"+way.page)
	w.play(fmt.Sprintf("create %s %s;add %s $URL/%s %s", job, kind, job, way.page, file))
	w.play(named.Replace(way.steps))
	w.play(named.Replace(c.call) + " = " + c.code)
	w.states[job] = -1
	switch {
	case c.state == "again":
		w.play("waitfor " + job + " error_count -> 2;wait " + job + " " + state.String())
	case c.state == "SUSPENDED", c.state == "CANCELLED", c.state == "ACKNOWLEDGED":
		w.play("get " + job + " state -> \"" + c.state + "\"")
	case c.state != "":
		w.play("wait " + job + " " + c.state)
	default: // a job that runs may have to connect anew
		w.play("wait " + job + " " + state.String())
	}
	if j, err := w.s.client.Job(ctx, w.ids[job]); err == nil && !j.State.Final() {
		w.play("cancel " + job)
	}
	if w.t.Failed() {
		w.t.Logf("%s: %s in %v", c.at, c.call, state)
	}
}

// Every property that can be set, and every operation, stands in the matrix.
func TestStatesAreWhole(t *testing.T) {
	text, err := os.ReadFile("testdata/states.txt")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(text), "\n")
	has := func(call string) bool {
		return slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, call+" ") })
	}
	for _, p := range contract.Properties() {
		if p.Settable() && !has("set $J "+p.Name) {
			t.Errorf("the property %s is not set in each state", p.Name)
		}
	}
	for _, o := range contract.Operations() {
		if !has("call $J "+o.Name) && !has("filecall $J 0 "+o.Name) {
			t.Errorf("the call %s is not made in each state", o.Name)
		}
	}
}
