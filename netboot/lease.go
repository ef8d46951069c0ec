package netboot

import (
	"net"
	"net/netip"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/nclient4"
)

// A Lease is what a DHCP server gave to one link, and said about booting.
type Lease struct {
	Link       string       // name of the link, as "eth0"
	MAC        string       // of the link, lower case
	Address    netip.Prefix // ours
	Router     netip.Addr   // not valid where there is none
	Routes     []Route      // option 121; where present, Router is not used (RFC 3442)
	Server     netip.Addr   // who gave the lease (option 54)
	NextServer string       // address or name of the boot server: siaddr, else option 66; "" = none
	BootFile   string       // option 67, else the header's field; "" = none
	DNS        []netip.Addr
	Domain     string
	Host       string       // the name that the server has for us
	NTP        []netip.Addr // option 42
	Begin      time.Time
	Renew      time.Duration // T1, from Begin
	Length     time.Duration // from Begin

	// what Keep renews
	raw  *nclient4.Lease
	link link
	up   *upper
}

// A Route is one of the server's static routes.
type Route struct {
	Dst netip.Prefix
	Via netip.Addr // not valid: on the link itself
}

// Limits of what is taken from an answer. DHCP is hostile input: lists may fill
// a datagram, and times may be zero.
const (
	maxServers  = 8
	maxRoutes   = 32
	defaultTime = time.Hour
	minTime     = 10 * time.Second
)

// newLease reads an answer that was acknowledged; ok is false where it holds no
// address.
func newLease(link string, mac net.HardwareAddr, raw *nclient4.Lease) (*Lease, bool) {
	ack := raw.ACK
	addr, ok := netip.AddrFromSlice(ack.YourIPAddr.To4())
	if !ok || addr.IsUnspecified() {
		return nil, false
	}
	l := &Lease{
		Link:       link,
		MAC:        mac.String(),
		Address:    netip.PrefixFrom(addr, maskBits(ack.SubnetMask(), addr)),
		Server:     first(ack.ServerIdentifier()),
		NextServer: nextServer(ack),
		BootFile:   printable(ack.BootFileNameOption()),
		DNS:        addrs(ack.DNS()),
		Domain:     printable(ack.DomainName()),
		Host:       printable(ack.HostName()),
		NTP:        addrs(ack.NTPServers()),
		Begin:      raw.CreationTime,
		Length:     max(ack.IPAddressLeaseTime(defaultTime), minTime),
		raw:        raw,
	}
	if l.BootFile == "" {
		l.BootFile = printable(ack.BootFileName)
	}
	if routers := addrs(ack.Router()); len(routers) > 0 {
		l.Router = routers[0]
	}
	l.Routes = routes(ack.ClasslessStaticRoute())
	l.Renew = ack.IPAddressRenewalTime(l.Length / 2)
	if l.Renew < minTime/2 || l.Renew > l.Length {
		l.Renew = l.Length / 2
	}
	return l, true
}

// maskBits is the length of the prefix; without a usable mask the address's old
// class decides.
func maskBits(mask net.IPMask, addr netip.Addr) int {
	if ones, bits := mask.Size(); bits == 32 && ones > 0 {
		return ones
	}
	ones, _ := net.IP(addr.AsSlice()).DefaultMask().Size()
	return ones
}

func nextServer(ack *dhcpv4.DHCPv4) string {
	if a := first(ack.ServerIPAddr); a.IsValid() && !a.IsUnspecified() {
		return a.String()
	}
	if name := printable(ack.TFTPServerName()); name != "" {
		return name
	}
	return printable(ack.ServerHostName)
}

func first(ip net.IP) netip.Addr {
	a, _ := netip.AddrFromSlice(ip.To4())
	return a
}

func addrs(ips []net.IP) []netip.Addr {
	var out []netip.Addr
	for _, ip := range ips {
		if a := first(ip); a.IsValid() && !a.IsUnspecified() && len(out) < maxServers {
			out = append(out, a)
		}
	}
	return out
}

func routes(rs []*dhcpv4.Route) []Route {
	var out []Route
	for _, r := range rs {
		if r == nil || r.Dest == nil || len(out) == maxRoutes {
			continue
		}
		ones, bits := r.Dest.Mask.Size()
		if dst := first(r.Dest.IP); dst.IsValid() && bits == 32 {
			via := first(r.Router)
			if via.IsValid() && via.IsUnspecified() {
				via = netip.Addr{}
			}
			out = append(out, Route{netip.PrefixFrom(dst, ones).Masked(), via})
		}
	}
	return out
}

// printable is s where it is a plain word of ASCII, else "": what a server says
// ends up in files and on a terminal.
func printable(s string) string {
	for len(s) > 0 && s[len(s)-1] == 0 { // some servers count the final zero
		s = s[:len(s)-1]
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return ""
		}
	}
	return s
}
