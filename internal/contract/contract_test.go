package contract_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"bits"
	"bits/hresult"
	"bits/internal/contract"
	"bits/internal/limits"
)

var me = contract.Caller{Owner: "me"}

func raw(v any) bits.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

func TestSet(t *testing.T) {
	long := strings.Repeat("é", 257)
	for _, c := range []struct {
		name  string
		value string
		code  hresult.Code
	}{
		{"display_name", `"x"`, 0},
		{"display_name", string(raw(long[:2*256])), 0},
		{"display_name", string(raw(long)), hresult.BG_E_STRING_TOO_LONG},
		{"display_name", `7`, hresult.E_INVALIDARG},
		{"description", string(raw(strings.Repeat("é", 1024))), 0},
		{"description", string(raw(strings.Repeat("é", 1025))), hresult.BG_E_STRING_TOO_LONG},
		{"custom_headers", `""`, 0},
		{"custom_headers", `"If-Range: x"`, hresult.E_INVALIDARG},
		{"custom_headers", `"content-length: 1"`, hresult.E_INVALIDARG},
		{"custom_headers", `"Transfer-Encoding: chunked"`, hresult.E_INVALIDARG},
		{"priority", `"low"`, 0},
		{"priority", `"LOWEST"`, hresult.E_NOTIMPL},
		{"minimum_retry_delay", `-1`, hresult.E_INVALIDARG},
		{"minimum_retry_delay", `4294967296`, hresult.E_INVALIDARG},
		{"security_flags", `2591`, 0}, // 0xa1f
		{"security_flags", `32`, hresult.E_NOTIMPL},
		{"security_flags", `768`, hresult.E_NOTIMPL}, // a redirect policy that is none
		{"custom_headers", `"A: b"`, 0},
		{"custom_headers", `"A: b\r\nC: d\r\n"`, 0},
		{"custom_headers", `"A: b\nC: d"`, hresult.E_INVALIDARG},
		{"custom_headers", `"A b"`, hresult.E_INVALIDARG},
		{"custom_headers", `"Range: bytes=0-"`, hresult.E_INVALIDARG},
		{"custom_headers", string(raw("A: " + strings.Repeat("x", bits.MaxHeaders))), hresult.BG_E_STRING_TOO_LONG},
		{"backoff", `{"first":1,"max":60,"jitter":0.5}`, 0},
		{"backoff", `null`, 0},
		{"backoff", `{"first":0,"max":60}`, hresult.E_INVALIDARG},
		{"backoff", `{"first":2,"max":1}`, hresult.E_INVALIDARG},
		{"backoff", `{"frist":2}`, hresult.E_INVALIDARG},
		{"state", `"QUEUED"`, hresult.BG_E_READ_ONLY_PROPERTY},
		{"owner", `"uid:0"`, hresult.BG_E_READ_ONLY_PROPERTY},
		{"nonsense", `1`, hresult.BG_E_UNKNOWN_PROPERTY_ID},
	} {
		job, err := contract.NewJob(bits.Spec{}, me)
		if err != nil {
			t.Fatal(err)
		}
		before := string(raw(job))
		_, err = contract.Set(job, map[string]bits.RawMessage{c.name: bits.RawMessage(c.value), "strict": raw(true)})
		code := hresult.Code(0)
		if err != nil {
			code = bits.AsError(err).Code
		}
		if code != c.code {
			t.Errorf("set %s to %.60s: %v (%v), want %v", c.name, c.value, code, err, c.code)
		}
		if err != nil && string(raw(job)) != before {
			t.Errorf("set %s to %.60s was refused, and changed the job", c.name, c.value)
		}
	}
}

// Revocation that is turned on in mid-file starts that file over; finished files stay, and other flags change nothing.
func TestRevocationTurnedOn(t *testing.T) {
	for flags, over := range map[bits.SecurityFlags]bool{bits.CheckRevocation: true, bits.IgnoreCertDate: false} {
		done := bits.Ranges{{Start: 0, End: 5}}
		job := &bits.Job{Files: []bits.File{{Done: done, Finished: true}, {Done: done, Validator: &bits.Validator{ETag: `"1"`}}}}
		if _, err := contract.Set(job, map[string]bits.RawMessage{"security_flags": raw(flags)}); err != nil {
			t.Fatal(err)
		}
		if job.Files[0].Done.Len() != 5 || (job.Files[1].Done.Len() == 0) != over || (job.Files[1].Validator == nil) != over {
			t.Errorf("%#x: %+v", uint32(flags), job.Files)
		}
	}
}

// What the rules of trust are changed to counts at once.
func TestTrustTakesHold(t *testing.T) {
	for _, name := range []string{"security_flags", "roots", "custom_headers", "client_certificate", "login_sources", "use_stored_credentials", "proxy_settings"} {
		for _, p := range contract.Properties() {
			if p.Name == name && p.Effect != contract.EffectReconnect {
				t.Errorf("a change of %s leaves the connections", name)
			}
		}
	}
}

func TestRetryDelayHasAFloor(t *testing.T) {
	job, err := contract.NewJob(bits.Spec{Properties: map[string]bits.RawMessage{"minimum_retry_delay": raw(1)}}, contract.Caller{})
	if err != nil || job.MinimumRetryDelay != 5 {
		t.Errorf("%v, %v", job, err)
	}
	if job.NoProgressTimeout != 1209600 || job.MaximumDownloadTime != 7776000 || job.Priority != bits.Normal || job.State != bits.StateSuspended {
		t.Errorf("defaults: %+v", job)
	}
}

func FuzzSet(f *testing.F) {
	for _, p := range contract.Properties() {
		f.Add(p.Name, []byte(`"x"`))
		f.Add(p.Name, []byte(`1`))
	}
	f.Add("custom_headers", []byte(`"A: b\r\n"`))
	f.Fuzz(func(t *testing.T, name string, value []byte) {
		job, _ := contract.NewJob(bits.Spec{}, me)
		if _, err := contract.Set(job, map[string]bits.RawMessage{name: value}); err == nil {
			for line := range strings.SplitSeq(strings.TrimSuffix(job.Secrets.Headers, "\r\n"), "\r\n") {
				if strings.ContainsAny(line, "\r\n") {
					t.Errorf("a header with a line break: %q", line)
				}
			}
		}
	})
}

// Every limit of policy: at it, above it, for an administrator, and as it was set.
func TestLimits(t *testing.T) {
	file := func(i int) bits.FileSpec {
		return bits.FileSpec{RemoteName: "http://a/", LocalName: fmt.Sprintf("/f%d", i)}
	}
	reach := map[string]func(n int, by contract.Caller) error{
		limits.MaxFilesPerJob: func(n int, by contract.Caller) error {
			var files []bits.FileSpec
			for i := range n {
				files = append(files, file(i))
			}
			return contract.Add(&bits.Job{}, files, by)
		},
		limits.MaxRangesPerFile: func(n int, by contract.Caller) error {
			f := file(0)
			for i := range n {
				f.Ranges = append(f.Ranges, bits.FileRange{Offset: int64(i), Length: 1})
			}
			return contract.Add(&bits.Job{HTTPMethod: "GET"}, []bits.FileSpec{f}, by)
		},
		limits.MaxJobsPerUser:    func(n int, by contract.Caller) error { return by.MoreJobs(n-1, n-1) },
		limits.MaxJobsPerMachine: func(n int, by contract.Caller) error { return by.MoreJobs(0, n-1) },
	}
	for _, row := range limits.All {
		set, err := limits.Parse([]string{row.Name + "=3"}, "--limit")
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			by   contract.Caller
			n    int
			code hresult.Code
			said string
		}{
			{contract.Caller{}, row.Default, 0, ""},
			{contract.Caller{}, row.Default + 1, row.Code, "set by the default"},
			{contract.Caller{Admin: true}, row.Default + 1, 0, ""},
			{contract.Caller{Limits: set}, 3, 0, ""},
			{contract.Caller{Limits: set}, 4, row.Code, "3 are allowed (" + row.Name + ", set by --limit)"},
			{contract.Caller{Limits: set, Admin: true}, 4, 0, ""},
		} {
			err := reach[row.Name](c.n, c.by)
			if (err == nil) != (c.code == 0) || err != nil && (bits.AsError(err).Code != c.code || !strings.Contains(err.Error(), c.said)) {
				t.Errorf("%s with %d, %+v: %v", row.Name, c.n, c.by, err)
			}
		}
	}
	for _, s := range []string{"", "MaxFilesPerJob", "MaxFilesPerJob=0", "MaxFilesPerJob=x", "MaxApples=1"} {
		if _, err := limits.Parse([]string{s}, "x"); !errors.Is(err, bits.ErrInvalidArg) {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func TestAddIsAllOrNothing(t *testing.T) {
	job := &bits.Job{}
	good := bits.FileSpec{RemoteName: "http://a/b", LocalName: "/b"}
	if err := contract.Add(job, []bits.FileSpec{good, {RemoteName: "nonsense", LocalName: "/c"}}, me); err == nil || len(job.Files) != 0 {
		t.Errorf("%v, %d files", err, len(job.Files))
	}
	if err := contract.Add(job, []bits.FileSpec{good, good}, me); !errors.Is(err, bits.ErrInvalidArg) || len(job.Files) != 0 {
		t.Errorf("twice the same name: %v, %d files", err, len(job.Files))
	}
	many := make([]bits.FileSpec, 1001)
	if err := contract.Add(job, many, me); bits.AsError(err).Code != hresult.BG_E_TOO_MANY_FILES_IN_JOB {
		t.Errorf("too many: %v", err)
	}
}
