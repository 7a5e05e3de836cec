package digest

import (
	"encoding"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"slices"
)

// Running computes digests of a file from its first byte on.
// The state of all but blake3 can be written down and taken up again, so that nothing is read twice; blake3 begins anew.
type Running struct {
	parts []part
}

// part is one algorithm and how far it is.
type part struct {
	name string
	hash hash.Hash
	at   int64
}

// state is what is written down of a part.
type state struct {
	At   int64  `json:"at"`
	Hash []byte `json:"hash"`
}

// Run begins the digests of these algorithms, or goes on from a state that was written down.
// Done is how many bytes from the first on are certain: a state that is beyond them, or cannot be read, counts for nothing.
func Run(names []string, written []byte, done int64) *Running {
	var states map[string]state
	if json.Unmarshal(written, &states) != nil {
		states = nil
	}
	r := &Running{}
	for name, begin := range hashes {
		if !slices.Contains(names, name) {
			continue
		}
		p := part{name: name, hash: begin()}
		s, ok := states[name]
		if u, able := p.hash.(encoding.BinaryUnmarshaler); ok && able && s.At > 0 && s.At <= done && u.UnmarshalBinary(s.Hash) == nil {
			p.at = s.At
		} else {
			p.hash = begin() // also if half of a state was read
		}
		r.parts = append(r.parts, p)
	}
	return r
}

// Has reports whether every one of the digests is being computed.
func (r *Running) Has(names []string) bool {
	return !slices.ContainsFunc(names, func(n string) bool {
		return !slices.ContainsFunc(r.parts, func(p part) bool { return p.name == n })
	})
}

// Pass takes the bytes at an offset as they pass. What does not follow what was seen is left for [Running.Read].
func (r *Running) Pass(b []byte, at int64) {
	for i := range r.parts {
		p := &r.parts[i]
		if p.at >= at && p.at < at+int64(len(b)) {
			n, _ := p.hash.Write(b[p.at-at:]) // never fails
			p.at += int64(n)
		}
	}
}

// Behind is where the digest that is farthest behind goes on; to if none is behind that.
func (r *Running) Behind(to int64) int64 {
	for _, p := range r.parts {
		to = min(to, p.at)
	}
	return to
}

// Rewind forgets the digests that have seen more than the first n bytes: those begin anew.
func (r *Running) Rewind(n int64) {
	for i := range r.parts {
		if p := &r.parts[i]; p.at > n {
			p.hash.Reset()
			p.at = 0
		}
	}
}

// Read brings every digest up to an offset, from the file itself, each byte once. Stop is asked now and then; an error of it ends the reading.
func (r *Running) Read(from io.ReaderAt, to int64, stop func() error) error {
	at := r.Behind(to)
	buf := make([]byte, min(to-at, 1<<20))
	for at < to {
		if err := stop(); err != nil {
			return err
		}
		n, err := from.ReadAt(buf[:min(int64(len(buf)), to-at)], at)
		if n == 0 {
			return fmt.Errorf("at byte %d: %w", at, err)
		}
		r.Pass(buf[:n], at)
		at += int64(n)
	}
	return nil
}

// State is what is to be written down; nil if there is nothing.
func (r *Running) State() []byte {
	states := map[string]state{}
	for _, p := range r.parts {
		m, able := p.hash.(encoding.BinaryMarshaler)
		if !able || p.at == 0 {
			continue
		}
		if b, err := m.MarshalBinary(); err == nil {
			states[p.name] = state{p.at, b}
		}
	}
	if len(states) == 0 {
		return nil
	}
	b, err := json.Marshal(states)
	if err != nil {
		return nil
	}
	return b
}

// Sums returns the digests of the first size bytes, in hexadecimal; only those that have seen exactly these.
func (r *Running) Sums(size int64) map[string]string {
	sums := map[string]string{}
	for _, p := range r.parts {
		if p.at == size {
			sums[p.name] = hex.EncodeToString(p.hash.Sum(nil))
		}
	}
	return sums
}
