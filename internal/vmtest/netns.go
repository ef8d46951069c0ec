package vmtest

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"lifeboat/internal/fixture"
)

// A Network is a network namespace with a bridge that boards are plugged into.
// Nothing in it reaches the host's networks or the Internet, and nothing of it
// is left when the test ends, however it ends: the namespace has no name.
type Network struct {
	ns   *os.File
	taps int
}

// Addresses of a Network. The host is at HostAddr; boards get theirs from
// ServeDHCP, or take one of the free ones.
const (
	HostAddr  = "192.168.77.1"
	dhcpFirst = "192.168.77.10"
	dhcpLast  = "192.168.77.99"
	prefix    = "/24"
	bridge    = "br0"
)

// NewNetwork makes an empty network; it needs root.
func NewNetwork(tb testing.TB) *Network {
	tb.Helper()
	fixture.Root(tb)
	fixture.Need(tb, "ip", "nsenter")
	n := &Network{}
	err := apart(func() (err error) {
		if err := unshareNet(); err != nil {
			return fmt.Errorf("new network namespace: %w", err)
		}
		n.ns, err = os.Open("/proc/thread-self/ns/net")
		return err
	})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { n.ns.Close() })
	n.ip(tb, "link", "set", "lo", "up")
	n.ip(tb, "link", "add", bridge, "type", "bridge", "forward_delay", "0")
	n.ip(tb, "addr", "add", HostAddr+prefix, "dev", bridge)
	n.ip(tb, "link", "set", bridge, "up")
	return n
}

// apart runs f on a thread of its own, which then ends: what f does to its
// thread's namespaces stays there.
func apart(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with us
		done <- f()
	}()
	return <-done
}

// Do runs f inside the network: what it listens on or dials is there.
func (n *Network) Do(f func() error) error {
	return apart(func() error {
		if err := setNet(n.ns); err != nil {
			return fmt.Errorf("enter network namespace: %w", err)
		}
		return f()
	})
}

// Listen is a TCP listener of this process inside the network: HostAddr and a
// port is where boards find it. It is closed at the test's end.
func (n *Network) Listen(tb testing.TB, address string) net.Listener {
	tb.Helper()
	var l net.Listener
	err := n.Do(func() (err error) {
		var lc net.ListenConfig
		l, err = lc.Listen(tb.Context(), "tcp4", address)
		return err
	})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { l.Close() })
	return l
}

// Command prepares a program that will run inside the network.
func (n *Network) Command(ctx context.Context, program string, args ...string) *exec.Cmd {
	// The first of ExtraFiles is file descriptor 3.
	cmd := exec.CommandContext(ctx, "nsenter", append([]string{"--net=/proc/self/fd/3", program}, args...)...)
	cmd.ExtraFiles = []*os.File{n.ns}
	cmd.Env = append(os.Environ(), "PATH="+os.Getenv("PATH")+":/usr/sbin:/sbin", "LC_ALL=C")
	return cmd
}

func (n *Network) ip(tb testing.TB, args ...string) {
	tb.Helper()
	if out, err := n.Command(tb.Context(), "ip", args...).CombinedOutput(); err != nil {
		tb.Fatalf("ip %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// tap is a new socket of the bridge, for one board. Its device goes when the
// last who holds it closes it.
func (n *Network) tap(tb testing.TB) *os.File {
	tb.Helper()
	name := fmt.Sprintf("tap%d", n.taps)
	n.taps++
	var tap *os.File
	err := n.Do(func() (err error) {
		tap, err = openTap(name)
		return err
	})
	if err != nil {
		tb.Fatalf("tap device %s: %v", name, err)
	}
	n.ip(tb, "link", "set", name, "master", bridge, "up")
	return tap
}

// DHCP is what ServeDHCP offers beside addresses.
type DHCP struct {
	BootFile string   // option 67; empty: none
	TFTPRoot string   // folder to serve; empty: no TFTP
	Options  []string // dnsmasq's options, as in "--dhcp-option=43,Raspberry Pi Boot"
}

// ServeDHCP runs dnsmasq in the network until the test's end, and returns the
// file of its log: leases, and files asked for by TFTP.
func (n *Network) ServeDHCP(tb testing.TB, d DHCP) string {
	tb.Helper()
	fixture.Need(tb, "dnsmasq")
	args := []string{
		"--keep-in-foreground", "--log-facility=-", "--log-dhcp", "--conf-file=/dev/null", "--user=root",
		"--port=0", "--no-resolv", "--no-hosts", "--no-ping", "--pid-file=",
		"--dhcp-leasefile=" + filepath.Join(tb.TempDir(), "leases"),
		"--interface=" + bridge, "--bind-interfaces",
		fmt.Sprintf("--dhcp-range=%s,%s,1h", dhcpFirst, dhcpLast), "--dhcp-authoritative",
	}
	if d.BootFile != "" {
		args = append(args, "--dhcp-boot="+d.BootFile)
	}
	if d.TFTPRoot != "" {
		args = append(args, "--enable-tftp", "--tftp-root="+d.TFTPRoot)
	}
	return n.daemon(tb, "IP range", "dnsmasq", append(args, d.Options...)...)
}

// Capture records all packets of the network in a pcap file until the test's
// end, and returns its name.
func (n *Network) Capture(tb testing.TB) string {
	tb.Helper()
	fixture.Need(tb, "tcpdump")
	file := filepath.Join(tb.ArtifactDir(), "network.pcap")
	n.daemon(tb, "listening on", "tcpdump", "-i", bridge, "-U", "-Z", "root", "-w", file)
	return file
}

// daemonStart is how long a program may take until it is ready.
const daemonStart = 20 * time.Second

// daemon runs a program inside the network until the test's end. It returns the
// file of what the program prints, once that has a line with ready in it.
func (n *Network) daemon(tb testing.TB, ready, program string, args ...string) string {
	tb.Helper()
	log, err := os.CreateTemp(tb.ArtifactDir(), program+"-*.log")
	if err != nil {
		tb.Fatal(err)
	}
	out, in, err := os.Pipe()
	if err != nil {
		tb.Fatal(err)
	}
	ctx, stop := context.WithCancel(tb.Context())
	cmd := n.Command(ctx, program, args...)
	cmd.Stdout, cmd.Stderr = in, in
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started, ended := startAlone(cmd)
	if err := <-started; err != nil {
		stop()
		tb.Fatalf("start %s: %v", program, err)
	}
	in.Close()
	isReady, copied := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(copied)
		copyUntilReady(log, out, ready, isReady)
	}()
	tb.Cleanup(func() {
		stop()
		<-ended
		<-copied
		out.Close()
		log.Close()
	})
	select {
	case <-isReady:
	case <-copied:
		text, _ := os.ReadFile(log.Name())
		tb.Fatalf("%s ended early:\n%s", program, text)
	case <-time.After(daemonStart):
		tb.Fatalf("%s is not ready after %v; it prints to %s", program, daemonStart, log.Name())
	}
	return log.Name()
}

// copyUntilReady copies lines and closes isReady after the first with ready in
// it; it goes on until the end.
func copyUntilReady(log io.Writer, out io.Reader, ready string, isReady chan<- struct{}) {
	lines := bufio.NewScanner(out)
	waiting := true
	for lines.Scan() {
		fmt.Fprintln(log, lines.Text())
		if waiting && strings.Contains(lines.Text(), ready) {
			close(isReady)
			waiting = false
		}
	}
}

// startAlone starts a program whose death signal is bound to this process: the
// kernel binds it to the parent's thread, so that thread is kept until the
// program ends.
func startAlone(cmd *exec.Cmd) (started <-chan error, ended <-chan error) {
	s, e := make(chan error, 1), make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(e)
		err := cmd.Start()
		s <- err
		if err == nil {
			e <- cmd.Wait()
		}
	}()
	return s, e
}
