package validator

import (
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"strings"
)

// algorithms are those of RFC 9530 that are good against an adversary: their names there and here, and the length of their digests.
var algorithms = map[string]struct {
	name   string
	length int
}{"sha-256": {"sha256", 32}, "sha-512": {"sha512", 64}}

// Digests are the digests that an answer tells of the whole representation: its Repr-Digest, and if it is the whole itself, its
// Content-Digest. By our names, in hexadecimal; nil if it tells none that counts, or contradicts itself.
func Digests(a *http.Response) map[string]string {
	lines := a.Header.Values("Repr-Digest")
	if a.StatusCode == http.StatusOK {
		lines = append(lines[:len(lines):len(lines)], a.Header.Values("Content-Digest")...)
	}
	var found map[string]string
	for name, sum := range dictionary(lines) {
		known, ok := algorithms[name]
		if !ok || len(sum) != 1 || len(sum[0]) != known.length {
			continue
		}
		if found == nil {
			found = map[string]string{}
		}
		found[known.name] = hex.EncodeToString([]byte(sum[0]))
	}
	return found
}

// dictionary reads the members of a structured dictionary (RFC 8941, section 3.2) that are byte sequences, with all the values that they
// are given; the others, and parameters, are passed over. Keys and byte sequences hold no comma, so nothing else need be told apart.
func dictionary(lines []string) map[string][]string {
	members := map[string][]string{}
	for _, line := range lines {
		for member := range strings.SplitSeq(line, ",") {
			key, value, _ := strings.Cut(strings.Trim(member, " \t"), "=")
			value, _, _ = strings.Cut(value, ";")
			value = strings.TrimRight(value, " \t")
			if len(value) < 2 || value[0] != ':' || value[len(value)-1] != ':' {
				continue
			}
			b, err := base64.StdEncoding.DecodeString(value[1 : len(value)-1])
			if err != nil {
				continue
			}
			if seen := members[key]; len(seen) == 0 || seen[0] != string(b) {
				members[key] = append(seen, string(b))
			}
		}
	}
	return members
}
