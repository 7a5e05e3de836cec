package netmon

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// A new list of name servers is told of, in whatever way it is put there, and nothing else.
func TestResolver(t *testing.T) {
	dir := t.TempDir()
	path, run := filepath.Join(dir, "resolv.conf"), filepath.Join(dir, "run")
	heard := make(chan event, 100)
	f, follows, err := resolver(path)(func(e event) { heard <- e })
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	go follow(f, follows)
	write := func(name string) error {
		return os.WriteFile(filepath.Join(dir, name), []byte("nameserver 192.0.2.1\n"), 0o600)
	}
	replace := func(from, to string) error {
		return errors.Join(write(from), os.Rename(filepath.Join(dir, from), filepath.Join(dir, to)))
	}
	for _, c := range []struct {
		name string
		do   func() error
		told bool
	}{
		{"another file", func() error { return write("hosts") }, false},
		{"it appears", func() error { return write("resolv.conf") }, true},
		{"it is written to", func() error { return write("resolv.conf") }, true},
		{"it is replaced", func() error { return replace("new", "resolv.conf") }, true},
		{"the new one is written to", func() error { return write("resolv.conf") }, true},
		{"it becomes a link", func() error {
			return errors.Join(os.Mkdir(run, 0o700), write("run/stub.conf"), os.Symlink("run/stub.conf", path+".link"), os.Rename(path+".link", path))
		}, true},
		{"where the link leads is written to", func() error { return write("run/stub.conf") }, true},
		{"where the link leads is replaced", func() error { return replace("run/new", "run/stub.conf") }, true},
		{"beside it", func() error { return write("run/leases") }, false},
		{"it is gone", func() error { return os.Remove(path) }, false},
		{"it is back", func() error { return replace("new", "resolv.conf") }, true},
	} {
		err, told := c.do(), false
		for wait := 5 * time.Second; ; wait = 50 * time.Millisecond {
			if !c.told {
				wait = 50 * time.Millisecond
			}
			select {
			case <-heard:
				told = true
				continue
			case <-time.After(wait):
			}
			break
		}
		if err != nil || told != c.told {
			t.Errorf("%s: told: %v, %v; want %v", c.name, told, err, c.told)
		}
	}
}
