package host

import (
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// legacyPatience bounds the listing of a chain.
const legacyPatience = 10 * time.Second

// legacyDrops are the same of the rules of iptables from before nftables, which nftables does not show. The kernel has
// the file only where there are such tables.
func (s *System) legacyDrops(ctx context.Context) ([]ForwardDrop, error) {
	program := s.Tool("iptables-legacy")
	if program == "" || !slices.Contains(s.lines("/proc/net/ip_tables_names"), "filter") {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, legacyPatience)
	defer cancel()
	out, err := exec.CommandContext(ctx, program, "-w", "5", "-S", "FORWARD").Output()
	if err != nil {
		return nil, fmt.Errorf("chain FORWARD of iptables-legacy's table filter: %w", err)
	}
	return judgeLegacy(string(out)), nil
}

// judgeLegacy judges the chain as `iptables -S` writes it.
func judgeLegacy(listing string) []ForwardDrop {
	drop, unclear := false, false
	for line := range strings.Lines(listing) {
		words := strings.Fields(line)
		switch {
		case slices.Equal(words, []string{"-P", "FORWARD", "DROP"}):
			drop = true
		case len(words) < 2 || words[0] != "-A" || slices.Contains(words, "--ctstate") || slices.Contains(words, "--state"):
		case isAboutAnotherLink(words) || slices.ContainsFunc(words, func(w string) bool { return strings.HasPrefix(w, "KUBE-") }):
		case slices.Contains(words, "DROP") || slices.Contains(words, "REJECT"):
			drop = drop || len(words) <= 6 && words[2] == "-j" // it drops all that comes to it
		case slices.Contains(words, podBridge) || slices.Equal(words[2:], []string{"-j", "ACCEPT"}):
			return nil
		default:
			unclear = true
		}
	}
	if !drop {
		return nil
	}
	return []ForwardDrop{{Chain: "chain FORWARD of iptables-legacy's table filter", Certain: !unclear}}
}

func isAboutAnotherLink(words []string) bool {
	for i, w := range words[:len(words)-1] {
		if (w == "-i" || w == "-o") && words[i-1] != "!" && words[i+1] != podBridge {
			return true
		}
	}
	return false
}
