//go:build unix

package tests

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"bits/client/bitstest"
	"bits/internal/program"
)

// forms are the ways in which a secret of joe may be written.
func forms(secret string) map[string]string {
	return map[string]string{
		"clear": secret, "query": url.QueryEscape(secret), "path": url.PathEscape(secret), "hexadecimal": hex.EncodeToString([]byte(secret)),
		"base64": strings.TrimRight(base64.StdEncoding.EncodeToString([]byte(secret)), "="), "base64 of URLs": base64.RawURLEncoding.EncodeToString([]byte(secret)),
		"Basic":          base64.StdEncoding.EncodeToString([]byte("joe:" + secret)),
		"base64 from 1":  base64.RawStdEncoding.EncodeToString([]byte("x" + secret))[2:],
		"base64 from 2":  base64.RawStdEncoding.EncodeToString([]byte("xx" + secret))[3:],
		"UTF-16, base64": base64.RawStdEncoding.EncodeToString([]byte(strings.Join(strings.Split(secret, ""), "\x00"))),
	}
}

// Jobs of each kind of login, made with bits get -v, at servers that say aloud what they were shown: no secret is in what commands print,
// in the log of a job, in that of the service, or in what it keeps.
func TestSecretsAreNowhere(t *testing.T) {
	t.Parallel()
	program.Need(t, "/usr/lib/squid/negotiate_kerberos_auth")
	const word, token, signature, header = "pl4nted/s3cret+p", "pl4nted-t0ken.x-y~z/a+b==", "pl4nted%2Fsign4ture", "pl4nted-h3ader"
	dir, own, o := program.Dir(t), t.TempDir(), bitstest.NewOrigin(t)
	os.Chmod(dir, 0o755)
	ask := func(path, challenge string) {
		o.Page(path, func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") == "" && challenge != "" {
				w.Header().Set("WWW-Authenticate", challenge)
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			scheme, shown, _ := strings.Cut(r.Header.Get("Authorization"), " ")
			said := shown
			if plain, err := base64.StdEncoding.DecodeString(shown); err == nil && scheme == "Basic" {
				said += " " + string(plain) + " " + strings.TrimPrefix(string(plain), "joe:")
			}
			for _, name := range []string{"Via", "Server", "Warning", "X-Cache", "X-Echo", "Content-Disposition"} {
				w.Header().Set(name, said+" "+r.Header.Get("X-Token"))
			}
			w.Header().Set("Link", "</x?token="+url.QueryEscape(said)+">; rel=next, <https://joe:"+url.QueryEscape(said)+"@h/>")
			if r.URL.Query().Get("X-Amz-Signature") == "" {
				w.Header().Set("Location", r.URL.Path+"?X-Amz-Signature="+signature+"&said="+url.QueryEscape(said)+"#"+signature)
				w.WriteHeader(http.StatusFound)
				return
			}
			io.WriteString(w, "there")
		})
	}
	ask("/basic", `Basic realm="r"`)
	ask("/digest", `Digest realm="r", nonce="n", qop="auth", algorithm=SHA-256`)
	ask("/bearer", `Bearer realm="r"`)
	ask("/open", "")
	file := func(name, text string) string {
		path := filepath.Join(own, name)
		bitstest.Must(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	kdc := program.StartKDC(t)
	kdc.Admin("addprinc -pw " + word + " joe")
	cache := filepath.Join(own, "cache")
	kdc.Do(word+"\n", "kinit", "-c", cache, "joe")
	proxy := func(directives string) string {
		port := program.Port(t)
		program.StartSquid(t, port, "", directives+"acl in proxy_auth REQUIRED\nhttp_access deny !in\n")
		return fmt.Sprintf("localhost:%d", port)
	}
	hash, err := exec.Command(program.Need(t, "openssl"), "passwd", "-apr1", word).Output()
	bitstest.Must(t, err)
	users := filepath.Join(kdc.Dir, "users")
	write(t, users, "joe:"+string(hash))
	plain := proxy("auth_param basic program /usr/lib/squid/basic_ncsa_auth " + users + "\n")
	ntlm := proxy(strings.ReplaceAll(ntlmHelper(t, kdc.Dir), planted, word))
	negotiate := proxy("auth_param negotiate program /usr/lib/squid/negotiate_kerberos_auth -k " + kdc.Keytab("HTTP/localhost") + " -s HTTP/localhost@" + program.Realm + " -t none\n")
	password, away := file("password", word+"\n"), numbered.Replace(o.Plain)

	var said strings.Builder
	bitsDo := func(env []string, args ...string) string {
		cmd := program.Command(dir, args...)
		cmd.Env = append(append(cmd.Env, "HOME="+own), env...)
		out, err := cmd.CombinedOutput()
		fmt.Fprintf(&said, "$ bits %s\n%s", strings.Join(args, " "), out)
		if err != nil {
			t.Errorf("bits %v: %v: %s", args, err, out)
		}
		return string(out)
	}
	t.Cleanup(func() { program.Command(dir, "api", "POST", "/v1/system/stop").Run() })
	kerberos := "KRB5_CONFIG=" + kdc.Config
	for i, c := range []struct {
		url  string
		env  []string
		args []string
	}{
		{o.Plain + "/basic", nil, []string{"-u", "joe", "--password-file", password}},
		{o.Plain + "/basic", nil, []string{"--netrc-file", file("netrc", "machine 127.0.0.1 login joe password "+word)}},
		{o.Plain + "/digest", nil, []string{"-u", "joe", "--password-file", password}},
		{o.Plain + "/bearer", nil, []string{"--bearer-file", file("token", token+"\n")}},
		{o.Plain + "/open", nil, []string{"-H", "@" + file("header", "X-Token: "+header+"\n")}},
		{away + "/basic", []string{"http_proxy=http://joe:" + url.QueryEscape(word) + "@" + plain}, []string{"-u", "joe", "--password-file", password}},
		{away + "/open", nil, []string{"--proxy", "http://joe:" + url.QueryEscape(word) + "@" + plain}},
		{away + "/open", []string{"http_proxy=http://" + ntlm}, []string{"-U", "joe", "--proxy-password-file", password}},
		{away + "/open", []string{"http_proxy=http://" + negotiate, kerberos}, []string{"-U", "joe", "--proxy-password-file", password}},
		{away + "/open", []string{"http_proxy=http://" + negotiate, kerberos, "KRB5CCNAME=" + cache}, []string{"--set", `use_stored_credentials="PROXY"`}},
	} {
		bitsDo(c.env, append([]string{"get", "-v", "-o", filepath.Join(own, fmt.Sprint(i))}, append(c.args, c.url)...)...)
	}
	ids := strings.Fields(bitsDo(nil, "list", "--all", "--ids"))
	if len(ids) != 10 {
		t.Errorf("%d jobs: %s", len(ids), said.String())
	}
	schemes := map[string]bool{}
	for _, id := range ids {
		text := bitsDo(nil, "logs", "-v", id)
		for _, name := range []string{"Basic", "Digest", "Bearer", "NTLM", "Negotiate"} {
			schemes[name] = schemes[name] || strings.Contains(text, "uthorization: "+name+" ***")
		}
		for _, args := range [][]string{{"logs", "--json", id}, {"show", id}, {"--json", "show", id}, {"api", "GET", "/v1/jobs/" + id}, {"proxy", "explain", away + "/f", "--job", id}} {
			bitsDo(nil, args...)
		}
	}
	bitsDo(nil, "--json", "list", "--all")
	for _, name := range []string{"Basic", "Digest", "Bearer", "NTLM", "Negotiate"} {
		if !schemes[name] {
			t.Errorf("no log tells of %s", name)
		}
	}
	bitsDo(nil, "api", "POST", "/v1/system/stop")
	until(t, "the service has closed its store", func() bool {
		_, err := os.Stat(filepath.Join(dir, "state", "bits.db-wal"))
		return os.IsNotExist(err)
	})
	texts := map[string]string{"what commands print": said.String()}
	bitstest.Must(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			text, rerr := os.ReadFile(path)
			texts[path], err = string(text), rerr
		}
		return err
	}))
	if len(texts) < 3 {
		t.Errorf("nothing is kept in %s", dir)
	}
	for where, text := range texts {
		text = strings.ReplaceAll(text, url.QueryEscape(word)+"@"+plain+" "+away, "") // the line of its own command
		for _, secret := range []string{word, token, signature, header} {
			for form, s := range forms(secret) {
				if i := strings.Index(text, s); i >= 0 {
					t.Errorf("%s has %q (%s): ...%s...", where, secret, form, text[max(0, i-300):min(len(text), i+100)])
				}
			}
		}
		if i := strings.Index(text, "TlRMTVNTUAAD"); i >= 0 {
			t.Errorf("%s has an answer of NTLM: %s", where, text[i:min(len(text), i+100)])
		}
	}
}
