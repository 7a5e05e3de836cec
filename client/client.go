// Package client talks to the Background Intelligent Transfer Service of this machine.
//
// The zero Client finds the service of the current user, and does not start it: any command of bits does, or a supervisor that runs
// bits daemon. Without one every call is ErrUnreachable.
// Errors of the service are *[bits.Error]: they carry the HRESULT, and work with errors.Is and the targets of package bits.
//
//	c := &client.Client{}
//	job, err := c.Create(ctx, bits.Spec{DisplayName: "update", Files: files})
//	v, err := c.SetServerCertificateValidation(ctx, job.ID, myPolicy{})
//	err = c.Resume(ctx, job.ID)
//	job, err = c.Wait(ctx, job.ID)
//	_, err = c.Complete(ctx, job.ID)
//
// A job outlives the program that made it.
// A program that judges certificates must set itself again on its jobs when it starts: see [Client.NeedingValidation].
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"bits"
	"bits/hresult"
	"bits/internal/ipc"
	"bits/internal/wire"
)

// Client is a connection to the service.
// Its methods may be called from several goroutines.
type Client struct {
	// Socket is the path of the service's socket; empty: BITS_SOCKET, or that of the current user.
	Socket string

	// SystemWide chooses the service of all users, which an administrator has started: at Socket, else at BITS_SOCKET, else where the
	// system keeps it. It is spoken to only if it belongs to root, or on Windows to the administrators.
	SystemWide bool

	once sync.Once
	http *http.Client
}

func (c *Client) client() *http.Client {
	c.once.Do(func() {
		c.http = &http.Client{Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return ipc.DialService(ctx, c.SystemWide, c.Socket)
			},
			IdleConnTimeout: 5 * time.Second,
		}}
	})
	return c.http
}

// Close closes the idle connections.
// The Client can be used again.
func (c *Client) Close() { c.client().CloseIdleConnections() }

// Do calls the local API: path is without the version, body and answer are JSON values or nil.
func (c *Client) Do(ctx context.Context, method, path string, body, answer any) error {
	resp, err := c.open(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if answer == nil {
		_, err = io.Copy(io.Discard, resp.Body)
	} else {
		err = json.NewDecoder(resp.Body).Decode(answer)
	}
	if err != nil {
		return c.unreachable(err)
	}
	return nil
}

// Stream calls the local API and copies the answer, which may be an endless one, as it comes.
func (c *Client) Stream(ctx context.Context, method, path string, body any, to io.Writer) error {
	resp, err := c.open(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(to, resp.Body)
	return err
}

// open makes a call and returns the answer if it is a success.
func (c *Client) open(ctx context.Context, method, path string, body any) (*http.Response, error) {
	var r io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return nil, bits.Errorf(hresult.E_INVALIDARG, "cannot write the request: %w", err)
		}
		r = bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(ctx, method, "http://bits/"+wire.Version+path, r)
	if err != nil {
		return nil, bits.Errorf(hresult.E_INVALIDARG, "cannot make the request: %w", err)
	}
	resp, err := c.client().Do(request)
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, c.unreachable(err)
	}
	if resp.StatusCode/100 == 2 {
		return resp, nil
	}
	defer resp.Body.Close()
	var e wire.Error
	if err := json.NewDecoder(resp.Body).Decode(&e); err != nil || e.Message == "" {
		return nil, bits.Errorf(hresult.E_UNEXPECTED, "cannot understand the service: it answered %s", resp.Status)
	}
	return nil, e.Err()
}

// ErrUnreachable is the target for errors.Is when no service answers.
var ErrUnreachable = &bits.Error{Code: hresult.RPC_S_SERVER_UNAVAILABLE}

func (c *Client) unreachable(err error) error {
	hint := "start it with: bits daemon"
	if c.SystemWide {
		hint = "an administrator starts it with: bits daemon --system"
	}
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	return bits.Errorf(hresult.RPC_S_SERVER_UNAVAILABLE, "cannot reach the service: %w", err).WithHint("%s", hint)
}

// System returns what the service says of itself.
func (c *Client) System(ctx context.Context) (s wire.System, err error) {
	return s, c.Do(ctx, "GET", "/system", nil, &s)
}

// Create makes a job (IBackgroundCopyManager::CreateJob), SUSPENDED unless the Spec says Resume.
// The umask and the trust and proxy variables of this process go with it, unless the Spec has its own.
// When it returns, the job survives a power cut.
func (c *Client) Create(ctx context.Context, spec bits.Spec) (*bits.Job, error) {
	if spec.Umask == nil {
		mask := umask()
		spec.Umask = &mask
	}
	if spec.Environment == nil {
		spec.Environment = environment()
	}
	if err := checkNames(spec.Files); err != nil {
		return nil, err
	}
	var job bits.Job
	err := c.Do(ctx, "POST", "/jobs", spec, &job)
	return &job, err
}

// Job returns one job; BG_E_NOT_FOUND if there is none of that id for the caller.
// A job that is ACKNOWLEDGED or CANCELLED is found for a day.
func (c *Client) Job(ctx context.Context, id string) (*bits.Job, error) {
	var job bits.Job
	err := c.Do(ctx, "GET", "/jobs/"+url.PathEscape(id), nil, &job)
	return &job, err
}

// Jobs returns the caller's jobs, oldest first.
// The filter takes the parameters of GET /v1/jobs: state, validator, final, all (the jobs of all users: E_ACCESSDENIED but for
// administrators).
func (c *Client) Jobs(ctx context.Context, filter url.Values) ([]bits.Job, error) {
	var list wire.Jobs
	err := c.Do(ctx, "GET", "/jobs?"+filter.Encode(), nil, &list)
	return list.Jobs, err
}

// NeedingValidation returns the jobs that need an application to judge certificates and have none attached.
// A program that judges certificates calls it when it starts, and sets itself on those that are its own with [Client.Attach].
func (c *Client) NeedingValidation(ctx context.Context) ([]bits.Job, error) {
	return c.Jobs(ctx, url.Values{"validator": {"required"}})
}

// Add appends files to a job (AddFileSet): all, or none.
func (c *Client) Add(ctx context.Context, id string, files ...bits.FileSpec) error {
	if err := checkNames(files); err != nil {
		return err
	}
	return c.Do(ctx, "POST", "/jobs/"+url.PathEscape(id)+"/files", wire.Files{Files: files}, nil)
}

// checkNames refuses what JSON would change.
func checkNames(files []bits.FileSpec) error {
	for _, f := range files {
		if !utf8.ValidString(f.LocalName) || !utf8.ValidString(f.RemoteName) {
			return bits.Errorf(hresult.E_INVALIDARG, "cannot use the name %q: it is not valid UTF-8", f.LocalName).In(bits.ContextLocalFile)
		}
	}
	return nil
}

// environment is what a job takes from this process; the service has another working folder, so its paths are absolute.
func environment() map[string]string {
	env := bits.Environment(os.LookupEnv)
	for name, value := range env {
		if value == "" || !strings.HasPrefix(name, "SSL_CERT_") {
			continue
		}
		paths := filepath.SplitList(value)
		if name == "SSL_CERT_FILE" {
			paths = []string{value}
		}
		for i := range paths {
			if path, err := filepath.Abs(paths[i]); err == nil {
				paths[i] = path
			}
		}
		env[name] = strings.Join(paths, string(filepath.ListSeparator))
	}
	return env
}

// Set changes properties, all or none; the names are those of the table in docs/api.md.
func (c *Client) Set(ctx context.Context, id string, properties map[string]any) error {
	_, err := c.Change(ctx, id, properties)
	return err
}

// Change is [Client.Set] with the code: S_OK, or BG_S_OVERRIDDEN_BY_POLICY for a notification command that policy does not let run.
func (c *Client) Change(ctx context.Context, id string, properties map[string]any) (hresult.Code, error) {
	var answer wire.Result
	err := c.Do(ctx, "PATCH", "/jobs/"+url.PathEscape(id), properties, &answer)
	return answer.Code, err
}

// Property reads one property of a job into the value that into points to, which stays as it is where the answer has none.
// The names are those of docs/api.md; the code is S_OK, or S_FALSE where BITS returns that.
// BG_E_UNKNOWN_PROPERTY_ID for another name, and what the getter of BITS returns: BG_E_ERROR_INFORMATION_UNAVAILABLE for error,
// E_NOTIMPL for reply_progress of a download, E_ACCESSDENIED for custom_headers that are write-only.
func (c *Client) Property(ctx context.Context, id, name string, into any) (hresult.Code, error) {
	return c.result(ctx, "GET", "/jobs/"+url.PathEscape(id)+"/properties/"+url.PathEscape(name), nil, into)
}

// FileProperty is [Client.Property] for a file of the job, by its number from 0; BG_E_FILE_NOT_FOUND beyond the last.
func (c *Client) FileProperty(ctx context.Context, id string, file int, name string, into any) (hresult.Code, error) {
	return c.result(ctx, "GET", fmt.Sprintf("/jobs/%s/files/%d/properties/%s", url.PathEscape(id), file, url.PathEscape(name)), nil, into)
}

// Call makes a call that changes a job and is not the setting of a property: the last element of its path in docs/api.md, such as
// replace-remote-prefix, with its parameters, nil for none.
// The code is S_OK or S_FALSE.
func (c *Client) Call(ctx context.Context, id, operation string, parameters any) (hresult.Code, error) {
	return c.result(ctx, "POST", "/jobs/"+url.PathEscape(id)+"/"+operation, parameters, nil)
}

// FileCall is [Client.Call] for a file of the job, by its number from 0: set-remote-name, for example.
func (c *Client) FileCall(ctx context.Context, id string, file int, operation string, parameters any) (hresult.Code, error) {
	return c.result(ctx, "POST", fmt.Sprintf("/jobs/%s/files/%d/%s", url.PathEscape(id), file, operation), parameters, nil)
}

func (c *Client) result(ctx context.Context, method, path string, body, into any) (hresult.Code, error) {
	var r struct {
		Code  hresult.Code    `json:"hresult"`
		Value json.RawMessage `json:"value"`
	}
	err := c.Do(ctx, method, path, body, &r)
	if err == nil && into != nil && r.Value != nil {
		err = json.Unmarshal(r.Value, into)
	}
	return r.Code, err
}

func (c *Client) act(ctx context.Context, id string, a bits.Action) (hresult.Code, error) {
	var r wire.Result
	err := c.Do(ctx, "POST", "/jobs/"+url.PathEscape(id)+"/"+a.String(), nil, &r)
	return r.Code, err
}

// Resume makes a job runnable; BG_E_EMPTY if it has no files.
func (c *Client) Resume(ctx context.Context, id string) error {
	_, err := c.act(ctx, id, bits.Resume)
	return err
}

// Suspend stops a job.
// When it returns, no request of the job is under way.
func (c *Client) Suspend(ctx context.Context, id string) error {
	_, err := c.act(ctx, id, bits.Suspend)
	return err
}

// Complete gives the finished files their names and ends the job.
// The code is S_OK, BG_S_PARTIAL_COMPLETE or BG_S_UNABLE_TO_DELETE_FILES.
func (c *Client) Complete(ctx context.Context, id string) (hresult.Code, error) {
	return c.act(ctx, id, bits.Complete)
}

// Cancel drops a job and its temporary files.
// The code is S_OK or BG_S_UNABLE_TO_DELETE_FILES.
func (c *Client) Cancel(ctx context.Context, id string) (hresult.Code, error) {
	return c.act(ctx, id, bits.Cancel)
}

// TakeOwnership makes the caller the owner of a job; only administrators may.
// What the owner before trusted the job with is removed (headers, logins, variables of proxies, commands); and so is the memory of accepted certificates.
// BG_E_NEW_OWNER_NO_FILE_ACCESS if the folders of its files cannot be reached, BG_E_INVALID_STATE if it is final, E_ACCESSDENIED for the
// owner who is no administrator, BG_E_NOT_FOUND for any other user.
// A job of his own stays as it is; only how he is elevated is recorded anew.
func (c *Client) TakeOwnership(ctx context.Context, id string) error {
	return c.Do(ctx, "POST", "/jobs/"+url.PathEscape(id)+"/own", nil, nil)
}

// Event is one line of the event stream.
type Event = wire.Event

// Now asks [Client.Events] for the present state of the jobs, and what comes.
const Now = -1

// Events yields what happens to the caller's jobs, or to one of them, until the context ends or the service does: kept events after
// the number since, or the present states with [Now]; then live ones.
// The last value has an error if the stream broke; go on with the number of the last event.
func (c *Client) Events(ctx context.Context, since int64, job string) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		query := url.Values{}
		if since >= 0 {
			query.Set("since", strconv.FormatInt(since, 10))
		}
		if job != "" {
			query.Set("job", job)
		}
		resp, err := c.open(ctx, "GET", "/events?"+query.Encode(), nil)
		if err != nil {
			yield(Event{}, err)
			return
		}
		defer resp.Body.Close()
		dec := json.NewDecoder(resp.Body)
		for {
			var e Event
			if err := dec.Decode(&e); err != nil {
				if ctx.Err() == nil {
					yield(Event{}, c.unreachable(fmt.Errorf("the stream of events ended: %w", err)))
				}
				return
			}
			if !yield(e, nil) {
				return
			}
		}
	}
}

// Settled reports whether nothing more happens to the job by itself: it is TRANSFERRED, ERROR, SUSPENDED or final.
func Settled(j *bits.Job) bool {
	return j.State.Final() || j.State.Paused() && !(j.AutoComplete && j.State == bits.StateTransferred)
}

// Wait returns the job when it is [Settled].
// It waits through a restart of the service, if that comes back within a minute.
func (c *Client) Wait(ctx context.Context, id string) (*bits.Job, error) {
	gone := time.Time{}
	for {
		for e, err := range c.Events(ctx, Now, id) {
			if err != nil && !errors.Is(err, ErrUnreachable) {
				return nil, err
			}
			if err != nil || e.Kind != wire.KindState {
				continue
			}
			gone = time.Time{}
			job, err := c.Job(ctx, id)
			if err != nil {
				break
			}
			if Settled(job) {
				return job, nil
			}
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if gone.IsZero() {
			gone = time.Now()
		} else if time.Since(gone) > time.Minute {
			return nil, c.unreachable(errors.New("it has been away for a minute"))
		}
		time.Sleep(100 * time.Millisecond)
	}
}
