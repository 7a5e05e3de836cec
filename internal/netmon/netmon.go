// Package netmon watches the networks of this machine: its links, addresses and routes, its name servers, and its sleep.
//
// It asks nobody and sends nothing: the system tells of changes, and between them nothing runs.
package netmon

import (
	"context"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"time"
)

// Change is what has become of the networks.
type Change struct {
	Online bool         // as [Online] says
	Gone   []netip.Addr // addresses of this machine that are on no running interface any more: connections from them are dead
	Slept  bool         // the machine has slept: servers have forgotten its connections

	// Arrived: a network has come, or another way into one; what failed before may work now, for whatever reason it failed.
	// There is one in [Pause] at the most, however often a link goes up and down.
	Arrived bool
	// Again: some time has passed since something Arrived. What got no answer may get one now: addresses, routes and name servers of
	// a network rarely come in one moment.
	Again bool
}

// Pause is the shortest time between two arrivals.
const Pause = 5 * time.Second

const (
	quiet  = 250 * time.Millisecond // a burst of events is one
	jitter = 500 * time.Millisecond // machines on one switch do not come back at once
)

// again are the times after an arrival at which Again is told.
var again = []time.Duration{3 * time.Second, 8 * time.Second, 20 * time.Second, 45 * time.Second}

// Online reports whether this machine has a network: an interface that runs, is not loopback, and has an address that is valid beyond
// its link. Whether anybody can be reached through it is only known by trying.
func Online() bool {
	all, err := addresses()
	return err != nil || online(all)
}

// addresses are those of the interfaces that run.
func addresses() (all []netip.Addr, err error) {
	interfaces, err := net.Interfaces()
	const running = net.FlagUp | net.FlagRunning
	for _, i := range interfaces {
		if i.Flags&running != running {
			continue
		}
		addrs, _ := i.Addrs() // it may have gone meanwhile
		for _, a := range addrs {
			if p, err := netip.ParsePrefix(a.String()); err == nil {
				all = append(all, p.Addr().WithZone(""))
			}
		}
	}
	return all, err
}

func online(all []netip.Addr) bool { return slices.ContainsFunc(all, netip.Addr.IsGlobalUnicast) }

// event is what the system has told.
type event uint8

const (
	moved  event = iota // links or addresses
	routed              // routes, or name servers
	woke                // the machine has slept
)

// Watch calls tell with each change, one after another, until the context ends.
// It returns when the system cannot be watched, with the reason, and with nil at the end of the context.
func Watch(ctx context.Context, tell func(Change)) error {
	events := make(chan event, 16)
	stop, err := listen(func(e event) {
		select {
		case events <- e:
		case <-ctx.Done():
		}
	})
	if err != nil {
		return err
	}
	defer stop()
	m := monitor{events: events, addresses: addresses, tell: tell}
	m.run(ctx)
	return nil
}

// monitor makes changes out of events.
type monitor struct {
	events    <-chan event
	addresses func() ([]netip.Addr, error)
	tell      func(Change)
}

func (m *monitor) run(ctx context.Context) {
	was, _ := m.addresses()
	var look, arrive, remind <-chan time.Time
	var rerouted, slept, due bool
	var left []time.Duration // of again
	var last time.Time       // of the last arrival
	for {
		select {
		case <-ctx.Done():
			return
		case e := <-m.events:
			rerouted, slept = rerouted || e == routed, slept || e == woke
			if look == nil {
				look = time.After(quiet)
			}
		case <-look:
			now, err := m.addresses()
			if err != nil {
				now = was
			}
			c := Change{Online: online(now), Gone: without(was, now), Slept: slept}
			if c.Gone != nil || c.Slept {
				m.tell(c)
			}
			due = due || rerouted || slept || slices.ContainsFunc(without(now, was), netip.Addr.IsGlobalUnicast)
			was, look, rerouted, slept = now, nil, false, false
			if c.Online && due && arrive == nil {
				arrive = time.After(max(rand.N(jitter), time.Until(last.Add(Pause))))
			}
		case <-arrive:
			if arrive = nil; online(was) {
				due, last, left = false, time.Now(), again
				m.tell(Change{Online: true, Arrived: true})
				remind = time.After(left[0])
			}
		case <-remind:
			if online(was) {
				m.tell(Change{Online: true, Again: true})
			}
			if left = left[1:]; len(left) > 0 {
				remind = time.After(left[0] - again[len(again)-len(left)-1])
			} else {
				remind = nil
			}
		}
	}
}

// without are the elements of a that are not in b.
func without(a, b []netip.Addr) (rest []netip.Addr) {
	for _, x := range a {
		if !slices.Contains(b, x) {
			rest = append(rest, x)
		}
	}
	return rest
}
