package contract_test

import (
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
