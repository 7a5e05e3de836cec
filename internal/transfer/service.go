package transfer

import "bits/internal/validator"

// seamSize is how much of what is there is asked for once more, and compared, before anything is appended to it: enough that two versions
// of whatever a file may be differ in it, and little beside a connection.
const seamSize = 64 << 10

// Service is what the transfers of a service share.
type Service struct {
	seam int64
	deaf validator.Deaf
}

// NewService returns a Service that knows nothing yet. What it learns ends with it.
func NewService() *Service { return &Service{seam: seamSize} }
