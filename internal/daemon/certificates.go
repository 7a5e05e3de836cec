package daemon

import (
	"cmp"
	"context"
	"crypto/tls"
	"net/url"
	"time"

	"bits"
	"bits/internal/certcheck"
	"bits/internal/certstore"
	"bits/internal/content"
	"bits/internal/joblog"
	"bits/internal/queue"
	"bits/internal/transport"
)

// renewal is how long is waited before a certificate that cannot be used is looked at again: its files may be being written just now.
const renewal = time.Second

// certificates finds the client certificate of a job, anew for each handshake: one that was renewed is used at once.
// It is for the servers that the owner has named, and for none that a redirect leads to.
func certificates(run *queue.Run, job *bits.Job) transport.Certificate {
	if job.Secrets.ClientCertificate == nil {
		return nil
	}
	return func(ctx context.Context, endpoint string) (*tls.Certificate, error) {
		now, err := run.Job() // files may have been added
		if err != nil || !names(now, endpoint) {
			return nil, err
		}
		for again := false; ; again = true {
			found, err := certstore.Find(job.Secrets.ClientCertificate, job.Secrets.Environment)
			if err == nil { // one that is named by its hash is shown as it is
				if err := certstore.Dates(found.Leaf, time.Now()); err != nil {
					run.Log(joblog.TLS, -1, "%s is shown the client certificate %q, though %v", endpoint, found.Leaf.Subject, err)
				}
				return found, nil
			}
			if again {
				run.Log(joblog.TLS, -1, "%s asks for a client certificate: %v", endpoint, err)
				return nil, bits.AsError(err).In(bits.ContextRemoteFile)
			}
			select {
			case <-ctx.Done():
			case <-time.After(renewal):
			}
		}
	}
}

// names reports whether a file of the job comes from the endpoint.
func names(job *bits.Job, endpoint string) bool {
	for i := range job.Files {
		u, err := url.Parse(content.Given(&job.Files[i]))
		if err == nil && u.Scheme == "https" && certcheck.Endpoint(u.Hostname(), cmp.Or(u.Port(), "443")) == endpoint {
			return true
		}
	}
	return false
}
