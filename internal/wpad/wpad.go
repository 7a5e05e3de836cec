// Package wpad finds where a network keeps its proxy auto-configuration script: by option 252 of DHCP, then by the name wpad in DNS.
// Source: the Internet-Draft draft-ietf-wrec-wpad-01, and RFC 2131 for DHCPINFORM.
package wpad

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/publicsuffix"
)

const (
	lookupTime = 3 * time.Second
	maxDomains = 8 // names that are asked for
)

// Network is how a network is asked.
type Network struct {
	Domains func() []string                              // of this machine
	Lookup  func(ctx context.Context, host string) error // nil error: the name, which ends with a dot, has an address
	DHCP    func(ctx context.Context) ([]string, error)  // what option 252 says; an error if it cannot be asked
}

// System is the network of this machine.
func System() Network {
	return Network{
		Domains: domains,
		Lookup: func(ctx context.Context, host string) error {
			_, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
			return err
		},
		DHCP: inform,
	}
}

// Find returns the places of scripts in the order in which they are to be tried, and notes for people on how they were found.
func (n Network) Find(ctx context.Context) (places, notes []string) {
	said, err := n.DHCP(ctx)
	switch {
	case err != nil:
		notes = append(notes, fmt.Sprintf("DHCP was not asked: %v", err))
	case len(said) == 0:
		notes = append(notes, "DHCP names no script")
	}
	for _, s := range said {
		s = strings.Trim(s, "\x00 \r\n")
		if u, err := url.Parse(s); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil {
			notes = append(notes, "what DHCP names is no http or https URL")
			continue
		}
		places, notes = append(places, s), append(notes, "DHCP names "+s)
	}
	names := Names(n.Domains())
	if len(names) == 0 {
		notes = append(notes, "DNS was not asked: this machine has no domain that somebody has registered")
	}
	for _, name := range names[:min(len(names), maxDomains)] {
		ctx, cancel := context.WithTimeout(ctx, lookupTime)
		err := n.Lookup(ctx, name+".")
		cancel()
		if err != nil {
			notes = append(notes, "DNS has no "+name)
			continue
		}
		places, notes = append(places, "http://"+name+"/wpad.dat"), append(notes, "DNS has "+name)
	}
	return places, notes
}

// Names are the names wpad.DOMAIN for domains and what stands above them, down to the one that was registered: never wpad.com, wpad.co.uk or
// wpad.lan, which might belong to anybody.
func Names(domains []string) (names []string) {
	for _, d := range domains {
		d = strings.ToLower(strings.Trim(d, ". "))
		registered, err := publicsuffix.EffectiveTLDPlusOne(d)
		if err != nil || len(d) > 240 || strings.ContainsFunc(d, noName) {
			continue
		}
		for len(d) >= len(registered) {
			if name := "wpad." + d; !slices.Contains(names, name) {
				names = append(names, name)
			}
			_, d, _ = strings.Cut(d, ".")
		}
	}
	return names
}

// noName reports whether a character cannot be in a name: in a URL it could end the name too early.
func noName(r rune) bool {
	return (r < 'a' || r > 'z') && (r < '0' || r > '9') && !strings.ContainsRune("-_.", r)
}

// domains are those of the machine's own name, and of its resolver.
func domains() (all []string) {
	if host, err := os.Hostname(); err == nil {
		if _, domain, ok := strings.Cut(host, "."); ok {
			all = append(all, domain)
		}
	}
	text, _ := os.ReadFile("/etc/resolv.conf")
	return append(all, searched(string(text))...)
}

// searched are the domains that a resolv.conf names.
func searched(text string) (all []string) {
	for line := range strings.Lines(text) {
		if words := strings.Fields(line); len(words) > 1 && (words[0] == "domain" || words[0] == "search") {
			all = append(all, words[1:]...)
		}
	}
	return all
}
