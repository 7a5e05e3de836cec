package netmon

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// told is what a monitor says in virtual time when a script of events and addresses is played.
type told struct {
	mu    sync.Mutex
	now   []netip.Addr
	err   error
	began time.Time
	lines []string
}

func play(t *testing.T, first string, script func(m *told, events chan<- event)) (lines []string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		m, events := &told{began: time.Now()}, make(chan event)
		m.have(first)
		ctx, cancel := context.WithCancel(context.Background())
		mon := monitor{events: events, addresses: m.look, tell: m.tell}
		done := make(chan bool)
		go func() { mon.run(ctx); close(done) }()
		synctest.Wait()
		script(m, events)
		cancel()
		<-done
		lines = m.lines
	})
	return lines
}

func (m *told) have(addrs string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now = nil
	for a := range strings.FieldsSeq(addrs) {
		m.now = append(m.now, netip.MustParseAddr(a))
	}
}

func (m *told) look() ([]netip.Addr, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.now, m.err
}

func (m *told) tell(c Change) {
	line := fmt.Sprintf("%d", time.Since(m.began)/time.Second)
	if c.Online {
		line += " online"
	}
	for _, a := range c.Gone {
		line += " -" + a.String()
	}
	for word, is := range map[string]bool{" slept": c.Slept, " arrived": c.Arrived, " again": c.Again} {
		if is {
			line += word
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lines = append(m.lines, line)
}

func TestChanges(t *testing.T) {
	const lan, other = "127.0.0.1 192.0.2.1", "127.0.0.1 198.51.100.7"
	for _, c := range []struct {
		name, first string
		script      func(m *told, events chan<- event)
		want        []string
	}{
		{"nothing", lan, func(m *told, e chan<- event) { time.Sleep(time.Hour) }, nil},
		{"a link that tells nothing new", lan, func(m *told, e chan<- event) { e <- moved; time.Sleep(time.Minute) }, nil},
		{"lost", lan, func(m *told, e chan<- event) {
			m.have("127.0.0.1")
			e <- moved
			time.Sleep(time.Minute)
		}, []string{"0 -192.0.2.1"}},
		{"lost and back", lan, func(m *told, e chan<- event) {
			m.have("127.0.0.1")
			e <- moved
			time.Sleep(10 * time.Second)
			m.have(lan)
			e <- moved
			time.Sleep(5 * time.Minute)
		}, []string{"0 -192.0.2.1", "10 online arrived", "13 online again", "18 online again", "30 online again", "55 online again"}},
		{"another address", lan, func(m *told, e chan<- event) {
			m.have(other)
			e <- moved
			e <- moved
			time.Sleep(2 * time.Second)
		}, []string{"0 online -192.0.2.1", "0 online arrived"}},
		{"a route", lan, func(m *told, e chan<- event) { e <- routed; time.Sleep(2 * time.Second) }, []string{"0 online arrived"}},
		{"a route without a network", "127.0.0.1", func(m *told, e chan<- event) { e <- routed; time.Sleep(time.Minute) }, nil},
		{"an address of the link only", "127.0.0.1", func(m *told, e chan<- event) {
			m.have("127.0.0.1 fe80::1")
			e <- moved
			time.Sleep(time.Minute)
		}, nil},
		{"sleep", lan, func(m *told, e chan<- event) { e <- woke; time.Sleep(2 * time.Second) }, []string{"0 online slept", "0 online arrived"}},
		{"sleep, and the network comes later", "127.0.0.1", func(m *told, e chan<- event) {
			e <- woke
			time.Sleep(20 * time.Second)
			m.have(lan)
			e <- moved
			time.Sleep(2 * time.Second)
		}, []string{"0 slept", "20 online arrived"}},
		{"interfaces that cannot be listed", lan, func(m *told, e chan<- event) {
			m.have("")
			m.mu.Lock()
			m.err = errors.New("no")
			m.mu.Unlock()
			e <- moved
			time.Sleep(time.Minute)
		}, nil},
		{"back, and lost before it was told", "127.0.0.1", func(m *told, e chan<- event) {
			for _, have := range []string{lan, "127.0.0.1", other, "127.0.0.1"} {
				m.have(have)
				e <- moved
				time.Sleep(time.Second)
			}
			time.Sleep(time.Minute)
		}, []string{"0 online arrived", "1 -192.0.2.1", "3 -198.51.100.7"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := play(t, c.first, c.script)
			if !slices.Equal(got, c.want) {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

// A link that goes up and down all the time arrives once in a Pause.
func TestFlapping(t *testing.T) {
	got := play(t, "127.0.0.1", func(m *told, e chan<- event) {
		for i := range 200 {
			m.have([]string{"127.0.0.1 192.0.2.1", "127.0.0.1"}[i%2])
			e <- moved
			time.Sleep(500 * time.Millisecond)
		}
	})
	n := 0
	for _, line := range got {
		var at int
		if _, err := fmt.Sscanf(line, "%d online arrived", &at); err == nil {
			n++
		}
	}
	if most := int(100*time.Second/Pause) + 1; n == 0 || n > most {
		t.Errorf("%d arrivals in 100 s, at most %d are allowed: %q", n, most, got)
	}
}

// The system can be watched, and what is watched costs nothing and can be ended.
func TestWatch(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- Watch(ctx, func(Change) {}) }()
	time.AfterFunc(50*time.Millisecond, cancel)
	if err := <-done; err != nil {
		t.Error(err)
	}
}
