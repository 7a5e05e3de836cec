package tests

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"bits"
	"bits/client"
	"bits/client/bitstest"
)

// logText is the log of a job as a program reads it.
func logText(t *testing.T, s *bitstest.Service, id string) (lines []client.LogLine, text string) {
	t.Helper()
	for l, err := range s.Log(ctx, id, 0, false) {
		bitstest.Must(t, err)
		lines = append(lines, l)
		text += l.Kind + " " + l.Text + "\n"
	}
	return lines, text
}

func tells(t *testing.T, text string, wants ...string) {
	t.Helper()
	for _, want := range wants {
		if !regexp.MustCompile("(?m)" + want).MatchString(text) {
			t.Errorf("there is no %q in:\n%s", want, text)
		}
	}
}

// A job whose secrets are planted everywhere, over a proxy and a redirect, through a cut and a restart: its log tells all of it but them,
// while it runs, afterwards, and when the queue has forgotten it.
func TestLogTellsNoSecret(t *testing.T) {
	t.Parallel()
	s, o := bitstest.Start(t, bitstest.Process), bitstest.NewOrigin(t)
	const (
		token, bearer, cookie, signature, session, login, password = "pl4nted-token", "pl4nted-bearer", "pl4nted-cookie", "pl4nted-signature", "pl4nted-session", "pl4nted-login", "pl4nted-password"
	)
	o.Page("/start", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Set-Cookie", "sid="+session)
		w.Header().Set("X-Echo", r.Header.Get("X-Token"))
		w.Header().Set("Via", "1.1 "+r.Header.Get("X-Token"))
		w.Header().Set("Location", "http://origin.test/f?X-Amz-Signature="+signature+"#"+signature)
		w.WriteHeader(http.StatusFound)
	})
	o.File("/f", bitstest.Content(1, 100_000))
	o.Fault("/f", bitstest.Cut(50_000), bitstest.Status(503))
	to, err := url.Parse(o.Plain)
	bitstest.Must(t, err)
	proxy := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.Out.URL.Scheme, r.Out.URL.Host = to.Scheme, to.Host }})
	t.Cleanup(proxy.Close)
	job, err := s.Create(ctx, bits.Spec{
		Files:       []bits.FileSpec{{RemoteName: "http://origin.test/start?key=" + signature, LocalName: s.Path("f")}},
		Environment: map[string]string{"http_proxy": strings.Replace(proxy.URL, "//", "//"+login+":"+password+"@", 1)},
		Properties: map[string]bits.RawMessage{
			"auto_complete": bits.RawMessage("true"), "backoff": bits.RawMessage(`{"first":1,"max":1,"jitter":0}`),
			"custom_headers": bitstest.JSON(fmt.Sprintf("X-Token: %s\r\nAuthorization: Bearer %s\r\nCookie: c=%s\r\n", token, bearer, cookie)),
		},
	})
	bitstest.Must(t, err, s.SetCredentials(ctx, job.ID, bits.Credential{Target: bits.AuthServer, Scheme: bits.Basic, User: new("ann"), Password: new(password)}))
	followed := new(strings.Builder)
	follower := s.Command("logs", "-f", "-v", job.ID[:8])
	follower.Stdout, follower.Stderr = followed, followed
	bitstest.Must(t, follower.Start())
	bitstest.Must(t, s.Resume(ctx, job.ID))
	s.Retry(job.ID)
	s.Until(job.ID, func(j *bits.Job) bool { return j.Error != nil && strings.Contains(j.Error.Message, "503") })
	s.Await(job.ID, bits.StateAcknowledged)
	bitstest.Must(t, follower.Wait()) // it ends with the job
	s.Restart()

	var all []string
	say := func(args ...string) string {
		out, err := s.Command(args...).CombinedOutput()
		if err != nil {
			t.Errorf("%v: %v: %s", args, err, out)
		}
		return string(out)
	}
	lines, text := logText(t, s, job.ID)
	tells(t, text,
		`^state created$`, `^state CONNECTING$`, `^run begins: 0 of unknown bytes, 0 of 1 files$`, `^run ends after [0-9.]+m?s: `,
		`^proxy origin.test is reached through the proxy http://127.0.0.1:\d+$`, `^connect connected to 127.0.0.1:\d+$`,
		`^request GET /start\?key=\*\*\* HTTP/1.1\nHost: origin.test$`, `^Range: bytes=0-$`, `^X-Token: \*\*\*$`, `^Authorization: Bearer \*\*\*$`, `^Cookie: \*\*\*$`,
		`^response HTTP/1.1 302 Found$`, `^Set-Cookie: \*\*\*$`, `^X-Echo: \*\*\*$`, `^Via: 1.1 \*\*\*$`, `^Location: http://origin.test/f\?X-Amz-Signature=\*\*\*#\*\*\*$`,
		`^redirect .*goes on to http://origin.test/f\?X-Amz-Signature=\*\*\*`, `^response HTTP/1.1 206 Partial Content$`,
		`^state TRANSIENT_ERROR: .*; failure 1 in a row; next try in [0-9.]+m?s, at `, `503 Service Unavailable`,
		`^resume goes on with \d+ bytes that are there`, `^file is whole: 100000 bytes$`, `^state ACKNOWLEDGED$`)
	for i, l := range lines {
		if l.Job != job.ID || l.At.IsZero() || i > 0 && l.N <= lines[i-1].N || (l.Kind == "request") && (l.File == nil || *l.File != 0) {
			t.Errorf("%+v", l)
		}
	}
	if n := strings.Count(followed.String(), " response "); n != strings.Count(text, "response HTTP") {
		t.Errorf("the follower has heard %d answers:\n%s\n%s", n, followed, text)
	}
	all = append(all, text, followed.String(), say("logs", "-v", job.ID), say("logs", "--json", job.ID), say("show", job.ID[:8]), say("--json", "list", "--all"), say("watch", job.ID))
	if got := say("logs", "-n", "2", job.ID); strings.Count(got, "\n") != 2 || !strings.Contains(got, "ACKNOWLEDGED") {
		t.Errorf("the last two are %q", got)
	}

	// The queue forgets the job after a day; its log stays.
	s.Stop()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(s.Dir, "state", "bits.db"))
	bitstest.Must(t, err)
	rows, err := db.Query("select text from log")
	bitstest.Must(t, err)
	n := 0
	for rows.Next() {
		var row string
		bitstest.Must(t, rows.Scan(&row))
		all = append(all, row)
		n++
	}
	if n != len(lines) {
		t.Errorf("%d lines are written, and %d read", n, len(lines))
	}
	_, err = db.Exec("delete from file; delete from job")
	bitstest.Must(t, rows.Close(), err, db.Close())
	s.Restart()
	if _, err := s.Job(ctx, job.ID); err == nil {
		t.Error("the job is still there")
	}
	if got := say("logs", job.ID[:6]); strings.Count(got, "\n") != len(lines) {
		t.Errorf("%d lines, and of the job that is forgotten:\n%s", len(lines), got)
	}
	if out, err := s.Command("logs", "0123456").CombinedOutput(); err == nil || !strings.Contains(string(out), "BG_E_NOT_FOUND") {
		t.Errorf("%v: %s", err, out)
	}
	daemon, err := os.ReadFile(filepath.Join(s.Dir, "state", "daemon.log"))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	all = append(all, string(daemon))
	for _, text := range all {
		for _, secret := range []string{token, bearer, cookie, session, login, password} {
			if strings.Contains(text, secret) {
				t.Errorf("%s is in:\n%s", secret, text)
			}
		}
		// What its owner has put into the remote name is shown as the remote name.
		if strings.Contains(strings.ReplaceAll(text, "start?key="+signature, ""), signature) {
			t.Errorf("%s is in:\n%s", signature, text)
		}
	}
}

// Who has judged a certificate is in the log, and what it was.
func TestLogOfCertificates(t *testing.T) {
	t.Parallel()
	s, o := bitstest.Start(t), bitstest.NewOrigin(t)
	o.File("/f", []byte("x"))
	for name, c := range map[string]struct {
		judge *bitstest.Judge
		trust map[string]any
		want  string
		state bits.State
	}{
		"rules":       {nil, o.Trust(), `; accepted by the rules of the system and the job$`, bits.StateTransferred},
		"application": {&bitstest.Judge{}, o.Trust(), `; accepted by the application, asked now$`, bits.StateTransferred},
		"nobody":      {nil, map[string]any{}, `; refused by the rules of the system and the job: cannot trust the certificate of localhost`, bits.StateTransientError},
	} {
		t.Run(name, func(t *testing.T) {
			job := s.NewJob(c.trust, o.URL+"/f")
			if c.judge != nil {
				v, err := s.SetServerCertificateValidation(ctx, job.ID, c.judge)
				bitstest.Must(t, err)
				defer v.Close()
			}
			bitstest.Must(t, s.Resume(ctx, job.ID))
			s.Await(job.ID, c.state)
			_, text := logText(t, s, job.ID)
			tells(t, text, `^connect localhost is .*127.0.0.1`, `^tls TLS 1.3 with localhost:\d+, h(2|ttp/1.1); certificate of .*, sha256 [0-9a-f]{64}`+c.want)
			if asked := strings.Contains(text, "\nrequest "); asked != (c.state == bits.StateTransferred) {
				t.Errorf("a request was sent: %v\n%s", asked, text)
			}
		})
	}
}

// -v prints what is said in curl's manner, to standard error; with --json as lines of JSON.
func TestVerbose(t *testing.T) {
	t.Parallel()
	s, o := bitstest.Start(t), bitstest.NewOrigin(t)
	o.File("/f", []byte("hello"))
	bitstest.Must(t, os.WriteFile(s.Path("secret"), []byte("X-Token: pl4nted\n"), 0o600))
	for _, asJSON := range []bool{false, true} {
		out := s.Path(fmt.Sprint("out-", asJSON))
		cmd := s.Command("get", "-v", "-H", "@"+s.Path("secret"), "-o", out, o.Plain+"/f")
		if asJSON {
			cmd.Args = append(cmd.Args, "--json")
		}
		var stdout, stderr strings.Builder
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		bitstest.Must(t, cmd.Run())
		if asJSON {
			n := 0
			for line := range strings.SplitSeq(strings.TrimSpace(stderr.String()), "\n") {
				var l client.LogLine
				if err := json.Unmarshal([]byte(line), &l); err != nil || l.Kind == "" {
					t.Errorf("%q: %v", line, err)
				}
				n++
			}
			if n < 5 || !strings.HasPrefix(stdout.String(), `{"id":`) {
				t.Errorf("%d lines, and %s", n, stdout.String())
			}
			continue
		}
		tells(t, stderr.String(), `^\* connected to `, `^> GET /f HTTP/1.1\n> Host: 127.0.0.1:`, `^> X-Token: \*\*\*\n(> .*\n)*>\n`, `^< HTTP/1.1 206 Partial Content\n(< .*\n)+<\n`, `^\* ACKNOWLEDGED$`)
		if stdout.Len() > 0 || strings.Contains(stderr.String(), "pl4nted") {
			t.Errorf("%q\n%s", stdout.String(), stderr.String())
		}
	}
	// Commands that come to a job begin with what comes.
	open := o.Gate("/gate", bitstest.Content(2, 1000), 10)
	job := s.NewJob(with(o.Trust(), "auto_complete", true), o.Plain+"/gate")
	bitstest.Must(t, s.Resume(ctx, job.ID))
	s.Await(job.ID, bits.StateTransferring)
	for _, verb := range []string{"watch", "wait"} {
		cmd := s.Command(verb, "-v", job.ID)
		stderr, err := os.Create(s.Path(verb))
		bitstest.Must(t, err)
		cmd.Stderr = stderr
		bitstest.Must(t, cmd.Start(), stderr.Close())
		text := func() string { text, _ := os.ReadFile(s.Path(verb)); return string(text) }
		until(t, "what comes", func() bool { o.Drop(); return strings.Contains(text(), "TRANSIENT_ERROR") })
		defer func() {
			bitstest.Must(t, cmd.Wait())
			tells(t, text(), `^\* ACKNOWLEDGED$`)
			if strings.Contains(text(), "created") {
				t.Errorf("%s tells what was before:\n%s", verb, text())
			}
		}()
	}
	open()
	if out, err := s.Command("watch", "-v").CombinedOutput(); err == nil || !strings.Contains(string(out), "-v goes with the name of a job") {
		t.Errorf("%v: %s", err, out)
	}
}
