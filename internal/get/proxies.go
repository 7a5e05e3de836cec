package get

import (
	"context"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/pflag"

	"bits"
	"bits/internal/console"
)

// proxies are the flags that say by which proxies the servers are reached. Without them the variables of the environment do.
type proxies struct {
	list, bypass, script string
	none, detect         bool

	flags *pflag.FlagSet
}

func (p *proxies) register(f *pflag.FlagSet) {
	p.flags = f
	f.StringVarP(&p.list, "proxy", "x", "", "`LIST` of proxies, [http=|https=][kind://]host[:port]; the kind is http, https, socks5 or socks5h; empty: none")
	f.StringVar(&p.bypass, "noproxy", "", "with --proxy: `LIST` of hosts that are reached directly; *: all")
	f.BoolVar(&p.none, "no-proxy", false, "use no proxy, whatever the environment says")
	f.StringVar(&p.script, "pac", "", "`URL` or file of a script that chooses the proxies")
	f.BoolVar(&p.detect, "proxy-auto", false, "search the network for such a script (WPAD)")
}

func (p *proxies) properties(_ context.Context, a *console.App, values map[string]any) error {
	var s bits.ProxySettings
	n := 0
	empty := p.flags.Changed("proxy") && p.list == "" // as in curl
	for _, u := range []struct {
		given bool
		usage bits.ProxyUsage
	}{{p.list != "", bits.ProxyOverride}, {p.none || empty, bits.ProxyNone}, {p.script != "", bits.ProxyAutodetect}, {p.detect, bits.ProxyAutodetect}} {
		if u.given {
			n++
			s.Usage = u.usage
		}
	}
	switch {
	case n > 1:
		return console.Usagef("--proxy, --no-proxy, --pac and --proxy-auto do not go together")
	case p.bypass != "" && p.list == "" && !empty:
		return console.Usagef("--noproxy goes with --proxy; for the proxies of the environment there is the variable no_proxy")
	case n == 0:
		return nil
	}
	if strings.Contains(p.list, "@") {
		a.Note("bits: other users can see the login of a proxy on a command line; put the proxy into the variable all_proxy, and leave out --proxy")
	}
	if p.script != "" && !strings.Contains(p.script, "://") {
		var err error
		if p.script, err = filepath.Abs(p.script); err == nil {
			_, err = os.Stat(p.script)
		}
		if err != nil {
			return console.Usagef("cannot read the script of --pac: %w", err)
		}
	}
	if s.Script = p.script; s.Usage == bits.ProxyOverride {
		s.List, s.Bypass = p.list, p.bypass
	}
	values["proxy_settings"] = s
	return nil
}
