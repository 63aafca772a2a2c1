package diagnose

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/vishvananda/netlink"

	"github.com/drover-dev/drover/agent/dump"
	"github.com/drover-dev/drover/agent/network"
)

// readNetwork collects links, addresses, routes, neighbours and the rules for packets that are ours and kube-proxy's.
func readNetwork(ctx context.Context, _ Options, f *found) {
	table(f, "network/links.txt", netlink.LinkList, func(l netlink.Link) string {
		a := l.Attrs()
		return fmt.Sprintf("%d: %s %s state %s flags %s mtu %d address %s parent %d master %d", a.Index, a.Name, l.Type(), a.OperState, a.Flags, a.MTU, a.HardwareAddr, a.ParentIndex, a.MasterIndex)
	})
	table(f, "network/addresses.txt", func() ([]netlink.Addr, error) { return netlink.AddrList(nil, netlink.FAMILY_ALL) }, func(a netlink.Addr) string {
		return fmt.Sprintf("link %d: %s scope %d flags %#x", a.LinkIndex, a.IPNet, a.Scope, a.Flags)
	})
	table(f, "network/routes.txt", func() ([]netlink.Route, error) {
		return netlink.RouteListFiltered(netlink.FAMILY_ALL, &netlink.Route{}, netlink.RT_FILTER_TABLE) // of all tables
	}, func(r netlink.Route) string { return fmt.Sprintf("table %d: %s", r.Table, r) })
	table(f, "network/rules.txt", func() ([]netlink.Rule, error) { return netlink.RuleList(netlink.FAMILY_ALL) }, func(r netlink.Rule) string { return r.String() })
	table(f, "network/neighbours.txt", func() ([]netlink.Neigh, error) { return netlink.NeighList(0, netlink.FAMILY_ALL) }, func(n netlink.Neigh) string {
		return fmt.Sprintf("link %d: %s %s state %#x", n.LinkIndex, n.IP, n.HardwareAddr, n.State)
	})
	f.run(ctx, "network/nft-tables.txt", "nft", "list", "tables")
	for _, of := range []string{"inet " + network.Table, "ip kube-proxy", "ip6 kube-proxy"} {
		f.run(ctx, "network/nft-"+strings.ReplaceAll(of, " ", "-")+".txt", "nft", append([]string{"list", "table"}, strings.Fields(of)...)...)
	}
	for _, family := range []string{"iptables", "ip6tables"} {
		f.chains(ctx, family)
	}
	for _, name := range []string{"dev", "snmp", "netstat", "sockstat"} {
		f.copy("network/"+name+".txt", "/proc/net/"+name)
	}
	for _, name := range []string{"nf_conntrack_count", "nf_conntrack_max"} {
		f.copy("network/"+name+".txt", "/proc/sys/net/netfilter/"+name)
	}
}

// table adds a table of the kernel's, a line for each entry.
func table[T any](f *found, name string, all func() ([]T, error), line func(T) string) {
	entries, err := dump.Whole(all)
	if err != nil {
		f.miss(name, err)
	}
	var out strings.Builder
	for _, e := range entries {
		if out.Len() > maxOutput {
			f.add(file{name: name, content: []byte(out.String()), cut: true})
			return
		}
		out.WriteString(line(e) + "\n")
	}
	f.text(name, out.String())
}

// chains adds the chains of iptables that kube-proxy, the kubelet and the CNI plugins made, and what leads to them. Those of
// others are theirs.
func (f *found) chains(ctx context.Context, family string) {
	name := "network/" + family + ".txt"
	all := &found{}
	all.run(ctx, name, family+"-save")
	for _, m := range all.missing {
		f.miss(m.What, errors.New(m.Reason))
	}
	for _, saved := range all.files {
		var ours strings.Builder
		for line := range strings.Lines(string(saved.content)) {
			if strings.HasPrefix(line, "*") || strings.Contains(line, "KUBE-") || strings.Contains(line, "CNI-") {
				ours.WriteString(line)
			}
		}
		f.text(name, ours.String())
	}
}
