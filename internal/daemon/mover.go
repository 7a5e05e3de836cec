package daemon

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"net/url"
	"slices"
	"sync/atomic"

	"bits"
	"bits/hresult"
	"bits/internal/access"
	"bits/internal/certcheck"
	"bits/internal/fileserver"
	"bits/internal/joblog"
	"bits/internal/layout"
	"bits/internal/login"
	"bits/internal/notify"
	"bits/internal/queue"
	"bits/internal/transfer"
	"bits/internal/transport"
)

// mover carries out the runs: it gives each its own rules, its own connections, and its files one after another.
type mover struct {
	crls *certcheck.CRLCache
	hub  *notify.Hub
	ways *ways
	nets *networks

	transfers *transfer.Service
}

func (m mover) run(ctx context.Context, run *queue.Run) (int, error) {
	job, err := run.Job()
	if err != nil {
		return -1, err
	}
	if job.Type != bits.Download {
		return -1, bits.Errorf(hresult.E_NOTIMPL, "cannot carry out job %s: this version does not upload", job.ID).In(bits.ContextQueueManager)
	}
	if job.HelperTokenSID != "" && !job.TokenPresent {
		return -1, bits.Errorf(hresult.BG_E_TOKEN_REQUIRED, "cannot go on with job %s: the helper token of %s is gone", job.ID, job.HelperTokenSID).In(bits.ContextQueueManager)
	}
	if err := access.Files(job); err != nil {
		return unfinished(job), err
	}
	find, err := m.ways.of(job)
	if err != nil {
		return -1, err
	}
	var current atomic.Pointer[bits.File] // the file being transferred when a connection is opened
	number := func() int { return current.Load().Number }
	current.Store(&bits.File{Number: -1})
	route := loggedRoute(run, number, job.ProxySettings.Usage == bits.ProxyAutodetect, find)
	logins := login.Of(job)
	logins.Found = run.Hide
	logins.Warn = func(text string) { run.Log(joblog.Connect, number(), "%s", text) }
	defer logins.Close()
	connections := transport.Config{
		Route: route, Failed: new(transport.Failed),
		Logins: func(via *url.URL) transport.Answerer { return heard{logins.Proxy(via), run, number} },
	}
	rules := rulesOf(job, m.crls)
	lists, ofProxies := listsOf(rules, run, number, connections)
	connections.Proxy = ofProxies
	connections.Origin = logged(run, number, func(ctx context.Context, endpoint string, cs tls.ConnectionState) (string, error) {
		p, err := rules()
		if err != nil {
			return byRules, err
		}
		p.Lists = lists
		j := &judged{run, asker{m.hub}, byRules}
		check := certcheck.Check{Policy: p, Job: job.ID, Required: job.ValidatorRequired, Memory: j, Asker: j}
		f := current.Load()
		err = check.Connection(ctx, endpoint, cs, f.Number, f.RemoteName)
		return j.by, err
	})
	connections.Certificate = certificates(run, job)
	connections.Share = func(ctx context.Context, server *url.URL, kerberos bool) (*fileserver.Login, error) {
		shown, err := logins.Share(ctx, server, kerberos)
		if err == nil {
			run.Log(joblog.Connect, number(), "logs in to %s: %s", server.Host, shown.As)
		}
		return shown, err
	}
	t := transport.New(ctx, connections)
	defer t.Close()
	defer m.nets.follow(run, t)()
	client := transfer.Client(login.RoundTripper{Login: logins, Base: legs{joblog.Trips{RoundTripper: t, Log: run, File: number}, t}}, job)
	for {
		f, ok := run.Next(func(f *bits.File) bool { return layout.Wants(f, job.OnDemand) })
		if !ok {
			return -1, nil
		}
		if job.MaxDownloadSize != nil { // the sizes of the other files count
			if job, err = run.Job(); err != nil {
				return -1, err
			}
		}
		current.Store(&f)
		if err := m.transfers.Download(ctx, client, job, f, run); err != nil {
			return f.Number, err
		}
	}
}

// legs logs each leg of a login too.
type legs struct {
	joblog.Trips
	t *transport.Transport
}

func (l legs) HTTP1(u *url.URL) { l.t.HTTP1(u) }

// unfinished is the number of the first file that is not there yet, -1 if there is none.
func unfinished(j *bits.Job) int {
	return slices.IndexFunc(j.Files, func(f bits.File) bool { return !f.Finished })
}

// asker makes a question of what phase two must know.
type asker struct{ hub *notify.Hub }

func (a asker) Ask(ctx context.Context, q certcheck.Question) error {
	leaf := q.Chain[0]
	sum, key := sha256.Sum256(leaf.Raw), sha256.Sum256(leaf.RawSubjectPublicKeyInfo)
	return a.hub.Ask(ctx, bits.Question{
		Job: q.Job, File: q.File, URL: q.URL, Endpoint: q.Endpoint,
		Certificate: leaf.Raw, EncodingType: 1,
		Chain: ders(q.Chain), Verified: ders(q.Verified), Store: certcheck.SerializedStore(q.Chain),
		Facts: bits.Certificate{
			Subject: leaf.Subject.String(), Issuer: leaf.Issuer.String(), Serial: leaf.SerialNumber.Text(16),
			NotBefore: leaf.NotBefore, NotAfter: leaf.NotAfter,
			SHA256: hex.EncodeToString(sum[:]), PublicKeySHA256: hex.EncodeToString(key[:]),
		},
	})
}

func ders(certs []*x509.Certificate) (all [][]byte) {
	for _, c := range certs {
		all = append(all, c.Raw)
	}
	return all
}
