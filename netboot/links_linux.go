package netboot

import (
	"fmt"
	"io/fs"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
)

// kernel is the machine's own network.
type kernel struct{ sys fs.FS }

const typeEthernet = "ether" // ARPHRD_ETHER in netlink's words

// Wired lists the links of Ethernet that are hardware (or stand for it, as a
// veth does in a namespace) and not radio.
func (k kernel) Wired() ([]link, error) {
	all, err := netlink.LinkList()
	if err != nil {
		return nil, err
	}
	var out []link
	for _, l := range all {
		a := l.Attrs()
		if a.EncapType != typeEthernet || a.Flags&net.FlagLoopback != 0 || len(a.HardwareAddr) != 6 {
			continue
		}
		if kind := l.Type(); kind != "device" && kind != "veth" || k.radio(a.Name) {
			continue
		}
		carrier := a.Flags&net.FlagUp != 0 && a.RawFlags&iffLowerUp != 0
		out = append(out, link{a.Name, a.HardwareAddr, carrier})
	}
	return out, nil
}

const iffLowerUp = 1 << 16 // include/uapi/linux/if.h, IFF_LOWER_UP: the driver has a carrier

func (k kernel) radio(name string) bool {
	for _, sign := range []string{"phy80211", "wireless"} {
		if _, err := fs.Stat(k.sys, "class/net/"+name+"/"+sign); err == nil {
			return true
		}
	}
	return false
}

// SetUp switches a link on.
func (k kernel) SetUp(name string) error {
	l, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	return netlink.LinkSetUp(l)
}

// Configure gives the link the lease's address, in place of any other, and sets
// its routes.
func (k kernel) Configure(l *Lease) error {
	dev, err := netlink.LinkByName(l.Link)
	if err != nil {
		return err
	}
	want := &netlink.Addr{IPNet: ipNet(l.Address)}
	if err := netlink.AddrReplace(dev, want); err != nil {
		return fmt.Errorf("set address %s: %w", l.Address, err)
	}
	old, err := netlink.AddrList(dev, netlink.FAMILY_V4)
	if err != nil {
		return fmt.Errorf("list addresses: %w", err)
	}
	for _, a := range old {
		if !a.Equal(*want) {
			if err := netlink.AddrDel(dev, &a); err != nil {
				return fmt.Errorf("remove the former address %s: %w", a.IPNet, err)
			}
		}
	}
	for _, r := range l.allRoutes() {
		if err := netlink.RouteReplace(route(dev.Attrs().Index, l.Address, r)); err != nil {
			return fmt.Errorf("set route to %s via %s: %w", r.Dst, r.Via, err)
		}
	}
	return nil
}

// allRoutes are option 121's, else the one to the router. Those on the link
// itself come first: others may go through them.
func (l *Lease) allRoutes() []Route {
	if len(l.Routes) == 0 {
		if !l.Router.IsValid() {
			return nil
		}
		return []Route{{netip.PrefixFrom(netip.IPv4Unspecified(), 0), l.Router}}
	}
	var direct, via []Route
	for _, r := range l.Routes {
		if r.Via.IsValid() {
			via = append(via, r)
		} else {
			direct = append(direct, r)
		}
	}
	return append(direct, via...)
}

func route(index int, addr netip.Prefix, r Route) *netlink.Route {
	out := &netlink.Route{LinkIndex: index, Dst: ipNet(r.Dst)}
	if !r.Via.IsValid() {
		out.Scope = netlink.SCOPE_LINK
		return out
	}
	out.Gw = r.Via.AsSlice()
	if !addr.Masked().Contains(r.Via) {
		out.SetFlag(netlink.FLAG_ONLINK) // a router outside of our net, as with masks of 32 bits
	}
	return out
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), 32)}
}
