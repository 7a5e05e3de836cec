//go:build unix

package program

import (
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// killChildren ends the children of a process.
func killChildren(parent int) {
	out, _ := exec.Command("pgrep", "-P", strconv.Itoa(parent)).Output()
	for word := range strings.FieldsSeq(string(out)) {
		if pid, err := strconv.Atoi(word); err == nil {
			syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}
