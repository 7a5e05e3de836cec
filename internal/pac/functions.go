package pac

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/dop251/goja"
)

// World is what a script can learn of the world.
type World struct {
	Lookup func(ctx context.Context, host string) ([]netip.Addr, error) // the addresses of a host
	Mine   func() []netip.Addr                                          // of this machine, the one that it uses by default first
	Now    func() time.Time                                             // nil: time.Now
	Alert  func(text string)                                            // nil: nobody hears it
}

// run is one run of a script.
type run struct {
	ctx      context.Context
	vm       *goja.Runtime
	world    World
	patience *time.Timer
	known    map[string][]string // what was looked up
	alerts   int
}

// superfluous are globals that a script about proxies does not need, and with which it could take much memory in one step.
var superfluous = []string{
	"ArrayBuffer", "SharedArrayBuffer", "DataView", "Int8Array", "Uint8Array", "Uint8ClampedArray", "Int16Array", "Uint16Array", "Int32Array",
	"Uint32Array", "Float32Array", "Float64Array", "BigInt64Array", "BigUint64Array", "BigInt", "Promise", "Proxy", "WeakMap", "WeakSet", "WeakRef",
}

// limits replaces methods that make something large in one step.
var limits = goja.MustCompile("limits", fmt.Sprintf(`(function () {
	"use strict";
	var S = String.prototype, A = Array.prototype, most = %d, elements = %d;
	function limit(of, name, size, max) {
		var method = of[name];
		if (typeof method !== "function") return;
		Object.defineProperty(of, name, {configurable: false, writable: false, value: function () {
			if (size.apply(this, arguments) > max) throw new RangeError(name + " would make too much");
			return method.apply(this, arguments);
		}});
	}
	limit(S, "repeat", function (n) { return String(this).length * n; }, most);
	limit(S, "padStart", function (n) { return n; }, most);
	limit(S, "padEnd", function (n) { return n; }, most);
	limit(S, "replaceAll", function (of, by) { return String(this).length * (1 + String(by).length); }, 64 * most);
	limit(S, "replace", function (of, by) { return String(this).length * (1 + String(by).length); }, 64 * most);
	limit(A, "join", function (by) { return this.length * (1 + String(by).length); }, most);
	limit(A, "fill", function () { return this.length; }, elements);
	limit(Array, "from", function (of) { return of == null ? 0 : of.length; }, elements);
})`, maxString, maxArray), true)

// prepare gives the engine the functions of PAC, and takes away what it does not need.
// Sources: the proxy auto-configuration page of MDN, and the IPv6 extensions to it by Microsoft.
func (r *run) prepare() error {
	global := r.vm.GlobalObject()
	for _, name := range superfluous {
		if err := global.Delete(name); err != nil {
			return err
		}
	}
	limit, err := r.vm.RunProgram(limits)
	if err != nil {
		return shorten(err)
	}
	if f, ok := goja.AssertFunction(limit); ok {
		if _, err := f(goja.Undefined()); err != nil {
			return shorten(err)
		}
	}
	for name, f := range map[string]func(words []string) any{
		"isPlainHostName":     func(w []string) any { return !strings.ContainsAny(at(w, 0), ".:") },
		"dnsDomainIs":         func(w []string) any { return strings.HasSuffix(lower(w, 0), lower(w, 1)) },
		"localHostOrDomainIs": func(w []string) any { return localHostOrDomainIs(lower(w, 0), lower(w, 1)) },
		"dnsDomainLevels":     func(w []string) any { return strings.Count(at(w, 0), ".") },
		"shExpMatch":          func(w []string) any { return shExpMatch(at(w, 0), at(w, 1)) },
		"isResolvable":        func(w []string) any { return len(r.lookup(at(w, 0), true)) > 0 },
		"isResolvableEx":      func(w []string) any { return len(r.lookup(at(w, 0), false)) > 0 },
		"dnsResolveEx":        func(w []string) any { return strings.Join(r.lookup(at(w, 0), false), ";") },
		"isInNetEx":           func(w []string) any { return r.isInNetEx(at(w, 0), at(w, 1)) },
		"isInNet":             func(w []string) any { return r.isInNet(at(w, 0), at(w, 1), at(w, 2)) },
		"myIpAddress":         func([]string) any { return r.mine(true)[0] },
		"myIpAddressEx":       func([]string) any { return strings.Join(r.mine(false), ";") },
		"sortIpAddressList":   func(w []string) any { return sortIPAddressList(at(w, 0)) },
		"getClientVersion":    func([]string) any { return version },
		"weekdayRange":        func(w []string) any { return weekdayRange(r.now(), w) },
		"dateRange":           func(w []string) any { return dateRange(r.now(), w) },
		"timeRange":           func(w []string) any { return timeRange(r.now(), w) },
		"dnsResolve": func(w []string) any {
			if all := r.lookup(at(w, 0), true); len(all) > 0 {
				return all[0]
			}
			return nil
		},
		"alert": func(w []string) any {
			if r.alerts++; r.world.Alert != nil && r.alerts <= maxAlerts {
				r.world.Alert(fmt.Sprintf("%.300s", at(w, 0)))
			}
			return goja.Undefined()
		},
	} {
		err := r.vm.Set(name, func(c goja.FunctionCall) goja.Value {
			words := make([]string, min(len(c.Arguments), 8))
			for i := range words {
				if words[i] = c.Arguments[i].String(); len(words[i]) > MaxResult {
					panic(r.vm.NewTypeError("an argument of %s is too long", name))
				}
			}
			return r.vm.ToValue(f(words))
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// at is an argument; one that is missing is empty.
func at(words []string, i int) string {
	if i < len(words) {
		return words[i]
	}
	return ""
}

func lower(words []string, i int) string { return strings.ToLower(at(words, i)) }

func (r *run) now() time.Time {
	if r.world.Now != nil {
		return r.world.Now()
	}
	return time.Now()
}

var errLookups = fmt.Errorf("it looks up more than %d names", maxLookups)

// lookup returns the addresses of a host, of version 4 alone or all of them; none if there are none.
// The time of it does not count as the script's.
func (r *run) lookup(host string, four bool) (found []string) {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	all, ok := r.known[host]
	if !ok {
		var addrs []netip.Addr
		if ip, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
			addrs = []netip.Addr{ip}
		} else if host != "" && len(host) <= 255 && !strings.ContainsFunc(host, func(c rune) bool { return c <= ' ' || c == '/' }) && r.world.Lookup != nil {
			if len(r.known) >= maxLookups {
				r.vm.Interrupt(errLookups) // and not an exception, which the script could catch
				return nil
			}
			r.patience.Stop()
			ctx, cancel := context.WithTimeout(r.ctx, maxLookup)
			addrs, _ = r.world.Lookup(ctx, host)
			cancel()
			r.patience.Reset(maxCompute)
		}
		for _, a := range addrs[:min(len(addrs), maxAddress)] {
			all = append(all, a.Unmap().WithZone("").String())
		}
		r.known[host] = all
	}
	for _, a := range all {
		if !four || !strings.Contains(a, ":") {
			found = append(found, a)
		}
	}
	return found
}

// mine are the addresses of this machine; loopback if it has none.
func (r *run) mine(four bool) (found []string) {
	if r.world.Mine != nil {
		for _, a := range r.world.Mine() {
			if a = a.Unmap().WithZone(""); !four || a.Is4() {
				found = append(found, a.String())
			}
		}
	}
	if len(found) == 0 && four {
		return []string{"127.0.0.1"}
	}
	return found
}

func (r *run) isInNet(host, pattern, mask string) bool {
	p, err1 := netip.ParseAddr(pattern)
	m, err2 := netip.ParseAddr(mask)
	found := r.lookup(host, true)
	if errors.Join(err1, err2) != nil || !p.Is4() || !m.Is4() || len(found) == 0 {
		return false
	}
	ip, err := netip.ParseAddr(found[0])
	if err != nil {
		return false
	}
	a, b, bits := ip.As4(), p.As4(), m.As4()
	for i := range a {
		if a[i]&bits[i] != b[i]&bits[i] {
			return false
		}
	}
	return true
}

func (r *run) isInNetEx(host, prefix string) bool {
	net, err := netip.ParsePrefix(prefix)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(r.lookup(host, false), func(a string) bool {
		ip, err := netip.ParseAddr(a)
		return err == nil && net.Contains(ip)
	})
}

func localHostOrDomainIs(host, full string) bool {
	return host == full || !strings.Contains(host, ".") && strings.HasPrefix(full, host+".")
}

// sortIPAddressList sorts a list that is divided by semicolons, those of version 6 first; it is empty if one is no address.
func sortIPAddressList(list string) string {
	var all []netip.Addr
	for s := range strings.SplitSeq(list, ";") {
		ip, err := netip.ParseAddr(strings.TrimSpace(s))
		if err != nil {
			return ""
		}
		all = append(all, ip)
	}
	slices.SortStableFunc(all, func(a, b netip.Addr) int {
		if a.Is4() != b.Is4() {
			return b.BitLen() - a.BitLen()
		}
		return a.Compare(b)
	})
	texts := make([]string, len(all))
	for i, a := range all {
		texts[i] = a.String()
	}
	return strings.Join(texts, ";")
}

// shExpMatch matches a whole text with a pattern in which * is any text and ? any character. It takes time of the product of their lengths
// at most.
func shExpMatch(text, pattern string) bool {
	t, p := []byte(text), []byte(pattern)
	i, j, star, mark := 0, 0, -1, 0
	for i < len(t) {
		switch {
		case j < len(p) && p[j] == '*':
			star, mark = j, i
			j++
		case j < len(p) && (p[j] == '?' || p[j] == t[i]):
			i, j = i+1, j+1
		case star >= 0:
			mark++
			i, j = mark, star+1
		default:
			return false
		}
	}
	return len(bytes.Trim(p[j:], "*")) == 0
}
