package proxyrules

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
)

// jumps are the ways into kube-proxy's chains, which a flushed table has not, and which keep the chains from being deleted.
var jumps = []struct{ table, from, to string }{
	{"nat", "PREROUTING", "KUBE-SERVICES"},
	{"nat", "OUTPUT", "KUBE-SERVICES"},
	{"nat", "POSTROUTING", "KUBE-POSTROUTING"},
	{"filter", "FORWARD", "KUBE-FORWARD"},
}

// lists are chains that always have a rule: the last of KUBE-SERVICES leads to node ports.
var lists = []struct{ table, chain string }{{"nat", "KUBE-SERVICES"}, {"nat", "KUBE-POSTROUTING"}}

// missingIPTables asks the program that kube-proxy writes with, which knows the kernel's tables of both kinds.
func missingIPTables(ctx context.Context, six bool) (string, error) {
	program := "iptables"
	if six {
		program = "ip6tables"
	}
	for _, jump := range jumps {
		rules, err := list(ctx, program, jump.table, jump.from)
		if err != nil {
			return "", err
		}
		if !leadsTo(rules, jump.to) {
			return fmt.Sprintf("the way from %s to %s in the %s table %s", jump.from, jump.to, program, jump.table), nil
		}
	}
	for _, l := range lists {
		first, err := list(ctx, program, l.table, l.chain, "1")
		if err != nil {
			return "", err
		}
		if strings.TrimSpace(first) == "" {
			return fmt.Sprintf("the rules of the chain %s in the %s table %s", l.chain, program, l.table), nil
		}
	}
	return "", nil
}

// list has the rules of a chain printed, or the one of a number; none for a chain that does not exist.
func list(ctx context.Context, program, table string, chain ...string) (string, error) {
	args := append([]string{"-w", "2", "-t", table, "-S"}, chain...)
	out, err := exec.CommandContext(ctx, program, args...).Output()
	var ended *exec.ExitError
	if errors.As(err, &ended) && ended.ExitCode() == 1 { // of 2 and above it could not find out
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("list the rules of %s in the %s table %s: %w", chain[0], program, table, err)
	}
	return string(out), nil
}

// leadsTo says whether one of the rules jumps to a chain.
func leadsTo(rules, chain string) bool {
	for line := range strings.Lines(rules) {
		fields := strings.Fields(line)
		for i := range fields[:max(len(fields)-1, 0)] {
			if fields[i] == "-j" && fields[i+1] == chain {
				return true
			}
		}
	}
	return false
}
