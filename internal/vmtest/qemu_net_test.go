package vmtest_test

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lifeboat/internal/fixture"
	"lifeboat/internal/vmtest"
)

// TestNetworkBoot holds that a board with nothing in it asks the network, and
// runs the script that it finds there: the way an empty card is restored.
func TestNetworkBoot(t *testing.T) {
	t.Parallel()
	fixture.Root(t)
	fixture.Need(t, "mkimage", "ip", "dnsmasq", "tcpdump")
	ctx := limit(t, 2*time.Minute)
	net := vmtest.NewNetwork(t)
	packets := net.Capture(t)
	tftp := t.TempDir()
	script := filepath.Join(tftp, "boot.cmd")
	writeFile(t, script, "echo started by $serverip\ntftpboot ${kernel_addr_r} payload\necho got ${filesize}\npoweroff\n")
	fixture.Run(t, "mkimage", "-A", "arm64", "-T", "script", "-C", "none", "-d", script, filepath.Join(tftp, "boot.scr.uimg"))
	writeFile(t, filepath.Join(tftp, "payload"), strings.Repeat("lifeboat", 1<<16))
	log := net.ServeDHCP(t, vmtest.DHCP{BootFile: "rescue", TFTPRoot: tftp})

	b := vmtest.Start(t, vmtest.Machine{Board: "virt", Network: net})
	expect(t, ctx, b, "started by "+vmtest.HostAddr)
	expect(t, ctx, b, "got 80000")
	if err := b.Wait(ctx); err != nil {
		t.Error(err)
	}
	if text := readFile(t, log); !strings.Contains(text, "sent "+filepath.Join(tftp, "payload")) {
		t.Errorf("log of the TFTP server does not name the payload:\n%s", text)
	}
	if !bytes.Contains([]byte(readFile(t, packets)), []byte("boot.scr.uimg")) {
		t.Errorf("the capture %s misses the request for boot.scr.uimg", packets)
	}
}

// TestNetworkIsApart holds that what listens in a network is found from inside
// and not from outside, and that two networks are two.
func TestNetworkIsApart(t *testing.T) {
	t.Parallel()
	fixture.Root(t)
	one, two := vmtest.NewNetwork(t), vmtest.NewNetwork(t)
	const address = vmtest.HostAddr + ":80"
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "from inside")
	})}
	go server.Serve(one.Listen(t, address))
	t.Cleanup(func() { server.Close() })

	dial := func() error {
		var d net.Dialer
		c, err := d.DialContext(limit(t, 5*time.Second), "tcp4", address)
		if err != nil {
			return err
		}
		defer c.Close()
		io.WriteString(c, "GET / HTTP/1.0\r\n\r\n")
		answer, err := io.ReadAll(c)
		if err == nil && !bytes.HasSuffix(answer, []byte("from inside")) {
			t.Errorf("got %q", answer)
		}
		return err
	}
	if err := one.Do(dial); err != nil {
		t.Errorf("from inside: %v", err)
	}
	if err := two.Do(dial); err == nil {
		t.Error("found from another network")
	}
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
