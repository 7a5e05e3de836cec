package start

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	"bits"
)

// Registration says what to start when an application is needed and absent: the file GUID.json in the folder of registrations.
// One of the two is set.
type Registration struct {
	Command []string `json:"command,omitempty"` // the full path of a program, and its arguments
	Unit    string   `json:"unit,omitempty"`    // a service of the user's systemd
}

var unit = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9:_.@\\-]*\.service$`)

// check returns what is wrong with a registration.
func (r Registration) check() error {
	switch {
	case (len(r.Command) == 0) == (r.Unit == ""):
		return errors.New("it has a command or a unit, one of them")
	case r.Unit != "" && !unit.MatchString(r.Unit):
		return fmt.Errorf("%q is no service of systemd", r.Unit)
	case r.Unit == "" && !filepath.IsAbs(r.Command[0]):
		return fmt.Errorf("the program %q is no full path", r.Command[0])
	}
	return nil
}

// Register writes a registration, in the place of the one that was there; for the user of this process alone.
func (p Programs) Register(clsid string, r Registration) error {
	if err := r.check(); err != nil {
		return fmt.Errorf("cannot register %s: %w", clsid, err)
	}
	text, err := json.Marshal(r)
	if err == nil {
		err = os.MkdirAll(p.Folder, 0o700)
	}
	path := filepath.Join(p.Folder, clsid+".json")
	if err == nil {
		err = os.WriteFile(path+".new", append(text, '\n'), 0o600)
	}
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		return fmt.Errorf("cannot register %s: %w", clsid, err)
	}
	_, err = p.Registered(clsid) // that the service will take it
	return err
}

// Registered returns the registration of an application.
// It is refused when another user could have written it: the file and its folder belong to the user of the service, or root, and nobody
// else can write to them.
func (p Programs) Registered(clsid string) (r Registration, err error) {
	if p.Folder == "" {
		return r, errors.New("no folder of registered applications is known")
	}
	for _, name := range []string{p.Folder, filepath.Join(p.Folder, clsid+".json")} {
		f, err := os.Open(name)
		if err != nil {
			return r, err
		}
		defer f.Close()
		info, err := f.Stat()
		if err == nil {
			err = safe(info)
		}
		if err != nil {
			return r, err
		}
		if info.Mode().IsRegular() {
			dec := json.NewDecoder(io.LimitReader(f, 1<<16))
			dec.DisallowUnknownFields()
			err = dec.Decode(&r)
		} else if !info.IsDir() || name != p.Folder {
			err = errors.New("it is no file")
		}
		if err != nil {
			return r, fmt.Errorf("cannot read %s: %w", name, err)
		}
	}
	if err := r.check(); err != nil {
		return r, fmt.Errorf("the registration %s: %w", clsid, err)
	}
	return r, nil
}

// Activate starts the application that is registered for a job, as the owner of the job, and returns when it has ended, or when systemd
// has started its unit.
// It is not stopped with the context.
func (p Programs) Activate(_ context.Context, j *bits.Job) error {
	r, err := p.Registered(j.NotificationCLSID)
	if err != nil {
		p.Log.Warn("a registered application cannot be started", "clsid", j.NotificationCLSID, "job", j.ID, "why", err)
		return err
	}
	var cmd *exec.Cmd
	if r.Unit == "" {
		cmd = exec.CommandContext(context.Background(), r.Command[0])
		cmd.Args = r.Command
	} else if cmd, err = systemctl(r.Unit, j.Owner); err != nil {
		p.Log.Warn("a registered unit cannot be started", "clsid", j.NotificationCLSID, "job", j.ID, "unit", r.Unit, "why", err)
		return err
	}
	cmd.Env = append(cmd.Env, "BITS_ACTIVATION="+j.NotificationCLSID)
	return p.run(cmd, j, j.Owner, "activation of "+j.NotificationCLSID)
}

// systemctl is the command that starts a unit of the owner.
func systemctl(unit, owner string) (*exec.Cmd, error) {
	if _, err := os.Stat(system); system == "" || err != nil {
		return nil, errors.New("systemd does not run this machine")
	}
	program, err := exec.LookPath("systemctl")
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(context.Background(), program, "--user", "--no-block", "start", "--", unit)
	if uid, ok := strings.CutPrefix(owner, "uid:"); ok {
		cmd.Env = append(cmd.Env, "XDG_RUNTIME_DIR=/run/user/"+uid)
	}
	return cmd, nil
}
