package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/types"
	waiting "k8s.io/apimachinery/pkg/util/wait"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/local/machine"
	"github.com/drover-dev/drover/hack/bench/proc"
	"github.com/drover-dev/drover/hack/bench/raw"
	"github.com/drover-dev/drover/hack/dev/layout"
)

// rawMachines are local machines with another program in the agent's place.
type rawMachines struct{ machines *machine.Machines }

// rawRange is out of the way of the addresses that Drover's machines get first.
var rawRange = machine.Range{First: netip.MustParseAddr("10.88.0.200"), Last: netip.MustParseAddr("10.88.0.250")}

var rawPods = netip.MustParsePrefix("10.244.200.0/24")

func newRawMachines(root, agent, bundles string) rawMachines {
	return rawMachines{&machine.Machines{Root: root, AgentBinary: agent, SharedBundles: bundles, Host: machine.LinuxHost{}, Log: logr.Discard()}}
}

func rawKey(name string) types.NamespacedName {
	return types.NamespacedName{Namespace: "raw", Name: name}
}

// rawNode is one of them.
type rawNode struct {
	bench  *bench
	name   string
	wanted machine.Wanted
	init   int
}

// newRaw makes a raw machine that joins by TLS bootstrap, as large as the template's, with the spec of a node of ours.
func (b *bench) newRaw(ctx context.Context, name string, spec v1alpha1.NodeAgentSpec, limits machine.Limits) (*rawNode, error) {
	token, err := b.rawToken(ctx)
	if err != nil {
		return nil, err
	}
	admin, err := os.ReadFile(b.Layout.Kubeconfig())
	if err != nil {
		return nil, fmt.Errorf("read the kubeconfig for raw machines: %w", err)
	}
	bootstrap, err := tokenKubeconfig(spec.Cluster, token)
	if err != nil {
		return nil, err
	}
	document, err := (&raw.Document{NodeName: name, Spec: spec, PodCIDR: rawPods, BootstrapKubeconfig: bootstrap, ProxyKubeconfig: admin}).Encode()
	if err != nil {
		return nil, err
	}
	n := &rawNode{bench: b, name: name, wanted: machine.Wanted{
		Key: rawKey(name), UID: name, Limits: limits, Bridge: layout.Bridge, Range: rawRange, Bootstrap: document,
	}}
	return n, n.boot(ctx)
}

func (n *rawNode) boot(ctx context.Context) error {
	state, err := n.bench.raws.machines.Ensure(ctx, n.wanted)
	if err != nil {
		return fmt.Errorf("start the raw machine %s: %w", n.name, err)
	}
	n.init = state.Process.PID
	return nil
}

func (n *rawNode) reboot(ctx context.Context) error {
	if err := n.bench.raws.machines.Reboot(ctx, n.wanted.Key); err != nil {
		return fmt.Errorf("stop the raw machine %s: %w", n.name, err)
	}
	return n.boot(ctx)
}

// sinceStart is the time from the start of containerd to then.
func (n *rawNode) sinceStart(ctx context.Context, then time.Time) (time.Duration, error) {
	var start int64
	err := waiting.PollUntilContextTimeout(ctx, pollEvery, patience, true, func(context.Context) (bool, error) {
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/root%s", n.init, raw.StartPath))
		if err != nil {
			return false, nil //nolint:nilerr // it has not started yet
		}
		start, err = strconv.ParseInt(strings.TrimSpace(string(data)), 10, 64)
		return err == nil, nil
	})
	if err != nil {
		return 0, fmt.Errorf("wait for the raw machine %s to start: %w", n.name, err)
	}
	return since(time.Duration(start), then)
}

func (n *rawNode) processes() (map[string]int, error) { return proc.Below(n.init) }

// remove removes the machine and its Node.
func (n *rawNode) remove(ctx context.Context) error {
	return errors.Join(n.bench.raws.machines.Remove(ctx, n.wanted.Key), n.bench.deleteNode(ctx, n.name))
}

// removeAll removes every raw machine there is.
func (r rawMachines) removeAll(ctx context.Context) error {
	keys, err := r.machines.List()
	for _, key := range keys {
		err = errors.Join(err, r.machines.Remove(ctx, key))
	}
	return err
}
