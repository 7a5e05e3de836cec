package bitsadmin

import (
	"context"
	"errors"
	"os"
	"strconv"
	"time"

	"bits"
	"bits/client"
	"bits/hresult"
	"bits/internal/ipc"
	"bits/internal/wire"
)

// patience is how long a service may take to answer before it counts as one that hangs.
const patience = 5 * time.Second

// serviceVersion prints the version, and with /VERBOSE what else is known of the service.
func serviceVersion(ctx context.Context, r *run, _ []string) error {
	a := one(version())
	if r.has("VERBOSE") && !r.raw {
		s, err := r.service(ctx)
		if err != nil {
			return err
		}
		a.lines = append(a.lines,
			"API: "+s.API, "BUILD: "+s.Build.ID, "PROGRAM: "+s.Build.Path, "PROCESS: "+strconv.Itoa(s.PID), "STARTED: "+moment(&s.Started),
			"STATE FOLDER: "+s.State, "CALLER: "+owner(s.Owner), "APPLICATIONS ATTACHED: "+strconv.Itoa(s.Asking))
	}
	return r.print(a)
}

// repair looks whether the service answers, and starts one where none does.
// With /FORCE one that answers is ended at a checkpoint and started anew, and one that hangs is killed: no job is lost by it.
func repair(ctx context.Context, r *run, _ []string) error {
	s, err := r.ask(ctx)
	switch {
	case err == nil && !r.has("FORCE"):
		r.say("The service answers: process %d, build %s, state folder %s.", s.PID, s.Build.ID, s.State)
		r.say("There is nothing to repair.")
		return nil
	case err == nil:
		if err := r.Client.Do(ctx, "POST", "/system/stop", nil, nil); err != nil {
			return err
		}
		for err == nil && ctx.Err() == nil {
			time.Sleep(20 * time.Millisecond)
			_, err = r.ask(ctx)
		}
		r.say("Ended the service, process %d, at a checkpoint.", s.PID)
	case errors.Is(err, client.ErrUnreachable):
		r.say("No service answers: %v.", err)
	case errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil:
		pid, err := r.hanging(ctx)
		if err != nil {
			return err
		} else if !r.has("FORCE") {
			return bits.Errorf(hresult.RPC_S_SERVER_UNAVAILABLE, "cannot reach the service: process %d takes calls and has not answered for %s", pid, patience).
				WithHint("bitsadmin /UTIL /REPAIRSERVICE /FORCE ends it and starts another; no job is lost")
		}
		if p, err := os.FindProcess(pid); err != nil || p.Kill() != nil {
			return bits.Errorf(hresult.E_ACCESSDENIED, "cannot end process %d: the system does not allow it", pid)
		}
		r.say("Ended process %d, which did not answer.", pid)
	default:
		return err
	}
	r.Client.Close()
	if s, err = r.service(ctx); err != nil {
		return err
	}
	r.say("The service was started: process %d.", s.PID)
	return nil
}

// service makes sure that the service answers, and asks it.
func (r *run) service(ctx context.Context) (s wire.System, err error) {
	if err = r.Connect(ctx); err == nil {
		s, err = r.Client.System(ctx)
	}
	return s, err
}

// ask asks the service that is there, and starts none.
func (r *run) ask(ctx context.Context) (wire.System, error) {
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return r.Client.System(limited)
}

// hanging is the process at the other end of the socket.
func (r *run) hanging(ctx context.Context) (int, error) {
	conn, err := ipc.DialService(ctx, r.Client.SystemWide, r.Client.Socket)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	peer, err := ipc.PeerOf(conn)
	if err == nil && peer.PID == 0 {
		err = errors.New("the system does not say which process serves")
	}
	return peer.PID, err
}
