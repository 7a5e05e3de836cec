package judge

import (
	"os/exec"
	"syscall"
)

// Shell is the command that runs a line of shell.
func Shell(line string) []string { return []string{"cmd", "/c", line} }

// Typed is how Shell of the line is typed at a prompt.
func Typed(line string) string { return `cmd /c "` + line + `"` }

// separate keeps Ctrl-C at the terminal from the command, as that would look like a decline.
func separate(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{CreationFlags: syscall.CREATE_NEW_PROCESS_GROUP}
}
