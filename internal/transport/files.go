package transport

import (
	"errors"
	"net"
	"net/http"

	"bits"
	"bits/hresult"
)

// file asks for a file that is not on the web.
func (t *Transport) file(r *http.Request) (*http.Response, error) {
	answer, err := t.files.RoundTrip(r)
	var ours *bits.Error
	var network *net.OpError
	if err == nil || errors.As(err, &ours) || offline(err) || !errors.As(err, &network) && !noName(err) {
		return answer, err
	}
	return nil, &bits.Error{
		Code: hresult.ERROR_BAD_NETPATH, Context: bits.ContextRemoteFile, Err: err,
		Message: "cannot fetch " + r.URL.String() + ": the server " + r.URL.Host + " cannot be reached: " + innermost(err),
	}
}
