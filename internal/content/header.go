package content

import (
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"strings"
)

// maxField is how long a header may be that is read for digests.
const maxField = 8 << 10

// Promised are the digests of the whole file that the headers of an answer tell, sha256 and sha512 only: Repr-Digest (RFC 9530), else
// Digest (RFC 3230). The old Content-MD5 is passed over: nobody keeps it right. So is Content-Digest, which is of one answer.
func Promised(h http.Header) map[string]string {
	found := map[string]string{}
	for _, f := range []struct {
		name        string
		open, close string
	}{{"Repr-Digest", ":", ":"}, {"Digest", "", ""}} {
		text := strings.Join(h.Values(f.name), ",")
		if len(text) > maxField {
			continue
		}
		for member := range strings.SplitSeq(text, ",") {
			name, value, _ := strings.Cut(strings.TrimSpace(member), "=")
			value, _, _ = strings.Cut(value, ";") // parameters
			value, opened := strings.CutPrefix(strings.TrimSpace(value), f.open)
			value, closed := strings.CutSuffix(value, f.close)
			a, ok := find(func(a algorithm) bool { return a.field != "" && strings.EqualFold(name, a.field) })
			if raw, err := base64.StdEncoding.DecodeString(value); ok && opened && closed && err == nil && len(raw) == a.size {
				found[a.name] = hex.EncodeToString(raw)
			}
		}
		if len(found) > 0 {
			break
		}
	}
	if len(found) == 0 {
		return nil
	}
	return found
}
