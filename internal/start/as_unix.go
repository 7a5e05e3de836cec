//go:build unix

package start

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"strings"
	"syscall"

	"bits/internal/ipc"
)

const (
	usualPath = "PATH=/usr/local/bin:/usr/bin:/bin"
	system    = "/run/systemd/system" // is there when systemd runs the machine
)

// become makes the command run as a user, in a session of its own, and returns the environment of that user.
// Another user than that of this process needs root; what cannot be had whole, with all groups, is refused.
func become(cmd *exec.Cmd, owner string) ([]string, error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	id, ok := strings.CutPrefix(owner, "uid:")
	uid, err := strconv.ParseUint(id, 10, 32)
	if !ok || err != nil {
		return nil, fmt.Errorf("%q is no user", owner)
	}
	u, err := user.LookupId(id)
	env := append(keep("LANG"), usualPath)
	if owner == ipc.Self().Owner {
		if home, herr := os.UserHomeDir(); err != nil || herr == nil {
			u = &user.User{HomeDir: home, Username: nameOf(u, os.Getenv("USER"))}
		}
		env = append(env, keep("PATH", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "DBUS_SESSION_BUS_ADDRESS")...)
	} else {
		if err != nil {
			return nil, err
		}
		if os.Geteuid() != 0 {
			return nil, fmt.Errorf("this service is that of %s, and cannot become %s", ipc.Self().Owner, owner)
		}
		c := &syscall.Credential{Uid: uint32(uid)}
		groups, err := u.GroupIds()
		if err != nil {
			return nil, err
		}
		for _, g := range append(groups, u.Gid) {
			n, err := strconv.ParseUint(g, 10, 32)
			if err != nil {
				return nil, err
			}
			c.Gid = uint32(n) // the last is the user's own
			c.Groups = append(c.Groups, uint32(n))
		}
		cmd.SysProcAttr.Credential = c
	}
	cmd.Dir = cmp.Or(u.HomeDir, "/")
	if info, err := os.Stat(cmd.Dir); err != nil || !info.IsDir() {
		cmd.Dir = "/"
	}
	return append(env, "HOME="+cmp.Or(u.HomeDir, "/"), "USER="+u.Username, "LOGNAME="+u.Username), nil
}

func nameOf(u *user.User, otherwise string) string {
	if u != nil {
		return u.Username
	}
	return otherwise
}

// onCommandLine is for systems where a program gets its parameters as one text.
func onCommandLine(*exec.Cmd, string) {}

// safe returns the error of a file of which somebody else than this user, or root, could change the content.
func safe(info os.FileInfo) error {
	if uid := info.Sys().(*syscall.Stat_t).Uid; uid != uint32(os.Geteuid()) && uid != 0 {
		return fmt.Errorf("%s belongs to another user (uid %d)", info.Name(), uid)
	}
	if info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("other users can write to %s (mode %04o)", info.Name(), info.Mode().Perm())
	}
	return nil
}
