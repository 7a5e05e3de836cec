//go:build !linux

package netmon

import "time"

// rest is how often it is looked whether the machine has slept, where the system does not tell.
const rest = 10 * time.Second

// tick tells when more time has passed than it waited, until stop is called.
func tick(tell func(event)) (stop func()) {
	done, ticker := make(chan struct{}), time.NewTicker(rest)
	go func() {
		defer ticker.Stop()
		for last := time.Now(); ; {
			select {
			case <-done:
				return
			case <-ticker.C:
			}
			now := time.Now()
			// One of the two clocks goes on in sleep; which, differs between systems.
			if gap := max(now.Sub(last), now.Round(0).Sub(last.Round(0))); gap > 2*rest {
				tell(woke)
			}
			last = now
		}
	}()
	return func() { close(done) }
}
