package daemon

import (
	"context"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"

	"bits"
	"bits/hresult"
	"bits/internal/netmon"
	"bits/internal/queue"
	"bits/internal/retry"
)

// networks tells runs and jobs what has become of the networks of this machine.
//
// What it knows of them is a guess, and holds no job: it ends what is dead and begins what may work, and a try decides.
type networks struct {
	queue *queue.Queue
	log   *slog.Logger

	mu   sync.Mutex
	runs map[*queue.Run]connections
}

// connections are those of a run.
type connections interface {
	Dialing() bool                   // one is being made
	From(func(netip.Addr) bool) bool // there is one from such an address of this machine to another machine
}

func newNetworks(q *queue.Queue, log *slog.Logger) *networks {
	return &networks{queue: q, log: log, runs: map[*queue.Run]connections{}}
}

// follow has the run stopped when its connections are dead, until forget is called.
func (n *networks) follow(run *queue.Run, c connections) (forget func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.runs[run] = c
	return func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		delete(n.runs, run)
	}
}

// watch watches until the context ends. Where the system cannot be watched, jobs have their timers.
func (n *networks) watch(ctx context.Context) {
	if netmon.Online() { // one may have come while the service did not run
		n.queue.Arrived(func(e *bits.JobError) bool { return e.Code == hresult.BG_E_NETWORK_DISCONNECTED })
	}
	if err := netmon.Watch(ctx, n.changed); err != nil {
		n.log.Warn("the networks of this machine cannot be watched", "why", err)
	}
}

func (n *networks) changed(c netmon.Change) {
	if !c.Again {
		n.log.Info("the networks have changed", "online", c.Online, "gone", c.Gone, "slept", c.Slept, "arrived", c.Arrived)
	}
	n.mu.Lock()
	runs := maps.Clone(n.runs)
	n.mu.Unlock()
	dead := func(a netip.Addr) bool { return c.Slept || slices.Contains(c.Gone, a) }
	for run, its := range runs {
		switch {
		case c.Again, !run.Resumable(): // a connection may live longer than its address; what would start over is left to its patience
		case !its.Dialing() && !its.From(dead):
		case c.Online:
			run.Stop() // it goes on at once, over another connection
		default:
			run.Abort(bits.Errorf(hresult.BG_E_NETWORK_DISCONNECTED, "cannot go on with job %s: this machine has lost its network", run.ID).In(bits.ContextQueueManager))
		}
	}
	switch {
	case c.Arrived:
		n.queue.Arrived(func(*bits.JobError) bool { return true })
	case c.Again:
		n.queue.Arrived(retry.Unanswered)
	}
}
