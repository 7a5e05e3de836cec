//go:build unix

package judge

import (
	"os/exec"
	"strings"
	"syscall"
)

// Shell is the command that runs a line of shell.
func Shell(line string) []string { return []string{"/bin/sh", "-c", line} }

// Typed is how Shell of the line is typed at a prompt.
func Typed(line string) string { return "sh -c '" + strings.ReplaceAll(line, "'", `'\''`) + "'" }

// separate makes the command the head of a process group of its own: Ctrl-C at the terminal does not reach it, as that would look like
// a decline, and all of it is killed when the context ends.
func separate(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}
