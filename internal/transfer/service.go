package transfer

import (
	"net/url"
	"sync"
)

// seamSize is how much of what is there is asked for once more, and compared, before anything is appended to it: enough that two versions
// of whatever a file may be differ in it, and little beside a connection.
const seamSize = 64 << 10

// maxPlain is of how many origins it is remembered that they know no If-Range.
const maxPlain = 1000

// Service is what the transfers of a service share.
type Service struct {
	seam  int64
	mu    sync.Mutex
	plain map[site]bool // they answer If-Range with the whole, also of the same version
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

// NewService returns a Service that knows nothing yet. What it learns ends with it.
func NewService() *Service { return &Service{seam: seamSize, plain: map[site]bool{}} }

// isPlain reports whether the origin of a URL is known to ignore If-Range.
func (s *Service) isPlain(owner, place string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.plain[siteOf(owner, place)]
}

// ignoresIfRange remembers the origin of a URL, for which any other one is forgotten when there are too many.
func (s *Service) ignoresIfRange(owner, place string) {
	at := siteOf(owner, place)
	if at == (site{}) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for other := range s.plain {
		if len(s.plain) < maxPlain {
			break
		}
		delete(s.plain, other)
	}
	s.plain[at] = true
}
