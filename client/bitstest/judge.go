package bitstest

import (
	"context"
	"sync"

	"bits"
)

// Judge is an application that judges certificates and remembers what it was asked.
// The zero Judge accepts every certificate. It may serve several jobs at once.
type Judge struct {
	// Verdict judges a certificate as [client.ServerCertificateValidationCallback] does; nil accepts.
	// It must not be changed while the judge is set on a job.
	Verdict func(context.Context, bits.Question) error

	mu    sync.Mutex
	asked []bits.Question
}

// ValidateServerCertificate implements [client.ServerCertificateValidationCallback].
func (j *Judge) ValidateServerCertificate(ctx context.Context, q bits.Question) error {
	j.mu.Lock()
	j.asked = append(j.asked, q)
	verdict := j.Verdict
	j.mu.Unlock()
	if verdict == nil {
		return nil
	}
	return verdict(ctx, q)
}

// Asked are the questions so far, in the order in which they came.
func (j *Judge) Asked() []bits.Question {
	j.mu.Lock()
	defer j.mu.Unlock()
	return append([]bits.Question(nil), j.asked...)
}
