package start

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"bits/internal/ipc"
)

const system = "" // no systemd

// become makes the command run as the user of this process; as another it cannot be run yet.
func become(cmd *exec.Cmd, owner string) ([]string, error) {
	if owner != ipc.Self().Owner {
		return nil, fmt.Errorf("this service is that of %s, and cannot become %s", ipc.Self().Owner, owner)
	}
	if home, err := os.UserHomeDir(); err == nil {
		cmd.Dir = home
	}
	return keep("PATH", "USERPROFILE", "USERNAME", "APPDATA", "LOCALAPPDATA", "SYSTEMROOT", "TEMP"), nil
}

// onCommandLine gives the program its parameters as they are, as CreateProcess does.
func onCommandLine(cmd *exec.Cmd, parameters string) {
	if parameters != "" {
		cmd.SysProcAttr = &syscall.SysProcAttr{CmdLine: parameters}
	}
}

// safe leaves it to the access list of the user's own folder.
func safe(os.FileInfo) error { return nil }
