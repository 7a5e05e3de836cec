package ipc_test

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"bits/internal/ipc"
)

// A lock that is given back is free, also if a process that is being started still has the file.
func TestUnlockWhileAProcessStarts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	unlock, err := ipc.Lock(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ipc.Lock(path); !errors.Is(err, ipc.ErrInUse) {
		t.Errorf("twice: %v", err)
	}
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	copies := 0
	for _, f := range files {
		if to, _ := os.Readlink("/proc/self/fd/" + f.Name()); to != path {
			continue
		}
		n, _ := strconv.Atoi(f.Name())
		inherited, err := syscall.Dup(n) // as a child has it between fork and exec
		if err != nil {
			t.Fatal(err)
		}
		defer syscall.Close(inherited)
		copies++
	}
	unlock()
	again, err := ipc.Lock(path)
	if err != nil || copies == 0 {
		t.Fatalf("%d copies, %v", copies, err)
	}
	again()
}
