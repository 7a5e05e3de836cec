package validator

import (
	"net/url"
	"sync"
)

// maxDeaf is of how many origins it is remembered that they know no If-Range.
const maxDeaf = 1000

// Deaf remembers origins that answer If-Range with the whole, also of the same version.
type Deaf struct {
	mu  sync.Mutex
	all map[site]bool
}

// site is an origin as an owner's jobs see it: what one owner's jobs have met tells nothing to those of another.
type site struct{ owner, origin string }

func siteOf(owner, place string) site {
	u, err := url.Parse(place)
	if err != nil || u.Host == "" {
		return site{}
	}
	return site{owner, u.Scheme + "://" + u.Host}
}

// Has reports whether the origin of a URL is remembered.
func (d *Deaf) Has(owner, place string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.all[siteOf(owner, place)]
}

// Add remembers the origin of a URL, for which any other one is forgotten when there are too many.
func (d *Deaf) Add(owner, place string) {
	at := siteOf(owner, place)
	if at == (site{}) {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.all == nil {
		d.all = map[site]bool{}
	}
	for other := range d.all {
		if len(d.all) < maxDeaf {
			break
		}
		delete(d.all, other)
	}
	d.all[at] = true
}
