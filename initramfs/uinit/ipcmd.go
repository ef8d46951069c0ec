package uinit

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/vishvananda/netlink"
	"mvdan.cc/sh/v3/interp"
)

// runIP shows what there is of the network. It changes nothing.
func runIP(_ context.Context, hc interp.HandlerContext, args []string) error {
	what := "address"
	if len(args) > 0 {
		what = args[0]
	}
	switch {
	case len(args) > 2 || len(args) == 2 && !strings.HasPrefix("show", args[1]) && args[1] != "list":
		return fmt.Errorf("this one only shows: ip address, ip link, ip route")
	case strings.HasPrefix("route", what):
		return showRoutes(hc.Stdout)
	case strings.HasPrefix("address", what), what == "addr", strings.HasPrefix("link", what):
		return showLinks(hc.Stdout, !strings.HasPrefix("link", what))
	}
	return fmt.Errorf("%q is not known: ip address, ip link, ip route", what)
}

func showLinks(w io.Writer, addresses bool) error {
	links, err := netlink.LinkList()
	if err != nil {
		return fmt.Errorf("list links: %w", err)
	}
	for _, l := range links {
		a := l.Attrs()
		fmt.Fprintf(w, "%d: %s: <%s> mtu %d state %s\n    link/%s %s\n", a.Index, a.Name,
			strings.ToUpper(strings.ReplaceAll(a.Flags.String(), "|", ",")), a.MTU, strings.ToUpper(a.OperState.String()), a.EncapType, a.HardwareAddr)
		if !addresses {
			continue
		}
		list, err := netlink.AddrList(l, netlink.FAMILY_ALL)
		if err != nil {
			return fmt.Errorf("addresses of %s: %w", a.Name, err)
		}
		for _, addr := range list {
			fmt.Fprintf(w, "    inet %s\n", addr.IPNet)
		}
	}
	return nil
}

func showRoutes(w io.Writer) error {
	routes, err := netlink.RouteList(nil, netlink.FAMILY_V4)
	if err != nil {
		return fmt.Errorf("list routes: %w", err)
	}
	for _, r := range routes {
		dst := "default"
		if r.Dst != nil && r.Dst.String() != "0.0.0.0/0" {
			dst = r.Dst.String()
		}
		link := fmt.Sprint(r.LinkIndex)
		if l, err := netlink.LinkByIndex(r.LinkIndex); err == nil {
			link = l.Attrs().Name
		}
		if r.Gw != nil {
			dst += " via " + r.Gw.String()
		}
		fmt.Fprintf(w, "%s dev %s\n", dst, link)
	}
	return nil
}
