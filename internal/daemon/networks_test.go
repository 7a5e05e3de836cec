package daemon

import (
	"context"
	"log/slog"
	"net/netip"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"bits"
	"bits/hresult"
	"bits/internal/contract"
	"bits/internal/ipc"
	"bits/internal/netmon"
	"bits/internal/notify"
	"bits/internal/queue"
	"bits/internal/scheduler"
	"bits/internal/store"
)

// connected are the connections of a run: from one address, or none while it dials.
type connected struct{ from netip.Addr }

func (c connected) Dialing() bool                      { return !c.from.IsValid() }
func (c connected) From(is func(netip.Addr) bool) bool { return c.from.IsValid() && is(c.from) }

// What a change of the networks does to a job, in virtual time: nobody here can put the machine to sleep.
func TestChangedNetworks(t *testing.T) {
	lan, wifi := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("198.51.100.1")
	status503 := bits.Errorf(hresult.FromHTTPStatus(503), "cannot fetch it: it is busy").In(bits.ContextRemoteFile)
	later := bits.Errorf(hresult.FromHTTPStatus(503), "cannot fetch it: it is busy").In(bits.ContextRemoteFile)
	later.After = 60
	timeout := bits.Errorf(hresult.ERROR_WINHTTP_TIMEOUT, "cannot fetch it: no answer").In(bits.ContextRemoteFile)
	for name, c := range map[string]struct {
		from   netip.Addr // of its connection; none: it dials
		whole  bool       // it would start over
		fails  error      // with this it has failed before the change
		change netmon.Change
		runs   int // how many have begun then
		state  bits.State
	}{
		"nothing of it has gone":                {from: lan, change: netmon.Change{Online: true, Gone: []netip.Addr{wifi}}, runs: 1, state: bits.StateTransferring},
		"its address has gone":                  {from: lan, change: netmon.Change{Online: true, Gone: []netip.Addr{lan}}, runs: 2, state: bits.StateTransferring},
		"its address has gone, and all":         {from: lan, change: netmon.Change{Gone: []netip.Addr{lan}}, runs: 1, state: bits.StateTransientError},
		"its address has gone, and it is whole": {from: lan, whole: true, change: netmon.Change{Gone: []netip.Addr{lan}}, runs: 1, state: bits.StateTransferring},
		"it dials, and all has gone":            {change: netmon.Change{Gone: []netip.Addr{lan}}, runs: 1, state: bits.StateTransientError},
		"it dials, and a network has come":      {change: netmon.Change{Online: true, Arrived: true}, runs: 2, state: bits.StateTransferring},
		"a network has come beside":             {from: lan, change: netmon.Change{Online: true, Arrived: true}, runs: 1, state: bits.StateTransferring},
		"the machine has slept":                 {from: lan, change: netmon.Change{Online: true, Slept: true}, runs: 2, state: bits.StateTransferring},
		"it has slept, and has no network":      {from: lan, change: netmon.Change{Slept: true}, runs: 1, state: bits.StateTransientError},
		"it had failed, and slept":              {fails: timeout, change: netmon.Change{Online: true, Slept: true}, runs: 1, state: bits.StateTransientError},
		"arrival, after no answer":              {fails: timeout, change: netmon.Change{Online: true, Arrived: true}, runs: 2, state: bits.StateTransferring},
		"arrival, after 503":                    {fails: status503, change: netmon.Change{Online: true, Arrived: true}, runs: 2, state: bits.StateTransferring},
		"arrival, after 503 and Retry-After":    {fails: later, change: netmon.Change{Online: true, Arrived: true}, runs: 1, state: bits.StateTransientError},
		"again, after no answer":                {fails: timeout, change: netmon.Change{Online: true, Again: true}, runs: 2, state: bits.StateTransferring},
		"again, after 503":                      {fails: status503, change: netmon.Change{Online: true, Again: true}, runs: 1, state: bits.StateTransientError},
		"again, while it runs":                  {from: lan, change: netmon.Change{Online: true, Again: true}, runs: 1, state: bits.StateTransferring},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(context.Background())
				s, err := store.Open(ctx, filepath.Join(dir, "state"))
				if err != nil {
					t.Fatal(err)
				}
				q, err := queue.Open(ctx, s, notify.New())
				if err != nil {
					t.Fatal(err)
				}
				n, runs := newNetworks(q, slog.New(slog.DiscardHandler)), 0
				done := make(chan bool)
				go func() {
					defer close(done)
					scheduler.New(q, func(ctx context.Context, run *queue.Run) (int, error) {
						defer n.follow(run, connected{c.from})()
						if runs++; runs == 1 && c.fails != nil {
							return 0, c.fails
						}
						if err := run.Contact(bits.File{RemoteName: "http://origin/x"}, !c.whole); err != nil {
							return 0, err
						}
						<-ctx.Done()
						return 0, context.Cause(ctx)
					}, scheduler.Settings{}).Run(ctx)
				}()
				job, err := q.Create(contract.Caller{Owner: ipc.Self().Owner}, bits.Spec{Resume: true, Files: []bits.FileSpec{{RemoteName: "http://origin/x", LocalName: filepath.Join(dir, "x")}}})
				if err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Second)
				n.changed(c.change)
				time.Sleep(time.Second)
				synctest.Wait()
				now, err := q.Get(job.ID)
				if err != nil || now.State != c.state || runs != c.runs {
					t.Errorf("%v after %d runs, %v; want %v after %d", now.State, runs, err, c.state, c.runs)
				}
				if lost := now.Error != nil && now.Error.Code == hresult.BG_E_NETWORK_DISCONNECTED; lost != (c.state == bits.StateTransientError && c.fails == nil) || lost && now.ErrorCount != 0 {
					t.Errorf("the error is %+v, and %d are counted", now.Error, now.ErrorCount)
				}
				cancel()
				<-done
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// A job without a network is looked at again soon, then less and less often; a guess was wrong, or there is none.
func TestDisconnectedAndNoEvent(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		s, err := store.Open(ctx, filepath.Join(dir, "state"))
		if err != nil {
			t.Fatal(err)
		}
		q, err := queue.Open(ctx, s, notify.New())
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		var at []int
		done := make(chan bool)
		go func() {
			defer close(done)
			scheduler.New(q, func(context.Context, *queue.Run) (int, error) {
				at = append(at, int(time.Since(began)/time.Second))
				return -1, bits.Errorf(hresult.BG_E_NETWORK_DISCONNECTED, "cannot fetch it: no network").In(bits.ContextQueueManager)
			}, scheduler.Settings{}).Run(ctx)
		}()
		if _, err := q.Create(contract.Caller{Owner: ipc.Self().Owner}, bits.Spec{Resume: true, Files: []bits.FileSpec{{RemoteName: "http://origin/x", LocalName: filepath.Join(dir, "x")}}}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(6 * time.Hour)
		synctest.Wait()
		if len(at) < 36 || len(at) > 44 || at[1] != 5 || at[2] != 15 || at[3] != 35 {
			t.Errorf("%d tries in six hours, at %v", len(at), at[:min(5, len(at))])
		}
		cancel()
		<-done
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}
