package daemon

import (
	"bytes"
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"io"
	"os"

	"bits/internal/wire"
)

// Executable identifies the program that runs.
// Two builds of the same source with the same tools have the same id.
func Executable() wire.Build {
	path, err := os.Executable()
	if err != nil {
		return wire.Build{ID: "unknown"}
	}
	b := wire.Build{Path: path, ID: "unknown"}
	if info, err := os.Stat(path); err == nil {
		b.Time = info.ModTime().UTC()
	}
	if id := buildID(path); len(id) > 0 {
		sum := sha256.Sum256(id)
		b.ID = hex.EncodeToString(sum[:8])
	}
	return b
}

// buildID reads the build id that Go's linker writes: a section of its own in ELF, else a marked text at the start of the code.
func buildID(path string) []byte {
	if f, err := elf.Open(path); err == nil {
		defer f.Close()
		if s := f.Section(".note.go.buildid"); s != nil {
			id, _ := s.Data()
			return id
		}
		return nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	head, _ := io.ReadAll(io.LimitReader(f, 64<<10))
	_, rest, found := bytes.Cut(head, []byte("\xff Go build ID: \""))
	id, _, closed := bytes.Cut(rest, []byte("\"\n \xff"))
	if !found || !closed {
		return nil
	}
	return id
}
