package api

import (
	"encoding/json"
	"net/url"

	"bits"
	"bits/hresult"
	"bits/internal/contract"
	"bits/internal/proxy"
	"bits/internal/remotename"
	"bits/internal/wire"
)

// route says how the job of the call reaches a URL.
func (c *call) route() (any, error) {
	j, err := c.Queue.Get(c.job)
	if err != nil {
		return nil, err
	}
	return c.explain(j, c.r.URL.Query().Get("url"))
}

// routeOf says it of a job that is not there. Its settings pass the same checks as a job's.
func (c *call) routeOf() (any, error) {
	var q wire.Explain
	if err := c.read(&q); err != nil {
		return nil, err
	}
	settings, err := json.Marshal(q.ProxySettings)
	if err != nil {
		return nil, err
	}
	j, err := contract.NewJob(bits.Spec{DisplayName: "explain", Properties: map[string]bits.RawMessage{"proxy_settings": settings}, Environment: q.Environment}, c.caller())
	if err != nil {
		return nil, err
	}
	return c.explain(j, q.URL)
}

func (c *call) explain(j *bits.Job, remote string) (any, error) {
	if remotename.IsFile(remote) {
		return nil, bits.Errorf(hresult.E_INVALIDARG, "cannot say by which proxies %q is reached: files and shares are reached without", remote).WithHint("give an http or https URL")
	}
	if err := remotename.Check(remote); err != nil {
		return nil, err
	}
	u, err := url.Parse(remote)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" {
		return nil, bits.Errorf(hresult.E_INVALIDARG, "cannot say how %q is reached: it is no http or https URL", remote)
	}
	choice, err := c.Explain(c.r.Context(), j, u)
	if err != nil {
		return nil, err
	}
	u.User = nil
	return wire.Route{URL: u.String(), Usage: j.ProxySettings.Usage, Route: proxy.Names(choice.Route), Why: choice.Why}, nil
}
