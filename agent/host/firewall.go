package host

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// ForwardDrop is a chain of others that packets to and from pods do not get through.
type ForwardDrop struct {
	// Chain names it, such as "chain FORWARD of table ip filter".
	Chain string
	// Certain says that no rule of it can let pods' packets through; else there are some that may.
	Certain bool
}

// ownTables are the tables of the agent, kube-proxy and the CNI plugins.
var ownTables = []string{"drover", "kube-proxy", "cni_hostport"}

// podBridge is the link that pods are attached to.
const podBridge = "cni0"

// forwardDrops are the base chains that drop what they forward, but for what a rule accepts. A packet must get through
// each of them: what one accepts another may drop.
// Those it knows of it returns beside an error about what it could not read.
func forwardDrops() ([]ForwardDrop, error) {
	conn, err := nftables.New()
	if err != nil {
		return nil, err
	}
	chains, err := conn.ListChains()
	if err != nil {
		return nil, err
	}
	return dropsAmong(chains, conn.GetRules)
}

// rulesOf lists the rules of a chain.
type rulesOf func(*nftables.Table, *nftables.Chain) ([]*nftables.Rule, error)

func dropsAmong(chains []*nftables.Chain, rulesOf rulesOf) ([]ForwardDrop, error) {
	var drops []ForwardDrop
	var errs []error
	for _, c := range chains {
		if c.Hooknum == nil || *c.Hooknum != *nftables.ChainHookForward || slices.Contains(ownTables, c.Table.Name) || c.Table.Family == nftables.TableFamilyBridge {
			continue
		}
		name := fmt.Sprintf("chain %s of table %s", c.Name, c.Table.Name)
		rules, err := rulesOf(c.Table, c)
		if errors.Is(err, unix.ENOENT) {
			continue // it was removed a moment ago
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
			continue
		}
		if drop, certain := judge(rulesOf, c, rules); drop {
			drops = append(drops, ForwardDrop{Chain: name, Certain: certain})
		}
	}
	return drops, errors.Join(errs...)
}

// judge says whether a base chain drops pods' packets, as far as its rules can be read, and whether that is certain.
func judge(rulesOf rulesOf, c *nftables.Chain, rules []*nftables.Rule) (drop, certain bool) {
	end := expr.VerdictAccept
	if c.Policy != nil && *c.Policy == nftables.ChainPolicyDrop {
		end = expr.VerdictDrop
	}
	unclear := false
	for _, r := range rules {
		switch matched, verdict := read(r.Exprs); {
		case matched == no || verdict == nil && !rejects(r.Exprs):
		case matched == perhaps:
			unclear = unclear || verdict != nil && verdict.Kind != expr.VerdictDrop
		case verdict != nil && verdict.Kind == expr.VerdictAccept:
			return false, false
		case verdict == nil || verdict.Kind == expr.VerdictDrop:
			return true, !unclear
		case verdict.Kind == expr.VerdictJump || verdict.Kind == expr.VerdictGoto:
			unclear = unclear || mayAccept(rulesOf, c.Table, verdict.Chain, 0)
		}
	}
	return end == expr.VerdictDrop, !unclear
}

// mayAccept says whether a chain that is jumped to has a rule that may accept pods' packets.
func mayAccept(rulesOf rulesOf, table *nftables.Table, chain string, depth int) bool {
	if strings.HasPrefix(chain, "KUBE-") || depth > 8 { // the kubelet's and kube-proxy's accept what they marked themselves
		return depth > 8
	}
	rules, err := rulesOf(table, &nftables.Chain{Table: table, Name: chain})
	if err != nil {
		return true
	}
	return slices.ContainsFunc(rules, func(r *nftables.Rule) bool {
		matched, verdict := read(r.Exprs)
		if matched == no || verdict == nil {
			return false
		}
		return verdict.Kind == expr.VerdictAccept || verdict.Chain != "" && mayAccept(rulesOf, table, verdict.Chain, depth+1)
	})
}

func rejects(exprs []expr.Any) bool {
	return slices.ContainsFunc(exprs, func(e expr.Any) bool {
		target, isTarget := e.(*expr.Target)
		_, isReject := e.(*expr.Reject)
		return isReject || isTarget && target.Name == "REJECT"
	})
}

// answer says whether a rule is about the first packet from or to a pod.
type answer int

const (
	yes answer = iota
	perhaps
	no
)

// read reads a rule as far as it is about links, connections' states and nothing else.
func read(exprs []expr.Any) (answer, *expr.Verdict) {
	matched := yes
	var verdict *expr.Verdict
	worse := func(a answer) { matched = max(matched, a) }
	link, state := false, false
	for _, e := range exprs {
		switch e := e.(type) {
		case *expr.Verdict:
			verdict = e
		case *expr.Counter, *expr.Log, *expr.Reject, *expr.Target, *expr.Bitwise:
		case *expr.Match:
			switch e.Name {
			case "comment":
			case "conntrack", "state":
				worse(no) // as a rule the states of what was accepted before
			default:
				worse(perhaps)
			}
		case *expr.Meta:
			link = e.Key == expr.MetaKeyIIFNAME || e.Key == expr.MetaKeyOIFNAME
			if !link {
				worse(perhaps)
			}
		case *expr.Ct:
			state = e.Key == expr.CtKeySTATE
			if !state {
				worse(perhaps)
			}
		case *expr.Cmp:
			switch {
			case link:
				worse(named(e))
			case state:
				worse(no)
			default:
				worse(perhaps)
			}
		default:
			if state {
				worse(no)
			} else {
				worse(perhaps)
			}
		}
	}
	return matched, verdict
}

// named says whether a comparison with a link's name is met by the pods' bridge. A name that is a prefix ends without a zero.
func named(c *expr.Cmp) answer {
	name, isWhole := bytes.CutSuffix(c.Data, []byte{0})
	name = bytes.TrimRight(name, "\x00")
	same := string(name) == podBridge || !isWhole && strings.HasPrefix(podBridge, string(name))
	if same == (c.Op == expr.CmpOpEq) {
		return yes
	}
	return no
}
