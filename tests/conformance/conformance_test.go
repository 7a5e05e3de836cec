// Package conformance holds the suite that shows BITS function by function and rule by rule: rows of steps in text files, run through
// three doors (package client, the bare API, the command line), and run again with a restart of the service after each step.
package conformance

import (
	"fmt"
	"hash/fnv"
	"os"
	"testing"

	"bits"
)

// TestConformance runs each row through each door.
func TestConformance(t *testing.T) {
	t.Parallel()
	o := newOrigin()
	t.Cleanup(o.close)
	for door, open := range chosen() {
		t.Run(door, func(t *testing.T) {
			t.Parallel()
			for n, r := range all(t) {
				if !r.has(door) || !r.ours() {
					continue
				}
				t.Run(r.name(), func(t *testing.T) {
					t.Parallel()
					play(t, r, fmt.Sprint(door, n), o, open, false)
				})
			}
		})
	}
}

// TestRestarts runs the rows again, with a restart of the service after each step: everything that should persist does, and
// everything that should not does not. One row in ten is looked at, or, with BITS_CONFORMANCE=all, every one.
func TestRestarts(t *testing.T) {
	t.Parallel()
	o := newOrigin()
	t.Cleanup(o.close)
	for n, r := range all(t) {
		h := fnv.New32()
		h.Write([]byte(r.name()))
		if r.marks["once"] != "" || r.marks["limits"] != "" || r.marks["user"] != "" || os.Getenv("BITS_CONFORMANCE") != "all" && h.Sum32()%10 != 0 {
			continue
		}
		t.Run(r.name(), func(t *testing.T) {
			t.Parallel()
			play(t, r, fmt.Sprint("restart", n), o, doors["http"], true)
		})
	}
}

// ours reports whether the row is for the user that runs this process.
func (r row) ours() bool {
	switch ordinary := os.Getuid() != 0; r.marks["user"] {
	case "ordinary":
		return ordinary
	case "administrator":
		return !ordinary
	}
	return os.Getenv("BITS_CONFORMANCE") != "ordinary"
}

func play(t *testing.T, r row, key string, o *origin, open func(*service) door, lives bool) {
	l, err := limitsOf(r.marks["limits"])
	if err != nil {
		t.Fatal(err)
	}
	s := newService(t, lives, l)
	w := &world{t: t, row: r, door: open(s), s: s, origin: o, key: key, ids: map[string]string{}, states: map[string]bits.State{}, listeners: map[string]*listener{}, lives: lives, kill: key[len(key)-1]%2 == 0}
	w.run()
}
