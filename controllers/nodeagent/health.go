package nodeagent

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"github.com/drover-dev/drover/api/node"
	"github.com/drover-dev/drover/api/v1alpha1"
	nodes "github.com/drover-dev/drover/controllers/node"
)

const (
	// heartbeatDeadline is how long an agent's heartbeat may stay the same: two of five minutes missed, jitter included.
	heartbeatDeadline = 12 * time.Minute
	// endsBeforeFailure is how often a component must have ended before one can say that it will not come up by itself.
	endsBeforeFailure = 3
)

// joinFailures are the reasons that do not go away with time alone.
var joinFailures = []string{v1alpha1.ReasonPreflightFailed, v1alpha1.ReasonBundleFetchFailed, v1alpha1.ReasonCertificateDenied}

// providerFailures are a local machine's of that kind. They say nothing about whether an agent ever reported.
var providerFailures = []string{v1alpha1.ReasonBootFailed, v1alpha1.ReasonProvisionFailed, v1alpha1.ReasonAddressesExhausted, v1alpha1.ReasonStopped}

// observed is one machine as this controller sees it. What does not exist is nil.
type observed struct {
	machine *clusterv1.Machine
	pool    *v1alpha1.NodePool
	agent   *v1alpha1.NodeAgent
	// node is the Node of the machine's name, whosever it is.
	node *corev1.Node
	// local is the infrastructure machine, when it is a local one.
	local *v1alpha1.LocalMachine
	// awaited is when this manager first saw the machine, heard when it first saw the agent's present heartbeat.
	awaited, heard time.Time
	// trouble is what this controller could not do for the machine, troubled since when.
	trouble  *trouble
	troubled time.Time
	now      time.Time
	// stopped says that the fleet is stopped: no node is disrupted.
	stopped bool
}

// reported is true once the agent has written its status.
func (o *observed) reported() bool { return o.agent != nil && o.agent.Status.AgentVersion != "" }

// joined is true once Cluster API has seen the machine's Node.
func (o *observed) joined() bool { return o.machine.Status.NodeRef.IsDefined() }

// mayHavePods is true once pods may be on the machine.
func (o *observed) mayHavePods() bool {
	return o.joined() || o.agent != nil && o.agent.Status.CurrentRevision != ""
}

// previous is the condition that the Machine has now.
func (o *observed) previous() *metav1.Condition {
	return meta.FindStatusCondition(o.machine.Status.Conditions, v1alpha1.MachineAgentHealthyCondition)
}

// agentHealth is the condition that the Machine should have, or nil when there is nothing to say yet: a machine on its
// normal way to joining costs no write.
func agentHealth(o *observed) *metav1.Condition {
	health := o.health()
	if o.trouble.shows(o, health) {
		health = condition(metav1.ConditionFalse, o.trouble.reason, o.trouble.Error())
	}
	if health == nil {
		return nil
	}
	return o.finish(v1alpha1.MachineAgentHealthyCondition, o.previous(), health)
}

// finish makes a condition, which the Machine had as previous, of what there is to say.
func (o *observed) finish(conditionType string, previous, next *metav1.Condition) *metav1.Condition {
	next.Type = conditionType
	next.ObservedGeneration = o.machine.Generation
	next.Message = v1alpha1.BoundMessage(next.Message)
	next.LastTransitionTime = metav1.NewTime(o.now)
	if previous != nil && previous.Status == next.Status {
		next.LastTransitionTime = previous.LastTransitionTime
	}
	return next
}

func (o *observed) health() *metav1.Condition {
	switch {
	case !o.joined() && o.node != nil && o.foreignNode() != "":
		return condition(metav1.ConditionFalse, v1alpha1.ReasonNodeNameTaken,
			fmt.Sprintf("Node %s exists and is not this Machine's: %s. Delete that Node, or this Machine", o.node.Name, o.foreignNode()))
	case o.joined() && o.node == nil:
		return condition(metav1.ConditionFalse, v1alpha1.ReasonNodeLost,
			fmt.Sprintf("Node %s was deleted: its agent makes the kubelet register it again; if it does not, delete the Machine", o.machine.Status.NodeRef.Name))
	case !o.reported():
		return o.silence()
	}
	return o.report()
}

// silence is the condition of a machine whose agent has never reported.
func (o *observed) silence() *metav1.Condition {
	if o.local != nil {
		ready := meta.FindStatusCondition(o.local.Status.Conditions, v1alpha1.ReadyCondition)
		if ready != nil && ready.Status == metav1.ConditionFalse && slices.Contains(providerFailures, ready.Reason) {
			return condition(metav1.ConditionFalse, ready.Reason, ready.Message)
		}
	}
	if late := fmt.Sprintf("the agent has not reported within %s: ", o.pool.NodeStartupTimeout()); o.overdue(late) {
		return condition(metav1.ConditionFalse, v1alpha1.ReasonNotReported, late+o.whySilent())
	}
	if o.previous() != nil {
		return condition(metav1.ConditionUnknown, v1alpha1.ReasonNotReported, "the agent has not reported yet")
	}
	return nil
}

// whySilent is why no agent ever reported, as the provider has it, or else where to look.
func (o *observed) whySilent() string {
	infra := meta.FindStatusCondition(o.machine.Status.Conditions, clusterv1.MachineInfrastructureReadyCondition)
	// With the reason NotReady Cluster API speaks, for a provider that has said nothing.
	if infra != nil && infra.Status == metav1.ConditionFalse && infra.Reason != clusterv1.MachineInfrastructureNotReadyReason && infra.Message != "" {
		return infra.Message
	}
	return fmt.Sprintf("see %s, or delete the Machine", o.agentLog())
}

// agentLog is where the agent of the machine logs to: its standard error.
func (o *observed) agentLog() string {
	if o.local != nil {
		return "console.log in the machine's directory on its host"
	}
	return "the machine's console and the agent's log there (journalctl -u drover-agent)"
}

// report is the condition that the agent's own report amounts to.
func (o *observed) report() *metav1.Condition {
	ready := meta.FindStatusCondition(o.agent.Status.Conditions, v1alpha1.ReadyCondition)
	silent := o.silentSince()
	switch {
	case ready == nil && silent != "":
		return condition(metav1.ConditionUnknown, v1alpha1.ReasonNotReported, silent)
	case ready == nil:
		return o.previous().DeepCopy()
	}
	if !o.joined() && ready.Status != metav1.ConditionTrue {
		if failure := o.joinFailure(ready); failure != nil {
			return failure
		}
	}
	if ready.Status != metav1.ConditionTrue && o.previous() == nil && onlyStarting(o.agent.Status.Conditions) {
		return nil
	}
	if silent != "" && ready.Status != metav1.ConditionFalse {
		return condition(metav1.ConditionUnknown, v1alpha1.ReasonNotReported, silent)
	}
	if unready := o.unreadyNode(); unready != "" && ready.Status == metav1.ConditionTrue {
		return condition(metav1.ConditionUnknown, v1alpha1.ReasonNodeNotReady, unready)
	}
	return condition(ready.Status, ready.Reason, ready.Message)
}

// unreadyNode says that the Node of a machine that was well is not ready. Until then it costs no write: a Node is not
// ready at first.
func (o *observed) unreadyNode() string {
	previous := o.previous()
	if o.node == nil || previous == nil || previous.Status != metav1.ConditionTrue && previous.Reason != v1alpha1.ReasonNodeNotReady {
		return ""
	}
	for _, c := range o.node.Status.Conditions {
		if c.Type == corev1.NodeReady && c.Status == corev1.ConditionFalse {
			return fmt.Sprintf("Node %s is not ready: %s; that nothing is wrong its agent said at %s",
				o.node.Name, c.Message, o.agent.Status.HeartbeatTime.UTC().Format(time.RFC3339))
		}
	}
	return ""
}

// joinFailure is why a machine whose agent reports does not join, or nil while nothing but time is missing.
func (o *observed) joinFailure(ready *metav1.Condition) *metav1.Condition {
	if slices.Contains(joinFailures, ready.Reason) {
		return condition(metav1.ConditionFalse, ready.Reason, ready.Message)
	}
	for i := range o.agent.Status.Components {
		if c := &o.agent.Status.Components[i]; ends(c) >= endsBeforeFailure {
			return condition(metav1.ConditionFalse, v1alpha1.ReasonExited, fmt.Sprintf("%s keeps ending%s: see %s/%s.log on the machine",
				c.Name, lastWords(c.LastExit), node.LogDir, c.Name))
		}
	}
	if late := fmt.Sprintf("the machine has not joined within %s; delete it to have it replaced, or help it: ", o.pool.NodeStartupTimeout()); o.overdue(late) {
		return condition(metav1.ConditionFalse, v1alpha1.ReasonNotJoined, late+ready.Message)
	}
	return nil
}

// ends are how often a component that does not run has ended.
func ends(c *v1alpha1.ComponentStatus) int32 {
	switch c.State {
	case v1alpha1.ComponentBackOff:
		return ptr.Deref(c.Restarts, 0) + 1
	case v1alpha1.ComponentStarting:
		return ptr.Deref(c.Restarts, 0)
	}
	return 0
}

// lastWords are how a component ended last and the end of what it logged.
func lastWords(exit *v1alpha1.ComponentExit) string {
	if exit == nil {
		return ""
	}
	text := ""
	switch {
	case exit.Reason == v1alpha1.ReasonHung:
		text = ", by the agent as it hung"
	case exit.Signal != "":
		text = ", by " + exit.Signal
	case exit.Code != nil:
		text = fmt.Sprintf(", with code %d", *exit.Code)
	}
	const most = 300
	if last := exit.LastWords(most); last != "" {
		text += ", after saying " + strconv.Quote(last)
	}
	return text
}

// silentSince says how one can tell that nobody keeps the agent's last report up to date. What an earlier manager found
// stands until the heartbeat changes, however short a time this one has been looking.
func (o *observed) silentSince() string {
	silent := ""
	if beat := o.agent.Status.HeartbeatTime; !beat.IsZero() {
		silent = fmt.Sprintf("the agent was last heard of at %s", beat.UTC().Format(time.RFC3339))
		previous := o.previous()
		if o.now.Sub(o.heard) > heartbeatDeadline || previous != nil && previous.Message == silent {
			return silent
		}
	}
	if o.node == nil {
		return ""
	}
	for _, c := range o.node.Status.Conditions {
		if c.Type == corev1.NodeReady && c.Status == corev1.ConditionUnknown {
			lapsed := fmt.Sprintf("the kubelet of Node %s does not renew its Lease", o.node.Name)
			if silent != "" {
				lapsed += "; " + silent
			}
			return lapsed
		}
	}
	return ""
}

// onlyStarting is true while nothing went wrong: each part is healthy, or on its way.
func onlyStarting(conditions []metav1.Condition) bool {
	normal := []string{v1alpha1.ReasonStarting, v1alpha1.ReasonWaitingForDependency, v1alpha1.ReasonNotReported}
	for i := range conditions {
		c := &conditions[i]
		summary := c.Type == v1alpha1.ReadyCondition && c.Reason == v1alpha1.ReasonComponentsUnhealthy
		if c.Status != metav1.ConditionTrue && !summary && !slices.Contains(normal, c.Reason) {
			return false
		}
	}
	return true
}

// foreignNode says why the Node of the machine's name is somebody else's, or "".
func (o *observed) foreignNode() string { return nodes.Foreign(o.machine, o.node) }

// recheckAfter is when a machine must be looked at again although nothing happens to it; zero for never.
func recheckAfter(o *observed) time.Duration {
	switch {
	case !o.machine.DeletionTimestamp.IsZero():
		return 0
	case o.trouble != nil:
		return o.trouble.retryAfter(o)
	case !o.reported(), !o.joined() && o.now.Before(o.deadline()):
		return positive(o.deadline().Sub(o.now))
	case !o.agent.Status.HeartbeatTime.IsZero():
		return positive(o.heard.Add(heartbeatDeadline + time.Second).Sub(o.now))
	}
	return 0
}

func positive(d time.Duration) time.Duration { return max(d, 0) }

func condition(status metav1.ConditionStatus, reason, message string) *metav1.Condition {
	return &metav1.Condition{Status: status, Reason: reason, Message: message}
}

// same is true when writing the condition would tell nobody anything new.
func same(a, b *metav1.Condition) bool {
	return a != nil && b != nil && a.Status == b.Status && a.Reason == b.Reason && a.Message == b.Message
}
