//go:build unix

package tests

import (
	"crypto/md5"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"bits"
	"bits/client/bitstest"
	"bits/hresult"
	"bits/internal/program"
)

// numbered writes loopback so that Go takes it for a name, which proxies may be used for, and squid for an address.
var numbered = strings.NewReplacer("127.0.0.1", "127.1", "localhost", "127.1")

// squid asks for logins of each scheme, for requests and for tunnels; its helpers, a KDC, and Samba's ntlm_auth judge them.
func TestProxyLogins(t *testing.T) {
	t.Parallel()
	const helpers = "/usr/lib/squid/"
	program.Need(t, helpers+"negotiate_kerberos_auth")
	s, o := bitstest.Start(t), bitstest.NewOrigin(t)
	o.Page("/f", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Proxy-Authorization")+r.Header.Get("Authorization") != "" {
			t.Errorf("the origin was shown a login: %v", r.Header)
		}
		io.WriteString(w, "behind")
	})
	hash, err := exec.Command(program.Need(t, "openssl"), "passwd", "-apr1", planted).Output()
	bitstest.Must(t, err)
	dir := program.Dir(t)
	os.Chmod(dir, 0o755)
	users := write(t, filepath.Join(dir, "users"), "joe:"+string(hash))
	digests := write(t, filepath.Join(dir, "digests"), fmt.Sprintf("joe:proxy:%x\n", md5.Sum([]byte("joe:proxy:"+planted))))
	for _, c := range []struct {
		scheme  bits.AuthScheme
		program func() (directives string, env map[string]string)
	}{
		{bits.Basic, func() (string, map[string]string) {
			return "auth_param basic program " + helpers + "basic_ncsa_auth " + users + "\nauth_param basic realm proxy\n", nil
		}},
		{bits.Digest, func() (string, map[string]string) {
			return "auth_param digest program " + helpers + "digest_file_auth -c " + digests + "\nauth_param digest realm proxy\n", nil
		}},
		{bits.NTLM, func() (string, map[string]string) { return ntlmHelper(t, dir), nil }},
		{bits.Negotiate, func() (string, map[string]string) {
			kdc := program.StartKDC(t)
			kdc.Admin("addprinc -pw " + planted + " joe")
			cache := filepath.Join(kdc.Dir, "cache")
			kdc.Do(planted+"\n", "kinit", "-c", cache, "joe")
			return "auth_param negotiate program " + helpers + "negotiate_kerberos_auth -k " + kdc.Keytab("HTTP/localhost") + " -s HTTP/localhost@" + program.Realm + " -t none\n",
				map[string]string{"KRB5_CONFIG": kdc.Config, "KRB5CCNAME": cache}
		}},
	} {
		t.Run(c.scheme.String(), func(t *testing.T) {
			directives, env := c.program()
			name := strings.ToLower(c.scheme.String())
			port := program.Port(t)
			squid := program.StartSquid(t, port, "", directives+"auth_param "+name+" children 2\nacl in proxy_auth REQUIRED\nhttp_access deny !in\n")
			at := fmt.Sprintf("localhost:%d", port)
			type row struct {
				url, via, user, password string
				state                    bits.State
			}
			var rows []row
			for _, url := range []string{o.Plain, o.URL} {
				rows = append(rows, row{url, at, "joe", planted, bits.StateTransferred}, row{url, at, "joe", "x", bits.StateError}, row{url, at, "", "", bits.StateError},
					row{url, "joe:" + planted + "@" + at, "", "", bits.StateTransferred}, row{url, "joe:wrong-s3cret@" + at, "", "", bits.StateError})
				if c.scheme == bits.Negotiate {
					rows = append(rows, row{url, at, "tickets", "", bits.StateTransferred})
				}
			}
			for _, r := range rows {
				spec := bits.Spec{
					Files:       []bits.FileSpec{{RemoteName: numbered.Replace(r.url) + "/f", LocalName: s.Path("f" + bits.NewID())}},
					Environment: map[string]string{"http_proxy": "http://" + r.via, "https_proxy": "http://" + r.via},
					Properties:  map[string]bits.RawMessage{"priority": bitstest.JSON("FOREGROUND"), "security_flags": bitstest.JSON(bits.IgnoreCertName)},
					Resume:      true,
				}
				maps.Copy(spec.Environment, env)
				for name, v := range o.Trust() {
					spec.Properties[name] = bitstest.JSON(v)
				}
				switch r.user {
				case "":
				case "tickets":
					spec.Credentials = []bits.Credential{{Target: bits.AuthProxy, Scheme: c.scheme}}
				default:
					spec.Credentials = []bits.Credential{{Target: bits.AuthProxy, Scheme: c.scheme, User: &r.user, Password: &r.password}}
				}
				job, err := s.Create(ctx, spec)
				bitstest.Must(t, err)
				job = ended(t, s, job)
				if job.State != r.state || r.state == bits.StateError && job.Error.Code != hresult.BG_E_HTTP_ERROR_407 {
					t.Errorf("%s by %s as %s: %v, %+v", r.url, r.via, r.user, job.State, job.Error)
				}
				nowhere(t, s, job)
				masked(t, s, job.ID, "Proxy-Authorization", job.State == bits.StateTransferred, c.scheme)
			}
			if text := squid.Log(); !strings.Contains(text, "joe") || !strings.Contains(text, "TCP_TUNNEL/200") || !strings.Contains(text, "TCP_MISS/20") {
				t.Errorf("squid has seen %s", text)
			}
		})
	}
}

// ntlmHelper is Samba as what judges the NTLM logins of squid: it knows joe, and no domain.
func ntlmHelper(t *testing.T, dir string) string {
	t.Helper()
	helper := program.Need(t, "ntlm_auth")
	conf := "[global]\nserver role = standalone server\nworkgroup = BITS\nnetbios name = PROXY\nload printers = no\n"
	for _, name := range []string{"private dir", "lock directory", "state directory", "cache directory", "pid directory", "ncalrpc dir"} {
		conf += name + " = " + filepath.Join(dir, "samba") + "\n"
	}
	bitstest.Must(t, os.Mkdir(filepath.Join(dir, "samba"), 0o755))
	os.Chmod(filepath.Join(dir, "samba"), 0o777)
	path := write(t, filepath.Join(dir, "smb.conf"), conf)
	return "auth_param ntlm program " + helper + " --configfile=" + path + " --helper-protocol=squid-2.5-ntlmssp --username=joe --password=" + planted + "\n"
}
