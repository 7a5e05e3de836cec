package bits_test

import (
	"errors"
	"strings"
	"testing"

	"bits"
	"bits/hresult"
)

// matrix is the whole life cycle, written down a second time, by hand, from the pages of Microsoft: rows are states, columns are
// actions; Q queued, C connecting, T transferring, S suspended, E error, R transient error, D transferred (done), A acknowledged,
// X cancelled, - not allowed.
const matrix = `
               resume suspend complete cancel begin contact yield finish fail-transient fail-fatal retry expire invalidate satisfy
QUEUED          Q      S       A        X      C     -       Q     -      R              -          -     X      E          -
CONNECTING      C      S       A        X      -     T       Q     D      R              E          -     X      E          S
TRANSFERRING    T      S       A        X      -     T       Q     D      R              E          -     X      E          S
SUSPENDED       Q      S       A        X      -     -       -     -      -              -          -     X      E          -
ERROR           Q      S       A        X      -     -       -     -      -              -          -     X      E          -
TRANSIENT_ERROR Q      S       A        X      -     -       -     -      -              E          Q     X      E          -
TRANSFERRED     D      D       A        X      -     -       -     -      -              E          -     X      E          -
ACKNOWLEDGED    -      -       -        -      -     -       -     -      -              -          -     -      -          -
CANCELLED       -      -       -        -      -     -       -     -      -              -          -     -      -          -
`

const letters = "QCTSERDAX"

func TestLifeCycle(t *testing.T) {
	lines := strings.Split(strings.TrimSpace(matrix), "\n")
	actions := strings.Fields(lines[0])
	seen := 0
	for _, line := range lines[1:] {
		cells := strings.Fields(line)
		var from bits.State
		if err := from.UnmarshalText([]byte(cells[0])); err != nil {
			t.Fatal(err)
		}
		for i, cell := range cells[1:] {
			seen++
			if a := bits.Action(i); a.String() != actions[i] {
				t.Fatalf("action %d is %v, want %s", i, a, actions[i])
			}
			next, err := from.After(bits.Action(i))
			switch {
			case cell == "-":
				if !errors.Is(err, bits.ErrInvalidState) || next != from {
					t.Errorf("%v %s: %v, %v; want BG_E_INVALID_STATE and no change", from, actions[i], next, err)
				}
			case err != nil || int(next) != strings.Index(letters, cell):
				t.Errorf("%v %s: %v, %v; want %s", from, actions[i], next, err, cell)
			}
		}
	}
	if seen != 9*14 {
		t.Errorf("the matrix has %d cells", seen)
	}
	for _, s := range []bits.State{-1, 9} {
		if _, err := s.After(bits.Resume); err == nil {
			t.Errorf("state %v can be resumed", s)
		}
	}
	if _, err := bits.StateQueued.After(bits.Action(99)); err == nil {
		t.Error("an action that there is not is allowed")
	}
}

func TestLifeCycleOfJobs(t *testing.T) {
	file := []bits.File{{}}
	for _, c := range []struct {
		name   string
		job    bits.Job
		action bits.Action
		want   bits.State
		code   hresult.Code
	}{
		{"empty", bits.Job{State: bits.StateSuspended}, bits.Resume, bits.StateSuspended, hresult.BG_E_EMPTY},
		{"with a file", bits.Job{State: bits.StateSuspended, Files: file}, bits.Resume, bits.StateQueued, 0},
		{"transferred with a new file", bits.Job{State: bits.StateTransferred, Files: file}, bits.Resume, bits.StateQueued, 0},
		{"transferred", bits.Job{State: bits.StateTransferred, Files: []bits.File{{Finished: true}}}, bits.Resume, bits.StateTransferred, 0},
		{"empty job completed", bits.Job{State: bits.StateSuspended}, bits.Complete, bits.StateAcknowledged, 0},
		{"upload before its end", bits.Job{State: bits.StateSuspended, Type: bits.Upload, Files: file}, bits.Complete, bits.StateSuspended, hresult.BG_E_INVALID_STATE},
	} {
		got, err := c.job.After(c.action)
		code := hresult.Code(0)
		if err != nil {
			code = bits.AsError(err).Code
		}
		if got != c.want || code != c.code {
			t.Errorf("%s: %v, %v; want %v, %v", c.name, got, code, c.want, c.code)
		}
	}
}

func TestPaused(t *testing.T) {
	for s := bits.StateQueued; s <= bits.StateCancelled; s++ {
		want := s == bits.StateSuspended || s == bits.StateError || s == bits.StateTransferred
		if s.Paused() != want {
			t.Errorf("%v.Paused() = %v", s, s.Paused())
		}
	}
}
