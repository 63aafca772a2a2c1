package proxyrules

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// nftTable is kube-proxy's own table, one of each family.
const nftTable = "kube-proxy"

// nftChains are chains that always have rules, whatever Services there are: those that the kernel enters by, and the two that
// these lead to. The names are the same in every version since the mode is generally available; see its nftables/proxier.go.
var nftChains = []string{"nat-prerouting", "nat-output", "nat-postrouting", "services", "masquerading"}

// nftMap has each Service's address.
const nftMap = "service-ips"

// Missing is the first of what kube-proxy must have in the kernel that it does not have there, by its name; empty when all is
// there. Services are the ranges of their addresses, of which each family has rules of its own.
func Missing(ctx context.Context, mode v1alpha1.ProxyMode, services []netip.Prefix) (string, error) {
	missing := missingOf(ctx, mode)
	if missing == nil {
		return "", nil
	}
	for _, six := range []bool{false, true} {
		if !hasFamily(services, six) {
			continue
		}
		if name, err := missing(six); name != "" || err != nil {
			return name, err
		}
	}
	return "", nil
}

// missingOf is how one family is looked at; nil where there are no rules to look for.
func missingOf(ctx context.Context, mode v1alpha1.ProxyMode) func(six bool) (string, error) {
	switch mode {
	case v1alpha1.ProxyModeNone:
		return nil
	case v1alpha1.ProxyModeIPTables:
		return func(six bool) (string, error) { return missingIPTables(ctx, six) }
	default:
		return missingNFT
	}
}

func hasFamily(ranges []netip.Prefix, six bool) bool {
	for _, r := range ranges {
		if r.Addr().Is4() != six {
			return true
		}
	}
	return false
}

func missingNFT(six bool) (string, error) {
	family, name := nftables.TableFamilyIPv4, "ip"
	if six {
		family, name = nftables.TableFamilyIPv6, "ip6"
	}
	conn, err := nftables.New()
	if err != nil {
		return "", fmt.Errorf("open nftables: %w", err)
	}
	table, err := conn.ListTableOfFamily(nftTable, family)
	if errors.Is(err, unix.ENOENT) {
		return fmt.Sprintf("the nftables table %s %s", name, nftTable), nil
	}
	if err != nil {
		return "", fmt.Errorf("find the nftables table %s %s: %w", name, nftTable, err)
	}
	for _, chain := range nftChains {
		rules, err := conn.GetRules(table, &nftables.Chain{Name: chain, Table: table})
		if err != nil {
			return "", fmt.Errorf("list the rules of %s %s %s: %w", name, nftTable, chain, err)
		}
		if len(rules) == 0 {
			return fmt.Sprintf("the rules of the chain %s in the nftables table %s %s", chain, name, nftTable), nil
		}
	}
	if _, err := conn.GetSetByName(table, nftMap); errors.Is(err, unix.ENOENT) {
		return fmt.Sprintf("the map %s in the nftables table %s %s", nftMap, name, nftTable), nil
	} else if err != nil {
		return "", fmt.Errorf("find the map %s in the nftables table %s %s: %w", nftMap, name, nftTable, err)
	}
	return "", nil
}
