package host

import (
	"context"
	"fmt"
	"strings"
	"time"

	"k8s.io/utils/ptr"

	"github.com/drover-dev/drover/agent/finding"
	"github.com/drover-dev/drover/api/node"
	"github.com/drover-dev/drover/api/v1alpha1"
)

// Look is the preflight of a machine that is not ours yet, and changes nothing on it: what the agent could load or set
// counts as there. spec is the state that is wanted of it. inUse are the components' directories that others use.
func (s *System) Look(ctx context.Context, stateDir string, spec *v1alpha1.NodeAgentSpec, inUse []string) node.HostReport {
	report := node.HostReport{Facts: s.Inventory(stateDir)}
	facts, err := s.Gather(ctx, GatherOptions{StateDir: stateDir, LookOnly: true})
	if err != nil {
		report.Findings = []node.HostFinding{{Name: finding.CgroupControllerMissing, Severity: node.FindingBlocking, Message: err.Error()}}
		return report
	}
	found := Preflight(facts, facts.Hostname, spec, time.Now())
	found = append(found, checkRuntimes(report.Facts.Runtimes, inUse)...)
	if !ptr.Deref(report.Facts.TimeSynchronized, true) {
		found = append(found, finding.Warning(finding.NoTimeService, "nothing keeps the machine's clock: install a time service (chrony or systemd-timesyncd), or certificates will be refused once it is wrong"))
	}
	finding.Sort(found)
	for _, f := range found {
		severity := node.FindingWarning
		if f.Severity == v1alpha1.FindingError {
			severity = node.FindingBlocking
		}
		report.Findings = append(report.Findings, node.HostFinding{Name: f.Name, Severity: severity, Message: f.Message})
	}
	return report
}

// OtherRuntime is the message of the finding that others use what the components need to themselves.
func OtherRuntime(inUse []string) string {
	return fmt.Sprintf("another container runtime or kubelet is installed here: it uses %s; remove it and what it left there, or use a machine without one", strings.Join(inUse, ", "))
}

// checkRuntimes judges the runtimes of others. podman has no service, and directories of its own.
func checkRuntimes(runtimes []node.HostRuntime, inUse []string) []v1alpha1.Finding {
	var running, installed []string
	for _, r := range runtimes {
		switch {
		case r.Name == "podman":
		case r.Running:
			running = append(running, r.Name)
		default:
			installed = append(installed, r.Name)
		}
	}
	var found []v1alpha1.Finding
	switch {
	case len(running) > 0:
		found = append(found, finding.Error(finding.OtherRuntime, "%s runs here: remove it and what it left, or use a machine without one", strings.Join(running, ", ")))
	case len(inUse) > 0:
		found = append(found, finding.Error(finding.OtherRuntime, "%s", OtherRuntime(inUse)))
	case len(installed) > 0:
		found = append(found, finding.Warning(finding.OtherRuntime, "%s is installed here, though it does not run: see that nothing starts it, or it will be in the way of the node's own", strings.Join(installed, ", ")))
	}
	return found
}
