package content

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

// algorithm is one row of the table, the strongest first.
type algorithm struct {
	name   string
	others []string // names
	size   int      // bytes
	strong bool     // nobody can make another file of the same digest
}

// algorithms are all that can be asked for. What has the length of sha256 is taken for that, if nobody says what it is.
var algorithms = []algorithm{
	{name: "sha512", others: []string{"sha-512"}, size: 64, strong: true},
	{name: "sha384", others: []string{"sha-384"}, size: 48, strong: true},
	{name: "sha256", others: []string{"sha-256"}, size: 32, strong: true},
	{name: "blake3", others: []string{"b3"}, size: 32, strong: true},
	{name: "sha224", others: []string{"sha-224"}, size: 28, strong: true},
	{name: "sha1", others: []string{"sha-1", "sha"}, size: 20},
	{name: "md5", size: 16},
}

func find(fits func(algorithm) bool) (algorithm, bool) {
	if i := slices.IndexFunc(algorithms, fits); i >= 0 {
		return algorithms[i], true
	}
	return algorithm{}, false
}

func named(name string) (algorithm, bool) {
	name = strings.ToLower(name)
	return find(func(a algorithm) bool { return name == a.name || slices.Contains(a.others, name) })
}

// Known reports whether there is an algorithm of the name, in any of the ways that it is written.
func Known(name string) bool {
	_, ok := named(name)
	return ok
}

// Names are the names of all algorithms, the strongest first.
func Names() (names []string) {
	for _, a := range algorithms {
		names = append(names, a.name)
	}
	return names
}

// Strong reports whether one of the digests is of an algorithm for which nobody can make another file of the same digest.
func Strong(digests map[string]string) bool {
	for name := range digests {
		if a, ok := named(name); ok && a.strong {
			return true
		}
	}
	return false
}

// Check returns a digest in its one form: the name as [Names] has it, the value in lower-case hexadecimal.
func Check(name, value string) (string, string, error) {
	a, ok := named(name)
	if !ok {
		return "", "", fmt.Errorf("there is no digest %q: the digests are %s", name, strings.Join(Names(), ", "))
	}
	raw, err := hex.DecodeString(value)
	if err != nil || len(raw) != a.size {
		return "", "", fmt.Errorf("%q is no %s: that is %d hexadecimal digits", value, a.name, 2*a.size)
	}
	return a.name, strings.ToLower(value), nil
}

// Parse reads ALGORITHM=HEX, ALGORITHM:HEX, or the digits alone, whose number then says what they are: md5, sha1 or one of SHA-2.
func Parse(text string) (name, value string, err error) {
	text = strings.TrimSpace(text)
	if i := strings.IndexAny(text, "=:"); i >= 0 {
		return Check(strings.TrimSpace(text[:i]), strings.TrimSpace(text[i+1:]))
	}
	if name = OfLength(len(text)); name == "" {
		return "", "", fmt.Errorf("%q is no digest: it is ALGORITHM=DIGITS, such as sha256=9f86...08", text)
	}
	return Check(name, text)
}

// OfLength is the algorithm of so many hexadecimal digits; empty if there is none.
func OfLength(digits int) string {
	a, _ := find(func(a algorithm) bool { return digits == 2*a.size })
	return a.name
}

// Strongest is the name of the strongest of some digests; empty if there is none.
func Strongest(digests map[string]string) string {
	a, _ := find(func(a algorithm) bool { return digests[a.name] != "" })
	return a.name
}

// Compare returns the names of the digests that differ, the strongest first. What has not been computed is passed over.
func Compare(want, got map[string]string) (differ []string) {
	for _, a := range algorithms {
		if w, g := want[a.name], got[a.name]; w != "" && g != "" && w != g {
			differ = append(differ, a.name)
		}
	}
	return differ
}
