package contract_test

import (
	"slices"
	"strings"
	"testing"

	"bits"
	"bits/hresult"
	"bits/internal/contract"
)

// What is known of the content of a file, and what cannot be had with it, in whichever order.
func TestContentFits(t *testing.T) {
	sums := bits.Content{Digests: map[string]string{"sha-256": strings.Repeat("AB", 32)}}
	mirrors := bits.Content{Mirrors: []string{"http://b.example/f"}}
	named := bits.Content{MirrorsFromServer: true}
	for _, c := range []struct {
		property, value string
		content         bits.Content
		code            hresult.Code
	}{
		{"dynamic_content", "true", sums, 0},
		{"http_method", `"PUT"`, sums, 0},
		{"high_performance", "true", sums, 0},
		{"on_demand_mode", "true", bits.Content{}, 0},
		{"on_demand_mode", "true", sums, hresult.BG_E_UNSUPPORTED_JOB_CONFIGURATION},
		{"on_demand_mode", "true", mirrors, hresult.BG_E_UNSUPPORTED_JOB_CONFIGURATION},
		{"dynamic_content", "true", mirrors, hresult.BG_E_UNSUPPORTED_JOB_CONFIGURATION},
		{"http_method", `"PUT"`, mirrors, hresult.BG_E_NOT_SUPPORTED_WITH_CUSTOM_HTTP_METHOD},
		{"on_demand_mode", "true", named, hresult.BG_E_UNSUPPORTED_JOB_CONFIGURATION},
		{"dynamic_content", "true", named, hresult.BG_E_UNSUPPORTED_JOB_CONFIGURATION},
		{"http_method", `"PUT"`, named, hresult.BG_E_NOT_SUPPORTED_WITH_CUSTOM_HTTP_METHOD},
	} {
		properties := map[string]bits.RawMessage{c.property: bits.RawMessage(c.value)}
		files := []bits.FileSpec{{RemoteName: "http://a.example/f", LocalName: "/f", Content: c.content}}
		job, err := contract.NewJob(bits.Spec{Properties: properties, Files: files}, contract.Caller{})
		if (err == nil) != (c.code == 0) || err != nil && bits.AsError(err).Code != c.code {
			t.Errorf("%s and %+v: %v", c.property, c.content, err)
		}
		if err == nil && c.content.Digests != nil && job.Files[0].Digests["sha256"] != strings.Repeat("ab", 32) {
			t.Errorf("%v", job.Files[0].Digests)
		}
	}
}

// What a server has said of a file is nothing for one of another name.
func TestRenameForgetsTheServer(t *testing.T) {
	job, err := contract.NewJob(bits.Spec{Files: []bits.FileSpec{{RemoteName: "http://a.example/f", LocalName: "/f"}}}, me)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		kept int
	}{{"http://a.example/f", 1}, {"http://b.example/f", 0}} {
		job.Files[0].Told = bits.Content{Mirrors: []string{"http://m.example/f"}}
		i := slices.IndexFunc(contract.Operations(), func(o contract.Operation) bool { return o.Name == "set-remote-name" })
		call, err := contract.Operations()[i].Read(raw(contract.RemoteName{RemoteName: c.name}), 0)
		if err == nil {
			_, err = call.Apply(job, me)
		}
		if n := len(job.Files[0].Told.Mirrors); err != nil || n != c.kept {
			t.Errorf("%s: %d mirrors, %v", c.name, n, err)
		}
	}
}
