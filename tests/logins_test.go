//go:build unix

package tests

import (
	"bytes"
	"crypto/md5"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
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

const planted = "pl4nted-s3cret" // the password of everybody: it must be found nowhere

func modules(names ...string) (text string) {
	for _, n := range names {
		text += fmt.Sprintf("LoadModule %s_module /usr/lib/apache2/modules/mod_%s.so\n", n, n)
	}
	return text
}

func write(t *testing.T, path, text string) string {
	t.Helper()
	bitstest.Must(t, os.WriteFile(path, []byte(text), 0o644))
	return path
}

// loginJob makes and resumes a job that has a login for each scheme.
func loginJob(t *testing.T, s *bitstest.Service, url string, target bits.AuthTarget, user, password string, env map[string]string, schemes ...bits.AuthScheme) *bits.Job {
	t.Helper()
	spec := bits.Spec{
		Files: []bits.FileSpec{{RemoteName: url, LocalName: s.Path("f" + bits.NewID())}}, Environment: env, Resume: true,
		Properties: map[string]bits.RawMessage{"priority": bitstest.JSON("FOREGROUND")},
	}
	for _, scheme := range schemes {
		c := bits.Credential{Target: target, Scheme: scheme, User: &user, Password: &password}
		if user == "" {
			c.User, c.Password = nil, nil
		}
		spec.Credentials = append(spec.Credentials, c)
	}
	job, err := s.Create(ctx, spec)
	bitstest.Must(t, err)
	return ended(t, s, job)
}

// nowhere looks for the password in everything that the service keeps and says.
func nowhere(t *testing.T, s *bitstest.Service, jobs ...*bits.Job) {
	t.Helper()
	for _, j := range jobs {
		if bytes.Contains(bitstest.JSON(j), []byte(planted)) || bytes.Contains([]byte(fmt.Sprintf("%+v", j.Error)), []byte(planted)) {
			t.Errorf("the job tells the password: %s", bitstest.JSON(j))
		}
	}
	filepath.WalkDir(filepath.Dir(s.Path("x")), func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if text, err := os.ReadFile(path); err == nil && bytes.Contains(text, []byte(planted)) {
				t.Errorf("%s has the password", path)
			}
		}
		return nil
	})
}

// Servers that ask, real ones: Apache with Basic and with Digest, nginx with Basic.
func TestLogins(t *testing.T) {
	t.Parallel()
	program.Need(t, "apache2")
	s := bitstest.Start(t)
	dir := t.TempDir()
	os.Chmod(dir, 0o755)
	os.Chmod(filepath.Dir(dir), 0o755)
	hash, err := exec.Command(program.Need(t, "openssl"), "passwd", "-apr1", planted).Output()
	bitstest.Must(t, err)
	users := write(t, filepath.Join(dir, "users"), "joe:"+string(hash))
	digests := write(t, filepath.Join(dir, "digests"), fmt.Sprintf("joe:files:%x\n", md5.Sum([]byte("joe:files:"+planted))))
	port := program.Port(t)
	a := program.StartApache(t, port, modules("authn_core", "authn_file", "authz_user", "auth_basic", "auth_digest")+fmt.Sprintf(`
<Location /basic>
AuthType Basic
AuthName "files"
AuthUserFile %s
Require valid-user
</Location>
<Location /digest>
AuthType Digest
AuthName "files"
AuthDigestDomain /digest
AuthUserFile %s
Require valid-user
</Location>`, users, digests))
	bitstest.Must(t, os.MkdirAll(filepath.Join(a.Dir, "www", "basic"), 0o755), os.MkdirAll(filepath.Join(a.Dir, "www", "digest"), 0o755))
	a.File("basic/f", []byte("of apache"))
	a.File("digest/f", []byte("of apache"))
	other := program.Port(t)
	n := program.StartNginx(t, other, fmt.Sprintf(`server { listen 127.0.0.1:%d; location / { auth_basic "files"; auth_basic_user_file %s; } }`, other, users))
	n.File("f", []byte("of nginx"))
	var jobs []*bits.Job
	for _, c := range []struct {
		url, password string
		scheme        bits.AuthScheme
		state         bits.State
	}{
		{fmt.Sprintf("http://127.0.0.1:%d/basic/f", port), planted, bits.Basic, bits.StateTransferred},
		{fmt.Sprintf("http://127.0.0.1:%d/digest/f", port), planted, bits.Digest, bits.StateTransferred},
		{fmt.Sprintf("http://127.0.0.1:%d/f", other), planted, bits.Basic, bits.StateTransferred},
		{fmt.Sprintf("http://127.0.0.1:%d/basic/f", port), planted, bits.Digest, bits.StateError},
		{fmt.Sprintf("http://127.0.0.1:%d/basic/f", port), planted + "x", bits.Basic, bits.StateError},
		{fmt.Sprintf("http://127.0.0.1:%d/digest/f", port), planted + "x", bits.Digest, bits.StateError},
		{fmt.Sprintf("http://127.0.0.1:%d/f", other), planted + "x", bits.Basic, bits.StateError},
	} {
		job := loginJob(t, s, c.url, bits.AuthServer, "joe", c.password, nil, c.scheme)
		jobs = append(jobs, job)
		if job.State != c.state || c.state == bits.StateError && (job.Error.Code != hresult.BG_E_HTTP_ERROR_401 || !strings.Contains(job.Error.Message, "offers")) {
			t.Errorf("%s with %v: %v, %+v", c.url, c.scheme, job.State, job.Error)
		}
		masked(t, s, job.ID, "Authorization", job.State == bits.StateTransferred, c.scheme)
	}
	nowhere(t, s, jobs...)
}

// lighttpd asks for Digest with the algorithms that it knows, the stronger ones first, and with hashes in the place of names.
func TestDigestOfLighttpd(t *testing.T) {
	t.Parallel()
	s := bitstest.Start(t)
	dir := program.Dir(t)
	os.Chmod(dir, 0o755)
	secret, user := "joe:files:"+planted, "joe:files"
	for _, c := range []struct{ algorithm, more, line string }{
		{"MD5", "", fmt.Sprintf("joe:files:%x", md5.Sum([]byte(secret)))},
		{"SHA-256", "", fmt.Sprintf("joe:files:%x", sha256.Sum256([]byte(secret)))},
		{"SHA-512-256", "", fmt.Sprintf("joe:files:%x", sha512.Sum512_256([]byte(secret)))},
		{"SHA-256|MD5", "", fmt.Sprintf("joe:files:%x\njoe:files:%x", sha256.Sum256([]byte(secret)), md5.Sum([]byte(secret)))},
		{"SHA-256", `"userhash" => "enable", `, fmt.Sprintf("joe:files:%x:%x", sha256.Sum256([]byte(secret)), sha256.Sum256([]byte(user)))},
	} {
		t.Run(c.algorithm, func(t *testing.T) {
			port := program.Port(t)
			users := write(t, filepath.Join(dir, bits.NewID()), c.line+"\n")
			l := program.StartLighttpd(t, port, fmt.Sprintf("server.modules += ( \"mod_auth\", \"mod_authn_file\" )\nauth.backend = \"htdigest\"\nauth.backend.htdigest.userfile = %q\nauth.require = ( \"/\" => ( \"method\" => \"digest\", %s\"algorithm\" => %q, \"realm\" => \"files\", \"require\" => \"valid-user\" ) )", users, c.more, c.algorithm))
			l.File("f", []byte("of lighttpd"))
			url := fmt.Sprintf("http://127.0.0.1:%d/f?a=b", port)
			for password, state := range map[string]bits.State{planted: bits.StateTransferred, "x": bits.StateError} {
				job := loginJob(t, s, url, bits.AuthServer, "joe", password, nil, bits.Digest, bits.Basic)
				if job.State != state {
					t.Errorf("%v, %+v", job.State, job.Error)
				}
				masked(t, s, job.ID, "Authorization", job.State == bits.StateTransferred, bits.Digest)
				nowhere(t, s, job)
			}
		})
	}
}

// masked looks into the log of a job: each leg is in it, and of the logins the schemes alone.
func masked(t *testing.T, s *bitstest.Service, id, header string, in bool, scheme bits.AuthScheme) {
	t.Helper()
	_, text := logText(t, s, id)
	status := map[string]string{"Authorization": " 401 ", "Proxy-Authorization": " 407 "}[header]
	title := map[bits.AuthScheme]string{bits.Basic: "Basic", bits.Digest: "Digest", bits.NTLM: "NTLM", bits.Negotiate: "Negotiate"}[scheme]
	if !strings.Contains(text, status) || in && !strings.Contains(text, "\n"+header+": "+title+" ***") {
		t.Errorf("the legs are not in the log: %s", text)
	}
	for line := range strings.Lines(text) {
		if _, value, ok := strings.Cut(line, "uthorization: "); ok && strings.TrimSpace(value) != title+" ***" {
			t.Errorf("the log tells %s", line)
		}
	}
}

// Kerberos, with a KDC and Apache: a name and a password, a ticket cache, a keytab.
func TestKerberos(t *testing.T) {
	t.Parallel()
	program.Need(t, "/usr/lib/apache2/modules/mod_auth_gssapi.so")
	s := bitstest.Start(t)
	kdc := program.StartKDC(t)
	kdc.Admin("addprinc -pw " + planted + " joe")
	server, client := kdc.Keytab("HTTP/localhost"), kdc.Keytab("jim")
	web := program.Port(t)
	a := program.StartApache(t, web, modules("authn_core", "authz_user", "auth_gssapi")+fmt.Sprintf("<Location />\nAuthType GSSAPI\nAuthName kerberos\nGssapiCredStore keytab:%s\nRequire valid-user\n</Location>", server))
	a.File("f", []byte("for those with tickets"))
	url := fmt.Sprintf("http://localhost:%d/f", web)
	cache := filepath.Join(kdc.Dir, "cache")
	kdc.Do(planted+"\n", "kinit", "-c", cache, "joe")
	var jobs []*bits.Job
	for _, c := range []struct {
		name, user, password string
		env                  map[string]string
		state                bits.State
		says                 string
	}{
		{"password", "joe@BITS.TEST", planted, nil, bits.StateTransferred, ""},
		{"password, default realm", "joe", planted, nil, bits.StateTransferred, ""},
		{"wrong password", "joe@BITS.TEST", "x", nil, bits.StateError, "Kerberos"},
		{"cache", "", "", map[string]string{"KRB5CCNAME": "FILE:" + cache}, bits.StateTransferred, ""},
		{"keytab", "", "", map[string]string{"KRB5CCNAME": cache + ".none", "KRB5_CLIENT_KTNAME": client}, bits.StateTransferred, ""},
		{"nothing", "", "", map[string]string{"KRB5CCNAME": cache + ".none"}, bits.StateError, "no ticket"},
		{"another kind of cache", "", "", map[string]string{"KRB5CCNAME": "KCM:"}, bits.StateError, "only files"},
	} {
		vars := map[string]string{"KRB5_CONFIG": kdc.Config}
		for k, v := range c.env {
			vars[k] = v
		}
		job := loginJob(t, s, url, bits.AuthServer, c.user, c.password, vars, bits.Negotiate)
		jobs = append(jobs, job)
		if job.State != c.state || c.says != "" && !strings.Contains(job.Error.Message, c.says) {
			t.Errorf("%s: %v, %+v", c.name, job.State, job.Error)
		}
	}
	nowhere(t, s, jobs...)
}

// The keyring of the session: bits login puts a login into it, bits get --keyring uses it, bits logout removes it.
func TestKeyring(t *testing.T) {
	t.Parallel()
	daemon, session := program.Need(t, "gnome-keyring-daemon"), program.Need(t, "dbus-run-session")
	dir := program.Dir(t)
	port := program.Port(t)
	hash, err := exec.Command(program.Need(t, "openssl"), "passwd", "-apr1", planted).Output()
	bitstest.Must(t, err)
	os.Chmod(dir, 0o755)
	users := write(t, filepath.Join(dir, "users"), "joe:"+string(hash))
	n := program.StartNginx(t, port, fmt.Sprintf(`server { listen 127.0.0.1:%d; location / { auth_basic "files"; auth_basic_user_file %s; } }`, port, users))
	n.File("f", []byte("of nginx"))
	url := fmt.Sprintf("http://127.0.0.1:%d", port)
	home := filepath.Join(dir, "home")
	bitstest.Must(t, os.MkdirAll(home, 0o700))
	script := `
printf '\n' | ` + daemon + ` --unlock --components=secrets >/dev/null 2>&1 || { echo UNAVAILABLE; exit 0; }
echo ` + planted + ` | "$BITS" login --user joe ` + url + ` || { echo UNAVAILABLE; exit 0; }
"$BITS" get --keyring -o ` + home + `/f ` + url + `/f || exit 1
"$BITS" logout ` + url + ` || exit 2
"$BITS" get --keyring -o ` + home + `/g ` + url + `/f && exit 3
exit 0`
	// The service is started outside of the session, and knows nothing of it.
	self := program.Command(dir, "list")
	self.Env = append(self.Env, "DBUS_SESSION_BUS_ADDRESS=", "XDG_RUNTIME_DIR="+dir)
	out, err := self.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	t.Cleanup(func() { program.Command(dir, "api", "POST", "/v1/system/stop").Run() })
	cmd := exec.Command(session, "--", "sh", "-c", script)
	cmd.Env = append(self.Env, "BITS="+self.Path, "HOME="+home, "XDG_DATA_HOME="+home, "XDG_RUNTIME_DIR="+home, "XDG_CACHE_HOME="+home)
	out, err = cmd.CombinedOutput()
	if strings.Contains(string(out), "UNAVAILABLE") {
		t.Skipf("there is no keyring here: %s", out)
	}
	if text, rerr := os.ReadFile(filepath.Join(home, "f")); err != nil || rerr != nil || string(text) != "of nginx" {
		t.Errorf("%v: %q, %v: %s", err, text, rerr, out)
	}
	if strings.Contains(string(out), planted) {
		t.Errorf("the password was said: %s", out)
	}
}
