package contract

import (
	"net/url"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"bits"
	"bits/hresult"
)

// checkProxy accepts what SetProxySettings accepts. The logins in a list go to where secrets are kept.
func checkProxy(j *bits.Job, p *bits.ProxySettings) error {
	list, bypass := utf8.RuneCountInString(p.List), utf8.RuneCountInString(p.Bypass)
	switch {
	case p.Usage == bits.ProxyOverride && strings.TrimSpace(p.List) == "":
		return bits.Errorf(hresult.E_INVALIDARG, "OVERRIDE needs a list of proxies")
	case p.Usage != bits.ProxyOverride && (p.List != "" || p.Bypass != ""):
		return bits.Errorf(hresult.E_INVALIDARG, "the lists are for OVERRIDE only, and this is %s", p.Usage)
	case p.Usage != bits.ProxyAutodetect && p.Script != "":
		return bits.Errorf(hresult.E_INVALIDARG, "the script is for AUTODETECT only, and this is %s", p.Usage)
	case list > bits.MaxProxyList:
		return bits.Errorf(hresult.BG_E_PROXY_LIST_TOO_LARGE, "the list has %d characters, and %d are allowed", list, bits.MaxProxyList)
	case bypass > bits.MaxProxyList:
		return bits.Errorf(hresult.BG_E_PROXY_BYPASS_LIST_TOO_LARGE, "the bypass list has %d characters, and %d are allowed", bypass, bits.MaxProxyList)
	}
	if err := checkScript(p.Script); err != nil {
		return err
	}
	p.List, j.Secrets.ProxyLogins = withhold(p.List)
	return nil
}

// checkScript accepts where a PAC script can be: an http or https URL, a file URL, or a full path.
func checkScript(s string) error {
	if s == "" || filepath.IsAbs(s) && !strings.ContainsRune(s, 0) {
		return nil
	}
	u, err := url.Parse(s)
	switch {
	case utf8.RuneCountInString(s) > bits.MaxURL:
		return bits.Errorf(hresult.E_INVALIDARG, "the script has a name of more than %d characters", bits.MaxURL)
	case err == nil && u.User != nil:
		return bits.Errorf(hresult.E_INVALIDARG, "the URL of the script has a login, and everybody who sees the job would see it")
	case err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != "", err == nil && u.Scheme == "file" && (u.Host == "" || u.Host == "localhost") && strings.HasPrefix(u.Path, "/"):
		return nil
	}
	return bits.Errorf(hresult.E_INVALIDARG, "%q is no place of a script", s).WithHint("give an http, https or file URL, or a full path")
}

// withhold takes the logins (user:password@) out of a list of proxies, so that it can be shown: the list without them, and the logins by
// the entry that they were in, nil if there are none.
func withhold(list string) (shown string, logins map[string]string) {
	divides := func(r rune) bool { return r <= ' ' || r == ',' || r == ';' }
	shown = list
	for _, entry := range strings.FieldsFunc(list, divides) {
		bare, login := entry, ""
		for at := strings.LastIndexByte(bare, '@'); at >= 0; at = strings.LastIndexByte(bare, '@') {
			start := 0
			if i := strings.Index(bare[:at], "://"); i >= 0 {
				start = i + len("://")
			} else if i := strings.IndexByte(bare[:at], '='); i >= 0 {
				start = i + 1
			}
			bare, login = bare[:start]+bare[at+1:], bare[start:at]
		}
		if bare == entry {
			continue
		}
		if logins == nil {
			logins = map[string]string{}
		}
		logins[bare] = login
		shown = strings.Replace(shown, entry, bare, 1)
	}
	return shown, logins
}
