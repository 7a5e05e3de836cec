//go:build unix

package tests

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bits"
	"bits/client/bitstest"
	"bits/hresult"
	"bits/internal/program"
)

// Kerberos for shares, with a KDC and smbd: a name and a password, a ticket cache, a keytab; and NTLM where Kerberos cannot begin.
func TestShareKerberos(t *testing.T) {
	t.Parallel()
	program.Need(t, "smbd")
	k := program.StartKDC(t)
	port := program.Port(t)
	const ofNTLM = planted + "-ntlm" // another one, so that each password is good for one scheme only
	m := program.StartSamba(t, port, ofNTLM, "realm = "+program.Realm, "kerberos method = dedicated keytab", "dedicated keytab file = "+k.Keytab("cifs/localhost"))
	client := filepath.Join(k.Dir, "client.keytab")
	// An smbd of no domain takes the account of that name of this system, and no ticket that says more than a name.
	k.Admin("modprinc +no_auth_data_required cifs/localhost", "addprinc -pw "+planted+" root", "ktadd -norandkey -k "+client+" root", "addprinc -pw "+planted+" stranger")
	cache := filepath.Join(k.Dir, "cache")
	k.Do(planted+"\n", "kinit", "-c", cache, "root")
	data := bitstest.Content(8, 3_000_000)
	m.File("f", data)
	s := bitstest.Start(t)
	var jobs []*bits.Job
	const newKey = "the server has an old key"
	both := []bits.AuthScheme{bits.NTLM, bits.Negotiate}
	for _, c := range []struct {
		name, host, user, password string
		env                        map[string]string
		schemes                    []bits.AuthScheme
		code                       hresult.Code
		says                       string // the log
	}{
		{"password", "localhost", "root@" + program.Realm, planted, nil, both, hresult.S_OK, "Negotiate (the job's credentials)\n"},
		{"password, default realm", "localhost", "root", planted, nil, both, hresult.S_OK, "Negotiate (the job's credentials)\n"},
		{"cache", "localhost", "", "", map[string]string{"KRB5CCNAME": "FILE:" + cache}, both[1:], hresult.S_OK, "Negotiate (the owner's tickets)\n"},
		{"keytab", "localhost", "", "", map[string]string{"KRB5CCNAME": cache + ".none", "KRB5_CLIENT_KTNAME": client}, both[1:], hresult.S_OK, "Negotiate (the owner's tickets)\n"},
		{"NTLM is next", "localhost", "root", ofNTLM, nil, both, hresult.S_OK, "NTLM (the job's credentials); no ticket of Kerberos"},
		{"another name of the host", "127.0.0.1", "root", ofNTLM, nil, both, hresult.S_OK, "NTLM (the job's credentials); no ticket of Kerberos"},
		{"NTLM alone", "localhost", "root", ofNTLM, nil, both[:1], hresult.S_OK, "NTLM (the job's credentials)\n"},
		{"wrong password", "localhost", "root", "x", nil, both, hresult.ERROR_LOGON_FAILURE, "tried: NTLM (the job's credentials); no ticket of Kerberos"},
		{"nobody here", "localhost", "stranger", planted, nil, both, hresult.E_ACCESSDENIED, "Negotiate (the job's credentials)\n"},
		{"no ticket", "localhost", "", "", map[string]string{"KRB5CCNAME": cache + ".none"}, both[1:], hresult.ERROR_LOGON_FAILURE, "no ticket of Kerberos: there is no ticket"},
		{"no login", "localhost", "", "", map[string]string{"KRB5CCNAME": "FILE:" + cache}, nil, hresult.E_ACCESSDENIED, ": guest\n"},
		{newKey, "localhost", "root", planted, nil, both, hresult.ERROR_LOGON_FAILURE, "tried: Negotiate (the job's credentials)"},
	} {
		if c.name == newKey {
			k.Admin("cpw -randkey cifs/localhost")
		}
		vars := map[string]string{"KRB5_CONFIG": k.Config}
		for name, v := range c.env {
			vars[name] = v
		}
		job := loginJob(t, s, fmt.Sprintf("smb://%s:%d/closed/f", c.host, port), bits.AuthServer, c.user, c.password, vars, c.schemes...)
		jobs = append(jobs, job)
		if c.code == hresult.S_OK && job.State != bits.StateTransferred || c.code != hresult.S_OK && (job.State != bits.StateError || job.Error.Code != c.code) {
			t.Errorf("%s: %v, %+v", c.name, job.State, job.Error)
		}
		if _, text := logText(t, s, job.ID); !strings.Contains(text, c.says) || strings.Contains(text, planted) {
			t.Errorf("%s: the log: %s", c.name, text)
		}
		if job.State == bits.StateTransferred {
			complete(t, s, job, data)
		}
	}
	nowhere(t, s, jobs...)
	if text, err := os.ReadFile(filepath.Join(m.Dir, "error.log")); err == nil && t.Failed() {
		t.Logf("smbd: %s", text)
	}
}
