// Package metalink reads Metalink 4 files (RFC 5854), and what answers of HTTP say in their place (RFC 6249): where a file is to be had, and
// what it must be.
package metalink

import (
	"encoding/xml"
	"fmt"
	"io"
	"math"
	"path"
	"slices"
	"strings"

	"bits"
	"bits/internal/content"
	"bits/internal/remotename"
)

// What a metalink may have. It comes from the network, and nobody has signed it.
const (
	MaxSize    = 8 << 20
	maxDepth   = 20
	maxFiles   = 1000
	maxSources = 100 // of one file; the others are passed over
	maxName    = 255
)

// namespace is that of Metalink 4.
const namespace = "urn:ietf:params:xml:ns:metalink"

// The elements that are read; all others are passed over.
type (
	document struct {
		XMLName xml.Name
		Files   []file `xml:"file"`
	}
	file struct {
		Name   string   `xml:"name,attr"`
		Size   *int64   `xml:"size"`
		Hashes []hash   `xml:"hash"`
		Pieces []pieces `xml:"pieces"`
		URLs   []source `xml:"url"`
	}
	hash struct {
		Type  string `xml:"type,attr"`
		Value string `xml:",chardata"`
	}
	pieces struct {
		Length int64    `xml:"length,attr"`
		Type   string   `xml:"type,attr"`
		Hashes []string `xml:"hash"`
	}
	source struct {
		URL      string `xml:",chardata"`
		Priority int    `xml:"priority,attr"`
		Location string `xml:"location,attr"`
	}
)

// shallow are the tokens of a document that is not too deep.
type shallow struct {
	*xml.Decoder
	depth int
}

func (s *shallow) Token() (xml.Token, error) {
	t, err := s.Decoder.Token()
	switch t.(type) {
	case xml.StartElement:
		s.depth++
	case xml.EndElement:
		s.depth--
	}
	if s.depth > maxDepth {
		return nil, fmt.Errorf("its elements are more than %d deep", maxDepth)
	}
	return t, err
}

// Read returns the files of a metalink, in order, as a job takes them, with the last part of their names as local names: a metalink
// chooses no folders.
// Of the sources of a file only those of http and https are kept, in the order of their priority; of two that are alike the one of the
// location goes first, a country code of ISO 3166 or nothing. The first is the remote name. If that is https and there is no strong digest,
// those that are not are left out.
func Read(r io.Reader, location string) ([]bits.FileSpec, error) {
	limited := &io.LimitedReader{R: r, N: MaxSize + 1}
	var d document
	err := xml.NewTokenDecoder(&shallow{Decoder: xml.NewDecoder(limited)}).Decode(&d)
	switch {
	case limited.N <= 0:
		return nil, fmt.Errorf("it is larger than %d bytes", MaxSize)
	case err == io.EOF:
		return nil, fmt.Errorf("it is no metalink: it has no elements")
	case err != nil:
		return nil, fmt.Errorf("it is no metalink: %w", err)
	case d.XMLName.Local == "metalink" && d.XMLName.Space == "http://www.metalinker.org/":
		return nil, fmt.Errorf("it is a metalink of version 3, and only version 4 (RFC 5854) can be read")
	case d.XMLName.Local != "metalink" || d.XMLName.Space != namespace:
		return nil, fmt.Errorf("it is no metalink: its root is %.40q", d.XMLName.Local)
	case len(d.Files) == 0:
		return nil, fmt.Errorf("it has no files")
	case len(d.Files) > maxFiles:
		return nil, fmt.Errorf("it has %d files, and %d are allowed", len(d.Files), maxFiles)
	}
	var all []bits.FileSpec
	names := map[string]bool{}
	for i := range d.Files {
		spec, err := d.Files[i].spec(location)
		if err != nil {
			return nil, fmt.Errorf("its file %.80q: %w", d.Files[i].Name, err)
		}
		if names[spec.LocalName] {
			return nil, fmt.Errorf("it has two files with the name %s", spec.LocalName)
		}
		names[spec.LocalName] = true
		all = append(all, spec)
	}
	return all, nil
}

func (f *file) spec(location string) (spec bits.FileSpec, err error) {
	if spec.LocalName, err = name(f.Name); err != nil {
		return spec, err
	}
	if spec.Expected = f.Size; f.Size != nil && *f.Size < 0 {
		return spec, fmt.Errorf("its size is %d", *f.Size)
	}
	for _, h := range f.Hashes {
		if !content.Known(h.Type) {
			continue
		}
		algorithm, value, err := content.Check(h.Type, strings.TrimSpace(h.Value))
		if err != nil {
			return spec, err
		}
		if spec.Digests == nil {
			spec.Digests = map[string]string{}
		}
		if before := spec.Digests[algorithm]; before != "" && before != value {
			return spec, fmt.Errorf("it has two of %s that differ", algorithm)
		}
		spec.Digests[algorithm] = value
	}
	for _, p := range f.Pieces {
		if spec.Pieces == nil && content.Known(p.Type) {
			spec.Pieces = &bits.Pieces{Algorithm: p.Type, Length: p.Length, Hashes: p.Hashes}
			for i := range p.Hashes {
				p.Hashes[i] = strings.TrimSpace(p.Hashes[i])
			}
		}
	}
	var urls []source
	for _, u := range f.URLs {
		if u.URL = strings.TrimSpace(u.URL); remotename.Check(u.URL) != nil || slices.ContainsFunc(urls, func(o source) bool { return o.URL == u.URL }) {
			continue
		}
		if u.Priority <= 0 {
			u.Priority = math.MaxInt
		}
		urls = append(urls, u)
	}
	if len(urls) == 0 {
		return spec, fmt.Errorf("it has no source that is http or https")
	}
	slices.SortStableFunc(urls, func(a, b source) int { return rank(a, b, location) })
	spec.RemoteName = urls[0].URL
	for _, u := range urls[1:min(len(urls), maxSources)] {
		if content.HTTPS(u.URL) || !content.HTTPS(spec.RemoteName) || content.Strong(spec.Digests) {
			spec.Mirrors = append(spec.Mirrors, u.URL)
		}
	}
	_, err = content.Of(bits.Download, spec)
	return spec, err
}

// rank orders two sources.
func rank(a, b source, location string) int {
	here := func(s source) int {
		if location != "" && strings.EqualFold(s.Location, location) {
			return 0
		}
		return 1
	}
	switch {
	case a.Priority != b.Priority && a.Priority < b.Priority:
		return -1
	case a.Priority != b.Priority:
		return 1
	}
	return here(a) - here(b)
}

// name is the last part of the name of a file; one that leads out of the folder is refused (RFC 5854, section 4.1.2.1), and what means
// something to a shell of some system is replaced.
func name(given string) (string, error) {
	for part := range strings.FieldsFuncSeq(given, func(r rune) bool { return r == '/' || r == '\\' }) {
		if part == ".." || part == "." {
			return "", fmt.Errorf("its name leads to another folder")
		}
	}
	base := strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == 0xfffd || strings.ContainsRune(`\:*?"<>|`, r) {
			return '_'
		}
		return r
	}, path.Base(given))
	switch {
	case strings.HasPrefix(given, "/") || strings.HasSuffix(given, "/") || base == "." || base == "":
		return "", fmt.Errorf("its name is none")
	case len(base) > maxName:
		return "", fmt.Errorf("its name is longer than %d bytes", maxName)
	}
	return base, nil
}
