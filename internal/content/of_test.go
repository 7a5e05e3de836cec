package content_test

import (
	"slices"
	"strings"
	"testing"

	"bits"
	"bits/hresult"
	"bits/internal/content"
)

func TestOf(t *testing.T) {
	n := func(n int64) *int64 { return &n }
	sums := map[string]string{"sha256": abc["sha256"]}
	pieces := func(length int64, n int) *bits.Pieces {
		return &bits.Pieces{Algorithm: "SHA-1", Length: length, Hashes: slices.Repeat([]string{strings.ToUpper(abc["sha1"])}, n)}
	}
	spec := func(c bits.Content, p *bits.Pieces) bits.FileSpec {
		return bits.FileSpec{RemoteName: "https://a.example/f", Content: c, Pieces: p}
	}
	for name, c := range map[string]struct {
		spec bits.FileSpec
		kind bits.JobType
		bad  string // words of the error
	}{
		"nothing":                  {spec: spec(bits.Content{}, nil)},
		"nothing to upload":        {spec: spec(bits.Content{}, nil), kind: bits.Upload},
		"all":                      {spec: spec(bits.Content{Digests: map[string]string{"SHA-256": strings.ToUpper(abc["sha256"]), "b3": abc["blake3"]}, Expected: n(1500), Mirrors: []string{"http://b.example/f", "https://c.example/f"}}, pieces(1024, 2))},
		"server's mirrors":         {spec: spec(bits.Content{MirrorsFromServer: true}, nil)},
		"them, of ranges":          {spec: bits.FileSpec{RemoteName: "http://a/f", Ranges: []bits.FileRange{{Length: 1}}, Content: bits.Content{MirrorsFromServer: true}}, bad: "they are of the whole file"},
		"them, of an upload":       {spec: spec(bits.Content{MirrorsFromServer: true}, nil), kind: bits.Upload, bad: "the type of the job is UPLOAD"},
		"upload":                   {spec: spec(bits.Content{Digests: sums}, nil), kind: bits.Upload, bad: "the type of the job is UPLOAD"},
		"ranges":                   {spec: bits.FileSpec{RemoteName: "http://a/f", Ranges: []bits.FileRange{{Length: 1}}, Content: bits.Content{Digests: sums}}, bad: "they are of the whole file"},
		"no algorithm":             {spec: spec(bits.Content{Digests: map[string]string{"crc32": "12345678"}}, nil), bad: "the digests are sha512"},
		"too short":                {spec: spec(bits.Content{Digests: map[string]string{"sha256": "12"}}, nil), bad: "64 hexadecimal digits"},
		"two names that differ":    {spec: spec(bits.Content{Digests: map[string]string{"sha256": abc["sha256"], "sha-256": strings.Repeat("0", 64)}}, nil), bad: "two of sha256 that differ"},
		"negative size":            {spec: spec(bits.Content{Expected: n(-1)}, nil), bad: "no number of bytes"},
		"pieces too small":         {spec: spec(bits.Content{}, pieces(1023, 1)), bad: "the length of pieces"},
		"pieces too large":         {spec: spec(bits.Content{}, pieces(1<<31, 1)), bad: "the length of pieces"},
		"pieces without a length":  {spec: spec(bits.Content{Expected: n(5)}, pieces(0, 1)), bad: "the length of pieces"},
		"no pieces":                {spec: spec(bits.Content{}, pieces(1024, 0)), bad: "there are 1 to 65536 pieces"},
		"too many pieces":          {spec: spec(bits.Content{}, pieces(1024, 1<<16+1)), bad: "there are 1 to 65536 pieces"},
		"pieces of another size":   {spec: spec(bits.Content{Expected: n(2049)}, pieces(1024, 2)), bad: "expected_size"},
		"pieces that are no piece": {spec: spec(bits.Content{}, &bits.Pieces{Algorithm: "sha1", Length: 1024, Hashes: []string{"x"}}), bad: "the one at 0"},
		"mirror of file":           {spec: spec(bits.Content{Mirrors: []string{"file:///etc/passwd"}}, nil), bad: "with its mirrors"},
		"mirror twice":             {spec: spec(bits.Content{Mirrors: []string{"https://b.example/f", "https://b.example/f"}}, nil), bad: "is there twice"},
		"mirror is the name":       {spec: spec(bits.Content{Mirrors: []string{"https://a.example/f"}}, nil), bad: "is there twice"},
		"mirror without TLS":       {spec: spec(bits.Content{Mirrors: []string{"http://b.example/f"}}, nil), bad: "without a strong digest"},
		"weak digest":              {spec: spec(bits.Content{Mirrors: []string{"http://b.example/f"}, Digests: map[string]string{"md5": abc["md5"]}}, nil), bad: "without a strong digest"},
		"many mirrors":             {spec: spec(bits.Content{Mirrors: make([]string, 101)}, nil), bad: "more than 100 mirrors"},
	} {
		got, err := content.Of(c.kind, c.spec)
		if c.bad == "" && err != nil || c.bad != "" && (err == nil || !strings.Contains(err.Error(), c.bad) || bits.AsError(err).Code != hresult.E_INVALIDARG) {
			t.Errorf("%s: %v, want %q", name, err, c.bad)
		}
		if name == "all" && (got.Digests["sha256"] != abc["sha256"] || got.Digests["blake3"] != abc["blake3"] || got.Pieces.Algorithm != "sha1" || got.Pieces.Hashes[1] != abc["sha1"]) {
			t.Errorf("%s: %+v %+v", name, got, got.Pieces)
		}
	}
}
