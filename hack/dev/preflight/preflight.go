// Package preflight finds out, before anything is changed, whether a development world can be started on this host.
// Gather looks; Check decides, purely; each problem is one sentence that says what is wrong and what to do.
package preflight

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/drover-dev/drover/hack/dev/layout"
)

// Host is what was seen.
type Host struct {
	Root bool
	// Features maps what the world needs of the kernel to what went wrong when it was tried, empty if nothing did.
	Features map[string]string
	// Listeners maps a TCP port in use to who listens on it.
	Listeners map[int]string
	// Links are the network links there are.
	Links []string
	// Networks are the addresses of this host and the destinations of its routes, with what has them.
	Networks map[netip.Prefix]string
	// MissingFiles are built files that are not there.
	MissingFiles []string
	// EarlierRun is true when an earlier run's record is there.
	EarlierRun bool
	// OtherWorld is the checkout where a world that is on this host was started, empty for none. OtherLost is true when
	// its record is gone from there.
	OtherWorld string
	OtherLost  bool
}

// Check returns the problems, the ones to solve first first.
func Check(h Host) []string {
	if !h.Root {
		return []string{"This needs root, to make namespaces, links and cgroups: run it as root (sudo make …)."}
	}
	switch {
	case h.OtherWorld != "" && h.OtherLost:
		return []string{fmt.Sprintf("A demo that was started in %s is still on this host, though its record is gone from there: run `make down` here, then try again.", h.OtherWorld)}
	case h.OtherWorld != "":
		return []string{fmt.Sprintf("The demo of %s is on this host: run `make down` there, then try again.", h.OtherWorld)}
	case h.EarlierRun:
		return []string{"An earlier run was left half-way (.drover/world.json): run `make down`, then try again."}
	}
	// Another checkout's world explains every port in use.
	if problems := linkProblems(h.Links); len(problems) > 0 {
		return problems
	}
	var problems []string
	for _, name := range Features() {
		if why := h.Features[name]; why != "" {
			problems = append(problems, fmt.Sprintf("The kernel has no working %s (%s): %s.", name, why, remedies[name]))
		}
	}
	if len(h.MissingFiles) > 0 {
		problems = append(problems, fmt.Sprintf("%s is not built: run `make build`.", strings.Join(h.MissingFiles, ", ")))
	}
	for _, p := range layout.Ports() {
		if who, used := h.Listeners[p.Number]; used {
			problems = append(problems, fmt.Sprintf("TCP port %d, for %s, is in use by %s: stop that first.", p.Number, p.Use, who))
		}
	}
	return append(problems, networkProblems(h)...)
}

func linkProblems(links []string) []string {
	for _, link := range links {
		if link == layout.Bridge {
			return []string{fmt.Sprintf("A link %s exists that no demo made as far as is recorded: `ip link delete %s` if nothing needs it, then try again.", link, link)}
		}
	}
	return nil
}

// networkProblems finds addresses and routes inside the ranges the world is going to use. A wider route, such as the
// default one, does no harm: the narrower one wins.
func networkProblems(h Host) []string {
	var problems []string
	for _, ours := range []string{layout.BridgeCIDR, layout.PodCIDR, layout.ServiceCIDR} {
		own := netip.MustParsePrefix(ours).Masked()
		for prefix, who := range h.Networks {
			if own.Bits() <= prefix.Bits() && own.Contains(prefix.Addr()) && !strings.HasSuffix(who, " "+layout.Bridge) {
				problems = append(problems, fmt.Sprintf("The address range %s, which the nodes are to use, clashes with %s of %s: take that away, or run this on another host.", own, prefix, who))
			}
		}
	}
	return problems
}

// The features that Gather tries.
const (
	featureNamespaces = "namespaces"
	featureBridge     = "bridge and veth links"
	featureNFTables   = "nftables"
	featureOverlay    = "overlay filesystem"
)

// Features are the kernel features needed, in the order they are reported.
func Features() []string {
	return []string{featureNamespaces, featureBridge, featureNFTables, featureOverlay}
}

var remedies = map[string]string{
	featureNamespaces: "use a kernel with CONFIG_NAMESPACES, outside of a container that forbids them",
	featureBridge:     "load the modules with `modprobe bridge veth`, or use a kernel that has them",
	featureNFTables:   "load the module with `modprobe nf_tables`, or use a kernel that has it",
	featureOverlay:    "load the module with `modprobe overlay`, and keep the checkout on a filesystem that can be an overlay's upper layer, such as ext4 or xfs",
}
