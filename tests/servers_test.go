package tests

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bits"
	"bits/client/bitstest"
	"bits/hresult"
	"bits/internal/pki"
	"bits/internal/program"
)

// webServer is a real server as these tests need it.
type webServer interface {
	FileAt(name string, data []byte, at time.Time)
	Kill()
}

// servers are the servers of the world, each over what it speaks; they send a number of kilobytes in a second, 0 for all they can.
var servers = []struct {
	name, protocol string
	secure         bool
	start          func(t *testing.T, port, rate int, leaf *pki.Pair) webServer
}{
	{"nginx", "HTTP/1.1", false, func(t *testing.T, port, rate int, _ *pki.Pair) webServer { return nginx(t, port, rate, "") }},
	{"nginx", "HTTP/1.1", true, func(t *testing.T, port, rate int, leaf *pki.Pair) webServer { return nginx(t, port, rate, "ssl", leaf) }},
	{"nginx", "HTTP/2.0", true, func(t *testing.T, port, rate int, leaf *pki.Pair) webServer {
		return nginx(t, port, rate, "ssl http2", leaf)
	}},
	{"Apache", "HTTP/1.1", false, func(t *testing.T, port, rate int, _ *pki.Pair) webServer { return apache(t, port, rate, "") }},
	{"Apache", "HTTP/1.1", true, func(t *testing.T, port, rate int, leaf *pki.Pair) webServer {
		return apache(t, port, rate, "http/1.1", leaf)
	}},
	{"Apache", "HTTP/2.0", true, func(t *testing.T, port, rate int, leaf *pki.Pair) webServer { return apache(t, port, rate, "h2", leaf) }},
	{"lighttpd", "HTTP/1.1", false, func(t *testing.T, port, rate int, _ *pki.Pair) webServer { return lighttpd(t, port, rate, "") }},
	{"lighttpd", "HTTP/1.1", true, func(t *testing.T, port, rate int, leaf *pki.Pair) webServer {
		return lighttpd(t, port, rate, "server.feature-flags = ( \"server.h2proto\" => \"disable\" )\n", leaf)
	}},
	{"lighttpd", "HTTP/2.0", true, func(t *testing.T, port, rate int, leaf *pki.Pair) webServer { return lighttpd(t, port, rate, "", leaf) }},
}

// pair writes a certificate with its key into a file.
func pair(t *testing.T, p *pki.Pair) string {
	path := filepath.Join(t.TempDir(), "pem")
	bitstest.Must(t, os.WriteFile(path, append(p.ChainPEM(), p.KeyPEM()...), 0o644))
	return path
}

func nginx(t *testing.T, port, rate int, listen string, leaf ...*pki.Pair) webServer {
	lines := fmt.Sprintf("limit_rate %dk;", rate)
	for _, p := range leaf {
		lines += fmt.Sprintf(" ssl_certificate %[1]s; ssl_certificate_key %[1]s;", pair(t, p))
	}
	return program.StartNginx(t, port, fmt.Sprintf("server { listen 127.0.0.1:%d %s; %s }", port, listen, lines))
}

func apache(t *testing.T, port, rate int, protocol string, leaf ...*pki.Pair) webServer {
	const modules = "/usr/lib/apache2/modules/mod_"
	lines := ""
	if rate > 0 {
		lines = fmt.Sprintf("LoadModule env_module %[1]senv.so\nLoadModule ratelimit_module %[1]sratelimit.so\nSetOutputFilter RATE_LIMIT\nSetEnv rate-limit %[2]d\n", modules, rate)
	}
	for _, p := range leaf {
		lines += fmt.Sprintf("LoadModule ssl_module %[1]sssl.so\nLoadModule http2_module %[1]shttp2.so\nSSLEngine on\nSSLCertificateFile %[2]s\nSSLCertificateKeyFile %[2]s\nProtocols %[3]s\n", modules, pair(t, p), protocol)
	}
	return program.StartApache(t, port, lines)
}

func lighttpd(t *testing.T, port, rate int, lines string, leaf ...*pki.Pair) webServer {
	// Without a type it tells no validator, and with inodes no two machines tell the same.
	lines += fmt.Sprintf("mimetype.assign = ( \"\" => \"application/octet-stream\" )\netag.use-inode = \"disable\"\nconnection.kbytes-per-second = %d\n", rate)
	for _, p := range leaf {
		if _, err := os.Stat("/usr/lib/lighttpd/mod_openssl.so"); err != nil {
			if os.Getenv("BITS_TEST_ALL") != "" {
				t.Fatal(err)
			}
			t.Skip("the TLS of lighttpd is not installed; .ci/test installs it")
		}
		lines += fmt.Sprintf("server.modules += ( \"mod_openssl\" )\nssl.engine = \"enable\"\nssl.pemfile = %q\n", pair(t, p))
	}
	return program.StartLighttpd(t, port, lines)
}

// A server dies in mid-file, and another takes its place: the job goes on where it was, or starts over with the file that is there now.
func TestServersThatBreak(t *testing.T) {
	t.Parallel()
	root := pki.Root("root")
	leaf := root.Server([]string{"localhost"})
	s := bitstest.Start(t)
	data, other := bitstest.Content(21, 10_000_000), bitstest.Content(22, 10_000_000)
	for _, c := range servers {
		t.Run(strings.NewReplacer("/", "", " ", "-").Replace(fmt.Sprint(c.name, " ", c.protocol, " ", map[bool]string{true: "TLS", false: "clear"}[c.secure])), func(t *testing.T) {
			t.Parallel()
			port, at := program.Port(t), time.Now().Add(-time.Hour)
			server := c.start(t, port, 2048, leaf)
			url := fmt.Sprintf("http://127.0.0.1:%d/", port)
			if c.secure {
				url = fmt.Sprintf("https://localhost:%d/", port)
			}
			name := strings.ReplaceAll(t.Name(), "/", "-")
			server.FileAt("same", data, at)
			server.FileAt("changes", data, at)
			trust := map[string]any{"roots": string(root.PEM()), "backoff": bits.Backoff{First: 600, Max: 600}}
			begin := func(file string, ranges []bits.FileRange) *bits.Job {
				job, err := s.Create(ctx, spec(s, url+file, name+file+fmt.Sprint(len(ranges)), ranges, trust))
				bitstest.Must(t, err, s.Resume(ctx, job.ID))
				return job
			}
			jobs := []*bits.Job{begin("same", nil), begin("changes", nil)}
			for _, job := range jobs {
				s.Until(job.ID, func(j *bits.Job) bool { return j.Progress.BytesReceived > 300_000 })
			}
			server.Kill()
			for _, job := range jobs {
				now := s.Await(job.ID, bits.StateTransientError)
				if e := now.Error; e.Context != bits.ContextRemoteFile || now.Files[0].Done.Len() == 0 {
					t.Errorf("%+v, %v", e, now.Files[0].Done)
				}
			}
			server = c.start(t, port, 0, leaf)
			server.FileAt("same", data, at)
			server.FileAt("changes", other, at.Add(time.Minute))
			for i, job := range jobs {
				bitstest.Must(t, s.Resume(ctx, job.ID))
				s.Await(job.ID, bits.StateTransferred)
				h := headers(t, s, job.ID)
				if on := strings.Contains(h, "Content-Range: bytes ") && !strings.Contains(h, "Content-Range: bytes 0-"); on != (i == 0) || !strings.HasPrefix(h, c.protocol) {
					t.Errorf("job %d: the last answer was %s", i, h)
				}
				finish(t, s, job, [][]byte{data, other}[i])
			}
			ranges, want := someRanges(data, 5)
			job := begin("same", ranges)
			s.Await(job.ID, bits.StateTransferred)
			finish(t, s, job, want)
		})
	}
}

func finish(t *testing.T, s *bitstest.Service, job *bits.Job, want []byte) {
	t.Helper()
	_, err := s.Complete(ctx, job.ID)
	bitstest.Must(t, err)
	same(t, job.Files[0].LocalName, want)
}

// same compares a file with what it should be.
func same(t *testing.T, path string, want []byte) {
	t.Helper()
	if there, err := os.ReadFile(path); err != nil || !bytes.Equal(there, want) {
		t.Errorf("%s differs from what was sent: %v", path, err)
	}
}

// The server of Python has HTTP/1.0 and no ranges: files come, also with ranges of them, and a strict job says what is missing.
func TestServerOfPython(t *testing.T) {
	t.Parallel()
	s, port := bitstest.Start(t), program.Port(t)
	server := program.StartPythonServer(t, port)
	data, url := bitstest.Content(23, 500_000), fmt.Sprintf("http://127.0.0.1:%d/f", port)
	server.File("f", data)
	ranges, want := someRanges(data, 7)
	for name, c := range map[string]struct {
		ranges     []bits.FileRange
		properties map[string]any
		want       []byte
		code       hresult.Code
	}{
		"whole":     {nil, nil, data, 0},
		"ranges":    {ranges, nil, want, 0},
		"strict":    {nil, map[string]any{"strict": true}, nil, hresult.BG_E_INSUFFICIENT_HTTP_SUPPORT},
		"on demand": {nil, map[string]any{"on_demand_mode": true}, nil, hresult.BG_E_RANDOM_ACCESS_NOT_SUPPORTED},
	} {
		t.Run(name, func(t *testing.T) {
			job, err := s.Create(ctx, spec(s, url, name, c.ranges, c.properties))
			bitstest.Must(t, err)
			if name == "on demand" {
				_, err = s.FileCall(ctx, job.ID, 0, "request-ranges", map[string]any{"ranges": []bits.FileRange{{Offset: 5, Length: 5}}})
				bitstest.Must(t, err)
			}
			bitstest.Must(t, s.Resume(ctx, job.ID))
			if c.code != 0 {
				if e := s.Await(job.ID, bits.StateError).Error; e.Code != c.code || e.Context != bits.ContextRemoteFile {
					t.Errorf("%+v", e)
				}
				return
			}
			s.Await(job.ID, bits.StateTransferred)
			finish(t, s, job, c.want)
		})
	}
}
