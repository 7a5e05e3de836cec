package wpad

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// The names stop at the domain that somebody has registered.
func TestNames(t *testing.T) {
	for domain, want := range map[string]string{
		"a.b.corp.example.com": "wpad.a.b.corp.example.com wpad.b.corp.example.com wpad.corp.example.com wpad.example.com",
		"Example.COM.":         "wpad.example.com", "corp.example.co.uk": "wpad.corp.example.co.uk wpad.example.co.uk", "home.lan": "wpad.home.lan",
		"com": "", "co.uk": "", "lan": "", "local": "", "": "", ".": "", "..": "", "me.github.io": "wpad.me.github.io", "github.io": "",
		"com#.example.com": "", "com/.example.com": "", "a@b.example.com": "", "a:1.example.com": "", "xn--bcher-kva.example.com": "wpad.xn--bcher-kva.example.com wpad.example.com",
	} {
		if got := strings.Join(Names([]string{domain, domain}), " "); got != want {
			t.Errorf("%s: %s, want %s", domain, got, want)
		}
	}
}

func TestFind(t *testing.T) {
	for _, c := range []struct {
		dhcp  []string
		err   error
		hosts string
		want  string
		note  string
	}{
		{[]string{"http://pac.example.com/p.pac\n\x00"}, nil, "", "http://pac.example.com/p.pac", "DHCP names http://pac.example.com/p.pac"},
		{nil, errors.New("no root"), "wpad.example.com.", "http://wpad.example.com/wpad.dat", "DHCP was not asked: no root"},
		{[]string{"file:///etc/passwd", "http://u:p@x/"}, nil, "", "", "what DHCP names is no http or https URL"},
		{nil, nil, "wpad.corp.example.com. wpad.example.com. wpad.com.", "http://wpad.corp.example.com/wpad.dat http://wpad.example.com/wpad.dat", "DHCP names no script"},
		{nil, nil, "", "", "DNS has no wpad.example.com"},
	} {
		n := Network{
			Domains: func() []string { return []string{"corp.example.com"} },
			DHCP:    func(context.Context) ([]string, error) { return c.dhcp, c.err },
			Lookup: func(_ context.Context, host string) error {
				if slices.Contains(strings.Fields(c.hosts), host) {
					return nil
				}
				return errors.New("no such name")
			},
		}
		places, notes := n.Find(context.Background())
		if strings.Join(places, " ") != c.want || !slices.Contains(notes, c.note) {
			t.Errorf("%v %s: %v, %q", c.dhcp, c.hosts, places, notes)
		}
	}
}

func TestSearched(t *testing.T) {
	got := searched("# x\nnameserver 1.2.3.4\nsearch a.example.com b.example.com\ndomain c.example.com\nsearch\n")
	if strings.Join(got, " ") != "a.example.com b.example.com c.example.com" {
		t.Error(got)
	}
}

// Whoever is in the network may answer anything, and a resolv.conf may hold anything: what comes out is a URL of the web, or a name below a
// domain that somebody has registered.
func FuzzAnswers(f *testing.F) {
	id := dhcpv4.TransactionID{1, 2, 3, 4}
	for _, said := range []string{"http://wpad.example.com/proxy.pac\n\x00", "file:///etc/passwd", "http://u:p@a/", ""} {
		a, err := dhcpv4.New(dhcpv4.WithTransactionID(id), dhcpv4.WithMessageType(dhcpv4.MessageTypeAck), dhcpv4.WithOption(dhcpv4.OptGeneric(option, []byte(said))))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(a.ToBytes(), "search a.example.com b.co.uk\ndomain com")
	}
	f.Fuzz(func(t *testing.T, answer []byte, conf string) {
		domains := searched(conf)
		n := Network{
			Domains: func() []string { return domains },
			DHCP: func(context.Context) ([]string, error) {
				if said, ok := named(answer, id); ok {
					return []string{said}, nil
				}
				return nil, nil
			},
			Lookup: func(context.Context, string) error { return nil },
		}
		places, _ := n.Find(context.Background())
		for i, place := range places {
			u, err := url.Parse(place)
			if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
				t.Errorf("%q: %v", place, err)
			} else if host := u.Hostname(); i > 0 && strings.Count(strings.TrimSuffix(host, "."), ".") < 2 {
				t.Errorf("%q of %q", place, domains)
			}
		}
	})
}
