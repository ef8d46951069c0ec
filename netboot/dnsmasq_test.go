package netboot_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"lifeboat/internal/fixture"
	"lifeboat/netboot"
)

// A real dnsmasq judges how we speak, over a veth between two network
// namespaces. A namespace belongs to a process, so the test starts itself twice:
// as the server's side, and from there as the board's.

const sideVar = "NETBOOT_SIDE"

func again(t *testing.T, side string, env ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "unshare", "-n", self, "-test.run=^Test"+side+"$", "-test.v", "-test.timeout=60s")
	cmd.Env = append(append(os.Environ(), sideVar+"="+side), env...)
	return cmd
}

func TestDnsmasq(t *testing.T) {
	t.Parallel()
	fixture.Root(t)
	fixture.Need(t, "dnsmasq", "unshare")
	for _, c := range []struct{ name, boot string }{
		{"a URL", "http://192.168.77.1:8080/board/job.toml"},
		{"a boot server", "pxelinux.0,bootserver,192.168.77.1"},
		{"nothing", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if out, err := again(t, "ServerSide", "NETBOOT_BOOT="+c.boot).CombinedOutput(); err != nil || !bytes.Contains(out, []byte("--- PASS: TestBoardSide")) {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

func TestServerSide(t *testing.T) {
	if os.Getenv(sideVar) != "ServerSide" {
		return // TestDnsmasq starts it
	}
	boot := os.Getenv("NETBOOT_BOOT")
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		t.Fatal(err)
	}
	board := again(t, "BoardSide", "NETBOOT_BOOT="+boot)
	var out bytes.Buffer
	board.Stdout, board.Stderr = &out, &out
	if err := board.Start(); err != nil {
		t.Fatal(err)
	}
	waitNamespace(t, board.Process.Pid)
	veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "srv"}, PeerName: "eth7", PeerNamespace: netlink.NsPid(board.Process.Pid)}
	if err := netlink.LinkAdd(veth); err != nil {
		t.Fatal(err)
	}
	if err := netlink.AddrAdd(veth, &netlink.Addr{IPNet: &net.IPNet{IP: net.IP{192, 168, 77, 1}, Mask: net.CIDRMask(24, 32)}}); err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkSetUp(veth); err != nil {
		t.Fatal(err)
	}
	serveJob(t)
	log := startDnsmasq(t, boot)
	if err := board.Wait(); err != nil {
		said, _ := os.ReadFile(log)
		t.Errorf("board: %v\n%s\ndnsmasq:\n%s", err, out.Bytes(), said)
	}
	t.Logf("%s", out.Bytes())
	said, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"vendor class: lifeboat", "DHCPACK(srv) 192.168.77."} {
		if !strings.Contains(string(said), want) {
			t.Errorf("dnsmasq never said %q:\n%s", want, said)
		}
	}
	if n := strings.Count(string(said), "DHCPACK"); n < 2 {
		t.Errorf("%d acknowledgements: the lease was not renewed", n)
	}
}

// waitNamespace waits until the process is in a network namespace of its own.
func waitNamespace(t *testing.T, pid int) {
	t.Helper()
	ours, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for range 2000 {
		if theirs, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", pid)); err == nil && theirs != ours {
			return
		}
		<-tick.C
	}
	t.Fatal("the board's side never got its namespace")
}

func serveJob(t *testing.T) {
	t.Helper()
	for _, addr := range []string{"192.168.77.1:8080", "192.168.77.1:80"} {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		mux := http.NewServeMux()
		mux.HandleFunc("/board/job.toml", func(w http.ResponseWriter, _ *http.Request) { w.Write(pinned) })
		mux.HandleFunc("/lifeboat/job.toml", func(w http.ResponseWriter, _ *http.Request) { w.Write(pinned) })
		s := &http.Server{Handler: mux}
		t.Cleanup(func() { s.Close() })
		go s.Serve(l)
	}
}

func startDnsmasq(t *testing.T, boot string) (log string) {
	t.Helper()
	dir := t.TempDir()
	log = filepath.Join(dir, "log")
	args := []string{
		"--no-daemon", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--port=0", "--interface=srv", "--bind-interfaces", "--user=root",
		"--dhcp-leasefile=" + dir + "/leases", "--log-dhcp", "--log-facility=" + log, "--pid-file=" + dir + "/pid",
		"--dhcp-range=192.168.77.10,192.168.77.20,2m", "--dhcp-option=option:T1,1", "--dhcp-option=option:dns-server,192.168.77.2", "--domain=lab.example",
	}
	if boot != "" {
		args = append(args, "--dhcp-boot="+boot)
	}
	cmd := exec.Command("dnsmasq", args...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	return log
}

func TestBoardSide(t *testing.T) {
	if os.Getenv(sideVar) != "BoardSide" {
		return // TestServerSide starts it
	}
	boot := os.Getenv("NETBOOT_BOOT")
	ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
	defer cancel()
	conf := t.TempDir() + "/resolv.conf"
	l, err := netboot.Up(ctx, netboot.Options{ResolvConf: conf, Logf: t.Logf})
	if err != nil {
		t.Fatal(err)
	}
	server := netip.MustParseAddr("192.168.77.1")
	if l.Link != "eth7" || l.Address.Bits() != 24 || !l.Address.Contains(server) || l.Server != server || l.Router != server ||
		l.Domain != "lab.example" || l.Length != 2*time.Minute || strings.HasPrefix(boot, "http") && l.BootFile != boot {
		t.Errorf("got %+v", l)
	}
	if got, _ := os.ReadFile(conf); string(got) != "search lab.example\nnameserver 192.168.77.2\n" {
		t.Errorf("name servers: %q", got)
	}
	f, err := netboot.Find(ctx, nil, netboot.Places(l, netboot.BoardFacts{}), netboot.Trust{})
	if err != nil || f.Job.ID != "a" {
		t.Fatalf("job: %+v, %v", f, err)
	}
	if routes, err := netlink.RouteList(nil, netlink.FAMILY_V4); err != nil || !hasDefault(routes, server) {
		t.Errorf("routes %v, %v", routes, err)
	}
	keepTwice(ctx, t, l)
}

func hasDefault(routes []netlink.Route, via netip.Addr) bool {
	for _, r := range routes {
		if (r.Dst == nil || r.Dst.String() == "0.0.0.0/0") && r.Gw.String() == via.String() {
			return true
		}
	}
	return false
}

// keepTwice lets the lease be renewed: what dnsmasq says of it is counted there.
func keepTwice(ctx context.Context, t *testing.T, l *netboot.Lease) {
	t.Helper()
	l.RenewAt(time.Millisecond)
	ctx, cancel := context.WithTimeout(ctx, 1500*time.Millisecond)
	defer cancel()
	l.Keep(ctx)
	link, err := netlink.LinkByName(l.Link)
	if err != nil {
		t.Fatal(err)
	}
	addrs, err := netlink.AddrList(link, netlink.FAMILY_V4)
	if err != nil || len(addrs) != 1 || addrs[0].IP.String() != l.Address.Addr().String() {
		t.Errorf("addresses after the renewal: %v, %v", addrs, err)
	}
}
