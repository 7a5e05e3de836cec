package wpad

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// A real DHCP server, in another network namespace, names a script.
func TestInform(t *testing.T) {
	const want = "http://wpad.example.com/proxy.pac"
	if os.Getenv("BITS_TEST_NETWORK") != "" { // in the namespace of the client
		said, err := inform(context.Background())
		if err != nil || len(said) != 1 || strings.Trim(said[0], "\x00\n") != want {
			t.Errorf("%q, %v", said, err)
		}
		return
	}
	if os.Geteuid() != 0 {
		t.Skipf("it needs root; this is user %d", os.Geteuid())
	}
	for _, name := range []string{"ip", "dnsmasq"} {
		if _, err := exec.LookPath(name); err != nil && os.Getenv("BITS_TEST_ALL") != "" {
			t.Fatal(err)
		} else if err != nil {
			t.Skipf("%v; .ci/test installs it", err)
		}
	}
	client, server := fmt.Sprintf("bitsc%d", os.Getpid()), fmt.Sprintf("bitss%d", os.Getpid())
	t.Cleanup(func() {
		exec.Command("ip", "netns", "del", client).Run()
		exec.Command("ip", "netns", "del", server).Run()
	})
	for _, line := range []string{
		"netns add " + client, "netns add " + server,
		"-n " + client + " link add c type veth peer name s netns " + server,
		"-n " + client + " addr add 10.99.0.7/24 dev c", "-n " + client + " link set c up",
		"-n " + server + " addr add 10.99.0.1/24 dev s", "-n " + server + " link set s up",
	} {
		if out, err := exec.Command("ip", strings.Fields(line)...).CombinedOutput(); err != nil {
			t.Skipf("ip %s: %v: %s", line, err, out)
		}
	}
	dnsmasq := exec.Command("ip", "netns", "exec", server, "dnsmasq", "-k", "--conf-file=/dev/null", "--port=0", "--interface=s", "--user=root", "--leasefile-ro",
		"--dhcp-range=10.99.0.50,10.99.0.60,1h", "--dhcp-option=252,"+want, "--pid-file=")
	if err := dnsmasq.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { dnsmasq.Process.Kill(); dnsmasq.Wait() }()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var out []byte
	for end := time.Now().Add(15 * time.Second); time.Now().Before(end); { // until the server is ready
		ask := exec.Command("ip", "netns", "exec", client, self, "-test.run", "^TestInform$")
		ask.Env = append(os.Environ(), "BITS_TEST_NETWORK=1")
		if out, err = ask.CombinedOutput(); err == nil {
			return
		}
	}
	t.Errorf("%v: %s", err, out)
}
