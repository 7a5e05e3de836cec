package program

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Realm is the realm of every [KDC].
const Realm = "BITS.TEST"

// KDC is a Kerberos of its own.
type KDC struct {
	Dir    string
	Config string // its krb5.conf
	t      testing.TB
	env    []string
}

// StartKDC starts a KDC; it answers when it is ready.
func StartKDC(t testing.TB) *KDC {
	t.Helper()
	program, port := Need(t, "krb5kdc"), Port(t)
	k := &KDC{Dir: Dir(t), t: t}
	os.Chmod(k.Dir, 0o755)
	k.Config = filepath.Join(k.Dir, "krb5.conf")
	profile := filepath.Join(k.Dir, "kdc.conf")
	must(t,
		os.WriteFile(k.Config, fmt.Appendf(nil, "[libdefaults]\ndefault_realm = %s\ndns_lookup_kdc = false\ndns_lookup_realm = false\nrdns = false\nudp_preference_limit = 1\n[realms]\n%[1]s = {\nkdc = 127.0.0.1:%d\n}\n[domain_realm]\nlocalhost = %[1]s\n", Realm, port), 0o644),
		os.WriteFile(profile, fmt.Appendf(nil, "[kdcdefaults]\nkdc_listen = 127.0.0.1:%d\nkdc_tcp_listen = 127.0.0.1:%[1]d\n[realms]\n%s = {\ndatabase_name = %s/principal\nkey_stash_file = %[3]s/stash\nacl_file = %[3]s/acl\nmax_life = 1h\n}\n[logging]\nkdc = FILE:%[3]s/kdc.log\n", port, Realm, k.Dir), 0o644))
	k.env = append(os.Environ(), "KRB5_CONFIG="+k.Config, "KRB5_KDC_PROFILE="+profile)
	k.Do("", "kdb5_util", "create", "-s", "-r", Realm, "-P", "master")
	cmd := exec.Command(program, "-n", "-r", Realm)
	cmd.Env, cmd.SysProcAttr = k.env, dieWithParent()
	must(t, cmd.Start())
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			c.Close()
			return k
		}
	}
	t.Fatal("krb5kdc does not answer")
	return nil
}

// Do runs a program of Kerberos.
func (k *KDC) Do(in, name string, args ...string) {
	k.t.Helper()
	cmd := exec.Command(Need(k.t, name), args...)
	cmd.Env, cmd.Stdin = k.env, strings.NewReader(in)
	if out, err := cmd.CombinedOutput(); err != nil {
		k.t.Fatalf("%s %v: %v: %s", name, args, err, out)
	}
}

// Admin asks kadmin.
func (k *KDC) Admin(queries ...string) {
	k.t.Helper()
	for _, q := range queries {
		k.Do("", "kadmin.local", "-r", Realm, "-q", q)
	}
}

// Keytab makes somebody with a key of his own, and returns the file that has it. Everybody can read that: servers change their user.
func (k *KDC) Keytab(principal string) string {
	k.t.Helper()
	path := filepath.Join(k.Dir, strings.ReplaceAll(principal, "/", "-")+".keytab")
	k.Admin("addprinc -randkey "+principal, "ktadd -k "+path+" "+principal)
	must(k.t, os.Chmod(path, 0o644))
	return path
}
