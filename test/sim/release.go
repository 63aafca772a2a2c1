package sim

import (
	"fmt"
	"time"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// releases are the versions of the agent that users ask for. Machines come with the first; the last ends on each node before it has proved
// itself.
var releases = []string{"v0.1.0", "v0.2.0", "v0.3.0", "v0.4.0"}

var editRelease = withNumber(edited("another version of the agent", 3, func(w *world, e event) {
	next := w.user.template
	next.agent = releaseOf(e.number)
	w.ask(next)
}), releaseOf)

func releaseOf(number int) string { return releases[number%len(releases)] }

// badRelease says that no node keeps a version of the agent.
func badRelease(version string) bool { return version == releases[len(releases)-1] }

// digestOf is that of the image of a version of the agent.
func digestOf(version string) string { return fmt.Sprintf("sha256:%064x", version) }

func agentRelease(version string) *v1alpha1.AgentRelease {
	return &v1alpha1.AgentRelease{Version: version, Artifacts: []v1alpha1.Artifact{{Architecture: "amd64", Image: "10.88.0.1:5443/agent@" + digestOf(version)}}}
}

// agentDue says that a node's agent has yet to become the version that it is told to be, or to give that up.
func agentDue(a *v1alpha1.NodeAgent) bool {
	return a.Spec.Agent != nil && !hasItsAgent(a) && !gaveItsAgentUp(a)
}

func hasItsAgent(a *v1alpha1.NodeAgent) bool {
	return a.Spec.Agent == nil || a.Status.Agent != nil && a.Status.Agent.Digest == digestOf(a.Spec.Agent.Version)
}

func gaveItsAgentUp(a *v1alpha1.NodeAgent) bool {
	return a.Spec.Agent != nil && a.Status.Agent != nil && a.Status.Agent.Failed != nil && a.Status.Agent.Failed.Version == a.Spec.Agent.Version
}

// programOf is what a machine's agent says of itself.
func (b *box) programOf() *v1alpha1.AgentProgram {
	return &v1alpha1.AgentProgram{Digest: digestOf(b.program), Failed: b.failedAgent}
}

// hears has an agent try a version again that it gave up, once another one was asked for.
func (b *box) hears(a *v1alpha1.NodeAgent) {
	if b.failedAgent != nil && a.Spec.Agent != nil && a.Spec.Agent.Version != b.failedAgent.Version {
		b.failedAgent = nil
	}
}

// changesAgent has a machine's agent replace itself, or go back to what it was.
func (w *world) changesAgent(b *box, version string) {
	if !badRelease(version) {
		b.program, b.failedAgent = version, nil
		w.tally.Agents++
		w.say("%s has agent %s", b.name, version)
		return
	}
	b.wentBack = w.now
	b.failedAgent = &v1alpha1.FailedAgent{Version: version, Digest: digestOf(version), Reason: v1alpha1.ReasonExited}
	b.failedAgent.Time.Time = w.now.Truncate(time.Second)
	w.tally.AgentsGivenUp++
	w.say("%s gives agent %s up, and keeps %s", b.name, version, b.program)
}
