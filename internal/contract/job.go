package contract

import (
	"maps"
	"slices"
	"strings"

	"bits"
)

// Strip removes from a job what the owner has trusted the job with, when it gets another one: custom headers, credentials, the client
// certificate, the variables of proxies, the helper token, the headers of answers, and what is started at the end; and the leave to use
// stored credentials, which would be those of the new one. Which authorities it trusts stays.
func Strip(j *bits.Job) {
	env := maps.Clone(j.Secrets.Environment)
	maps.DeleteFunc(env, func(name, _ string) bool { return !strings.HasPrefix(name, "SSL_CERT_") })
	j.Secrets = bits.Secrets{Environment: env}
	j.NotifyCommand, j.NotifyUser, j.NotificationCLSID = nil, "", ""
	j.HelperTokenSID, j.TokenPresent = "", false
	j.StoredCredentials, j.LoginSources = bits.AuthNone, nil
	for i := range j.Files {
		j.Files[i].ResponseHeaders = "" // with the cookies of his logins
	}
}

// Progress computes the progress of a job from its files.
func Progress(j *bits.Job) bits.JobProgress {
	p := bits.JobProgress{FilesTotal: len(j.Files)}
	total, known := int64(0), true
	for i := range j.Files {
		f := &j.Files[i]
		p.BytesTransferred += f.TransferredBytes()
		p.BytesReceived += max(f.Received, f.TransferredBytes())
		if f.Finished {
			p.FilesTransferred++
		}
		if f.Size == nil {
			known = false
		} else {
			total += *f.Size
		}
	}
	if known {
		p.BytesTotal = &total
	}
	return p
}

// HeaderNames returns the names of the custom headers.
func HeaderNames(j *bits.Job) (names []string) {
	for line := range strings.SplitSeq(strings.TrimSuffix(j.Secrets.Headers, "\r\n"), "\r\n") {
		if name, _, ok := strings.Cut(line, ":"); ok {
			names = append(names, name)
		}
	}
	return names
}

// Clone returns a copy of a job that shares nothing that changes.
func Clone(j *bits.Job) *bits.Job {
	c := *j
	c.Files = slices.Clone(j.Files)
	return &c
}
