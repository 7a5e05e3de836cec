//go:build unix

package pac

import (
	"syscall"
	"testing"
	"time"
)

// A worker that has ended leaves nothing behind, also if nobody asks any more.
func TestEndedWorker(t *testing.T) {
	w, err := start()
	if err != nil {
		t.Fatal(err)
	}
	w.process.Signal(syscall.SIGKILL) // as when it was idle
	for end := time.Now().Add(10 * time.Second); syscall.Kill(w.process.Pid, 0) == nil; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it stays as a zombie")
		}
	}
	w.end()
}
