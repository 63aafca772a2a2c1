package nodeagent

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/join"
)

var made = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

// joinDeadline is that of a pool that says nothing of it.
const joinDeadline = v1alpha1.DefaultNodeStartupTimeout

// booting is a machine a second after it was made.
func booting() *observed {
	machine := &clusterv1.Machine{}
	machine.Namespace, machine.Name = "default", "workers-abcde-0"
	machine.CreationTimestamp = metav1.NewTime(made)
	machine.Generation = 2
	machine.Spec.ProviderID = "drover-local://default/workers-abcde-0"
	agent := &v1alpha1.NodeAgent{}
	agent.Name = machine.Name
	return &observed{machine: machine, pool: &v1alpha1.NodePool{}, agent: agent, awaited: made, troubled: made, now: made.Add(time.Second)}
}

func (o *observed) says(status metav1.ConditionStatus, reason, message string) {
	o.agent.Status.AgentVersion = "v1"
	o.agent.Status.HeartbeatTime, o.heard = metav1.NewTime(o.now), o.now
	o.agent.Status.Conditions = append(o.agent.Status.Conditions,
		metav1.Condition{Type: v1alpha1.ReadyCondition, Status: status, Reason: reason, Message: message})
}

func (o *observed) had(status metav1.ConditionStatus, reason, message string) {
	o.machine.Status.Conditions = []metav1.Condition{{
		Type: v1alpha1.MachineAgentHealthyCondition, Status: status, Reason: reason, Message: message,
		LastTransitionTime: metav1.NewTime(made),
	}}
}

// infrastructure is what the provider says of a machine that is not well.
func (o *observed) infrastructure(reason, message string) {
	o.machine.Status.Conditions = append(o.machine.Status.Conditions, metav1.Condition{
		Type: clusterv1.MachineInfrastructureReadyCondition, Status: metav1.ConditionFalse, Reason: reason, Message: message})
}

// ended is a kubelet that waits for its next start after so many restarts.
func (o *observed) ended(restarts int32) {
	code := int32(1)
	o.agent.Status.Components = []v1alpha1.ComponentStatus{{
		Name: v1alpha1.ComponentKubelet, State: v1alpha1.ComponentBackOff, Restarts: &restarts,
		LastExit: &v1alpha1.ComponentExit{Code: &code, LogTail: "starting\nno such flag\n"},
	}}
}

func (o *observed) join(ready corev1.ConditionStatus) {
	o.machine.Status.NodeRef = clusterv1.MachineNodeReference{Name: o.machine.Name}
	o.node = &corev1.Node{}
	o.node.Name = o.machine.Name
	o.node.CreationTimestamp = metav1.NewTime(made.Add(time.Second))
	o.node.Spec.ProviderID = o.machine.Spec.ProviderID
	o.node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: ready}}
}

var (
	lacksRevision = &trouble{v1alpha1.ReasonRevisionUnusable, errors.New("there is no revision: delete the Machine")}
	notApplied    = &trouble{v1alpha1.ReasonTemplateNotApplied, errors.New("remove the annotation")}
)

func TestAgentHealth(t *testing.T) {
	cases := []struct {
		reason string
		set    func(o *observed)
		// want is "status reason message", where the message may be the beginning only; "" for nothing to write.
		want string
		// event is "reason: message" likewise.
		event string
	}{
		{reason: "a machine that has just been made says nothing", set: func(*observed) {}},
		{reason: "a machine without a NodeAgent says nothing", set: func(o *observed) { o.agent = nil }},
		{reason: "components that are starting cost no write", set: func(o *observed) {
			o.says("False", v1alpha1.ReasonComponentsUnhealthy, "kubelet")
			o.agent.Status.Conditions = append(o.agent.Status.Conditions, metav1.Condition{
				Type: v1alpha1.KubeletHealthyCondition, Status: "False", Reason: v1alpha1.ReasonWaitingForDependency})
		}},
		{reason: "components that are starting cost no event after another word either", set: func(o *observed) {
			o.had("Unknown", v1alpha1.ReasonNotReported, "the agent has not reported yet")
			o.says("False", v1alpha1.ReasonStarting, "ProxyHealthy: kube-proxy was started and is not healthy yet")
		}, want: "False Starting ProxyHealthy: kube-proxy"},
		{reason: "nor does a probe that failed once", set: func(o *observed) {
			o.says("False", v1alpha1.ReasonComponentsUnhealthy, "RuntimeHealthy: containerd does not answer")
			o.agent.Status.Conditions = append(o.agent.Status.Conditions, metav1.Condition{
				Type: v1alpha1.RuntimeHealthyCondition, Status: "False", Reason: v1alpha1.ReasonProbeFailed})
		}, want: "False ComponentsUnhealthy RuntimeHealthy: containerd does not answer"},
		{reason: "that restarts do not mend a component is passed on with its reason", set: func(o *observed) {
			o.join(corev1.ConditionTrue)
			o.had("True", v1alpha1.ReasonHealthy, "Every component is healthy")
			o.says("False", v1alpha1.ReasonRepairExhausted, "KubeletHealthy: kubelet ended with code 1; 10 restarts did not mend it")
		}, want: "False RepairExhausted KubeletHealthy: kubelet ended with code 1; 10 restarts did not mend it"},
		{reason: "nor a pod range that has yet to be given", set: func(o *observed) {
			o.says("False", v1alpha1.ReasonStarting, "NetworkHealthy: The Node has no pod range yet")
		}},
		{reason: "nor a component that ended twice", set: func(o *observed) {
			o.says("False", v1alpha1.ReasonComponentsUnhealthy, "kubelet")
			o.ended(1)
		}},
		{reason: "one that keeps ending is a failure to join", set: func(o *observed) {
			o.says("False", v1alpha1.ReasonComponentsUnhealthy, "kubelet")
			o.ended(2)
		}, want: `False Exited kubelet keeps ending, with code 1, after saying "no such flag": see /var/log/drover/kubelet.log on the machine`,
			event: "JoinFailed: Machine workers-abcde-0 does not join: Exited: kubelet keeps ending, with code 1"},
		{reason: "it is the same while it is tried once more", set: func(o *observed) {
			o.says("False", v1alpha1.ReasonStarting, "kubelet")
			o.had("False", v1alpha1.ReasonExited, `kubelet keeps ending, with code 1, after saying "no such flag": see /var/log/drover/kubelet.log on the machine`)
			o.ended(3)
			o.agent.Status.Components[0].State = v1alpha1.ComponentStarting
		}},
		{reason: "one that hangs again and again says so", set: func(o *observed) {
			o.says("False", v1alpha1.ReasonComponentsUnhealthy, "kubelet")
			o.ended(2)
			o.agent.Status.Components[0].LastExit = &v1alpha1.ComponentExit{Signal: "SIGKILL", Reason: v1alpha1.ReasonHung}
		}, want: "False Exited kubelet keeps ending, by the agent as it hung: see /var/log/drover/kubelet.log on the machine",
			event: "JoinFailed: Machine workers-abcde-0 does not join: Exited: kubelet keeps ending, by the agent as it hung"},
		{reason: "it is told once", set: func(o *observed) {
			o.had("False", v1alpha1.ReasonExited, "kubelet keeps ending, by SIGSEGV")
			o.says("False", v1alpha1.ReasonComponentsUnhealthy, "kubelet")
			o.ended(9)
		}, want: "False Exited kubelet keeps ending, with code 1"},
		{reason: "an agent that reports but does not join until the deadline is told", set: func(o *observed) {
			o.says("False", v1alpha1.ReasonStarting, "NetworkHealthy: The Node has no pod range yet")
			o.now = made.Add(joinDeadline)
		}, want: "False NotJoined the machine has not joined within 15m0s; delete it to have it replaced, or help it: NetworkHealthy",
			event: "JoinFailed: Machine workers-abcde-0 does not join: NotJoined"},
		{reason: "that is told once, too", set: func(o *observed) {
			o.had("False", v1alpha1.ReasonNotJoined, "the machine has not joined within 15m0s: KubeletHealthy")
			o.says("False", v1alpha1.ReasonStarting, "NetworkHealthy: The Node has no pod range yet")
			o.now = made.Add(joinDeadline)
		}, want: "False NotJoined the machine has not joined"},
		{reason: "a denied certificate is a failure to join", set: func(o *observed) {
			o.says("False", v1alpha1.ReasonCertificateDenied, "the name is another's")
		}, want: "False CertificateDenied the name is another's", event: "JoinFailed: Machine workers-abcde-0 does not join: CertificateDenied"},
		{reason: "an agent that reported no condition yet says nothing", set: func(o *observed) { o.agent.Status.AgentVersion = "v1" }},
		{reason: "a preflight that failed is a failure to join", set: func(o *observed) {
			o.says("False", v1alpha1.ReasonPreflightFailed, "the machine is no good")
			o.agent.Status.Findings = []v1alpha1.Finding{
				{Name: "NoCgroup", Severity: v1alpha1.FindingError, Message: "mount cgroups"},
				{Name: "Swap", Severity: v1alpha1.FindingWarning, Message: "swap is on"},
			}
		}, want: "False PreflightFailed the machine is no good",
			event: "JoinFailed: Machine workers-abcde-0 does not join: PreflightFailed: the machine is no good; NoCgroup: mount cgroups"},
		{reason: "a bundle that cannot be fetched is one, too", set: func(o *observed) {
			o.says("False", v1alpha1.ReasonBundleFetchFailed, "digest mismatch")
		}, want: "False BundleFetchFailed digest mismatch",
			event: "JoinFailed: Machine workers-abcde-0 does not join: BundleFetchFailed: digest mismatch"},
		{reason: "the same failure again is no news", set: func(o *observed) {
			o.says("False", v1alpha1.ReasonBundleFetchFailed, "digest mismatch")
			o.had("False", v1alpha1.ReasonBundleFetchFailed, "digest mismatch")
		}},
		{reason: "a machine that did not boot has the provider's reason", set: func(o *observed) {
			o.local = &v1alpha1.LocalMachine{}
			o.local.Status.Conditions = []metav1.Condition{{Type: "Ready", Status: "False", Reason: v1alpha1.ReasonBootFailed, Message: "token refused"}}
		}, want: "False BootFailed token refused", event: "JoinFailed: Machine workers-abcde-0 does not join: BootFailed: token refused"},
		{reason: "a machine being provisioned says nothing", set: func(o *observed) {
			o.local = &v1alpha1.LocalMachine{}
			o.local.Status.Conditions = []metav1.Condition{{Type: "Ready", Status: "False", Reason: v1alpha1.ReasonProvisioning, Message: "x"}}
		}},
		{reason: "a boot failure that went away leaves Unknown", set: func(o *observed) { o.had("False", v1alpha1.ReasonBootFailed, "x") },
			want: "Unknown NotReported the agent has not reported yet"},
		{reason: "silence until the join deadline is told", set: func(o *observed) { o.now = made.Add(joinDeadline) },
			want: "False NotReported the agent has not reported within 15m0s: see the machine's console and the agent's log there (journalctl -u drover-agent), or", event: "JoinFailed: Machine workers-abcde-0 does not join: NotReported"},
		{reason: "with the provider's reason, where it has one", set: func(o *observed) {
			o.now = made.Add(joinDeadline)
			o.infrastructure(v1alpha1.ReasonNoHost, "No Host is free: 2 are claimed.")
		}, want: "False NotReported the agent has not reported within 15m0s: No Host is free: 2 are claimed.",
			event: "JoinFailed: Machine workers-abcde-0 does not join: NotReported: the agent has not reported within 15m0s: No Host is free"},
		{reason: "which may change, and is then no event more", set: func(o *observed) {
			o.had("False", v1alpha1.ReasonNotReported, "the agent has not reported within 15m0s: No Host is free: 2 are claimed.")
			o.infrastructure(v1alpha1.ReasonNoHost, "No Host is free: 3 are claimed.")
		}, want: "False NotReported the agent has not reported within 15m0s: No Host is free: 3 are claimed."},
		{reason: "what Cluster API says for a provider that is silent is no reason", set: func(o *observed) {
			o.had("Unknown", v1alpha1.ReasonNotReported, "the agent has not reported yet")
			o.now = made.Add(joinDeadline)
			o.infrastructure(clusterv1.MachineInfrastructureNotReadyReason, "status.initialization.provisioned is false")
		}, want: "False NotReported the agent has not reported within 15m0s: see the machine's console",
			event: "JoinFailed: Machine workers-abcde-0 does not join: NotReported"},
		{reason: "how old the API server's clock makes a machine says nothing", set: func(o *observed) {
			o.machine.CreationTimestamp = metav1.NewTime(o.now.Add(-joinDeadline))
		}},
		{reason: "nor how young", set: func(o *observed) {
			o.now = made.Add(joinDeadline)
			o.machine.CreationTimestamp = metav1.NewTime(o.now)
		}, want: "False NotReported the agent has not reported within 15m0s", event: "JoinFailed: Machine workers-abcde-0 does not join: NotReported"},
		{reason: "silence that was told stays told when the manager has just begun to look", set: func(o *observed) {
			o.had("False", v1alpha1.ReasonNotReported, "the agent has not reported within 15m0s: see the machine's console and the agent's log there (journalctl -u drover-agent), or delete the Machine")
		}},
		{reason: "and so does that the machine has not joined", set: func(o *observed) {
			o.had("False", v1alpha1.ReasonNotJoined, "the machine has not joined within 15m0s; delete it to have it replaced, or help it: KubeletHealthy")
			o.says("False", v1alpha1.ReasonStarting, "NetworkHealthy")
		}, want: "False NotJoined the machine has not joined within 15m0s; delete it to have it replaced, or help it: NetworkHealthy"},
		{reason: "a pool may give its machines longer", set: func(o *observed) {
			o.now = made.Add(joinDeadline)
			o.pool.Spec.NodeStartupTimeoutSeconds = ptr.To[int32](3600)
		}},
		{reason: "but not for ever", set: func(o *observed) {
			o.now = made.Add(time.Hour)
			o.pool.Spec.NodeStartupTimeoutSeconds = ptr.To[int32](3600)
		}, want: "False NotReported the agent has not reported within 1h0m0s", event: "JoinFailed: Machine workers-abcde-0 does not join: NotReported: the agent has not reported within 1h0m0s"},
		{reason: "a local machine's agent logs to its console", set: func(o *observed) { o.now, o.local = made.Add(joinDeadline), &v1alpha1.LocalMachine{} },
			want: "False NotReported the agent has not reported within 15m0s: see console.log in the machine's directory on its host, or", event: "JoinFailed: Machine workers-abcde-0 does not join: NotReported"},
		{reason: "health is mirrored", set: func(o *observed) { o.says("True", v1alpha1.ReasonHealthy, "fine"); o.join("True") },
			want: "True Healthy fine"},
		{reason: "an illness after joining is mirrored, without an event", set: func(o *observed) {
			o.had("True", v1alpha1.ReasonHealthy, "fine")
			o.says("False", v1alpha1.ReasonComponentsUnhealthy, "kubelet")
			o.join("True")
		}, want: "False ComponentsUnhealthy kubelet"},
		{reason: "components starting again after joining are mirrored", set: func(o *observed) {
			o.had("True", v1alpha1.ReasonHealthy, "fine")
			o.says("False", v1alpha1.ReasonStarting, "")
			o.join("True")
		}, want: "False Starting"},
		{reason: "a Lease that is not renewed makes health unknown", set: func(o *observed) {
			o.had("True", v1alpha1.ReasonHealthy, "fine")
			o.says("True", v1alpha1.ReasonHealthy, "fine")
			o.join("Unknown")
		}, want: "Unknown NotReported the kubelet of Node workers-abcde-0 does not renew its Lease; the agent was last heard of at 2026-05-01T12:00:01Z"},
		{reason: "an agent that knows why is believed", set: func(o *observed) {
			o.says("False", v1alpha1.ReasonComponentsUnhealthy, "kubelet")
			o.had("True", v1alpha1.ReasonHealthy, "fine")
			o.join("Unknown")
		}, want: "False ComponentsUnhealthy kubelet"},
		{reason: "an old heartbeat makes health unknown", set: func(o *observed) {
			o.says("True", v1alpha1.ReasonHealthy, "fine")
			o.join("True")
			o.now = o.now.Add(heartbeatDeadline + time.Second)
		}, want: "Unknown NotReported the agent was last heard of at 2026-05-01T12:00:01Z"},
		{reason: "a heartbeat that an agent with a slow clock made just now is none", set: func(o *observed) {
			o.says("True", v1alpha1.ReasonHealthy, "fine")
			o.agent.Status.HeartbeatTime = metav1.NewTime(o.now.Add(-time.Hour))
			o.join("True")
		}, want: "True Healthy fine"},
		{reason: "an old heartbeat stays one when the manager has just begun to look", set: func(o *observed) {
			o.says("True", v1alpha1.ReasonHealthy, "fine")
			o.had("Unknown", v1alpha1.ReasonNotReported, "the agent was last heard of at 2026-05-01T12:00:01Z")
			o.join("True")
		}},
		{reason: "until it changes", set: func(o *observed) {
			o.had("Unknown", v1alpha1.ReasonNotReported, "the agent was last heard of at 2026-05-01T11:00:00Z")
			o.says("True", v1alpha1.ReasonHealthy, "fine")
			o.join("True")
		}, want: "True Healthy fine"},
		{reason: "a report that lost its conditions takes nothing back", set: func(o *observed) {
			o.had("True", v1alpha1.ReasonHealthy, "fine")
			o.says("True", v1alpha1.ReasonHealthy, "fine")
			o.agent.Status.Conditions = nil
			o.join("True")
		}},
		{reason: "but an agent that is silent does not stay healthy for lack of them", set: func(o *observed) {
			o.had("True", v1alpha1.ReasonHealthy, "fine")
			o.says("True", v1alpha1.ReasonHealthy, "fine")
			o.agent.Status.Conditions = nil
			o.join("True")
			o.now = o.now.Add(heartbeatDeadline + time.Second)
		}, want: "Unknown NotReported the agent was last heard of at 2026-05-01T12:00:01Z"},
		{reason: "a Node that is not ready any more does not go on reading healthy", set: func(o *observed) {
			o.had("True", v1alpha1.ReasonHealthy, "fine")
			o.says("True", v1alpha1.ReasonHealthy, "fine")
			o.join("False")
			o.node.Status.Conditions[0].Message = "no network"
		}, want: "Unknown NodeNotReady Node workers-abcde-0 is not ready: no network; that nothing is wrong its agent said at 2026-05-01T12:00:01Z"},
		{reason: "a Node that was never ready yet costs no write more", set: func(o *observed) {
			o.says("True", v1alpha1.ReasonHealthy, "fine")
			o.join("False")
		}, want: "True Healthy fine"},
		{reason: "a Node deleted by hand is told", set: func(o *observed) {
			o.says("True", v1alpha1.ReasonHealthy, "fine")
			o.join("True")
			o.node = nil
		}, want: "False NodeLost Node workers-abcde-0 was deleted", event: "NodeLost: Machine workers-abcde-0: Node workers-abcde-0 was deleted"},
		{reason: "what keeps a machine from having a NodeAgent is told", set: func(o *observed) {
			o.agent, o.trouble = nil, lacksRevision
			o.now = made.Add(joinDeadline)
		}, want: "False RevisionUnusable there is no revision: delete the Machine",
			event: "RevisionUnusable: Machine workers-abcde-0: there is no revision: delete the Machine"},
		{reason: "and told once", set: func(o *observed) {
			o.agent, o.trouble = nil, lacksRevision
			o.had("False", v1alpha1.ReasonRevisionUnusable, lacksRevision.Error())
		}},
		{reason: "when it is mended the agent is waited for", set: func(o *observed) {
			o.had("False", v1alpha1.ReasonRevisionUnusable, lacksRevision.Error())
		}, want: "Unknown NotReported the agent has not reported yet"},
		{reason: "labels and taints that a healthy Node does not get are told, also after joining", set: func(o *observed) {
			o.had("True", v1alpha1.ReasonHealthy, "fine")
			o.says("True", v1alpha1.ReasonHealthy, "fine")
			o.join("True")
			o.trouble = notApplied
		}, want: "False TemplateNotApplied remove the annotation", event: "TemplateNotApplied: Machine workers-abcde-0: remove the annotation"},
		{reason: "what ails the node itself goes first", set: func(o *observed) {
			o.had("True", v1alpha1.ReasonHealthy, "fine")
			o.says("False", v1alpha1.ReasonComponentsUnhealthy, "kubelet")
			o.join("True")
			o.trouble = notApplied
		}, want: "False ComponentsUnhealthy kubelet"},
		{reason: "silence is not hidden by it", set: func(o *observed) {
			o.says("True", v1alpha1.ReasonHealthy, "fine")
			o.join("Unknown")
			o.trouble = notApplied
		}, want: "Unknown NotReported the kubelet of Node"},
		{reason: "before the agent reports nothing may look as if it had", set: func(o *observed) {
			o.join("True")
			o.trouble = notApplied
		}},
		{reason: "an older Node of that name is somebody else's", set: func(o *observed) {
			o.join("True")
			o.machine.Status.NodeRef = clusterv1.MachineNodeReference{}
			o.node.CreationTimestamp = metav1.NewTime(made.Add(-time.Hour))
		}, want: "False NodeNameTaken Node workers-abcde-0 exists and is not this Machine's: it is older",
			event: "NodeNameTaken: Machine workers-abcde-0: Node workers-abcde-0 exists"},
		{reason: "so is one of another provider ID", set: func(o *observed) {
			o.join("True")
			o.machine.Status.NodeRef = clusterv1.MachineNodeReference{}
			o.node.Spec.ProviderID = "aws:///i-1"
		}, want: "False NodeNameTaken Node workers-abcde-0 exists and is not this Machine's: it has provider ID aws:///i-1",
			event: "NodeNameTaken: Machine workers-abcde-0: Node workers-abcde-0 exists"},
	}
	for _, c := range cases {
		t.Run(strings.ReplaceAll(c.reason, " ", "_"), func(t *testing.T) {
			o := booting()
			c.set(o)
			got, event := "", ""
			if next := agentHealth(o); next != nil && !same(o.previous(), next) {
				got = strings.TrimSpace(string(next.Status) + " " + next.Reason + " " + next.Message)
				if said := announce(o, next); said != nil {
					event = said.reason + ": " + said.message
				}
			}
			if !strings.HasPrefix(got, c.want) || (c.want == "") != (got == "") {
				t.Errorf("%s: got %q, want %q", c.reason, got, c.want)
			}
			if !strings.HasPrefix(event, c.event) || (c.event == "") != (event == "") {
				t.Errorf("%s: got event %q, want %q", c.reason, event, c.event)
			}
		})
	}
}

// TestAnAgentCannotBeTooLong is about a NodeAgent's own messages, which may be 32 times as long, and the pool's that
// quote them.
// What this controller says before the first report must not look like a report: the machine's token ends with that.
func TestAMachineThatNeverReportedMayStillJoin(t *testing.T) {
	for _, reason := range providerFailures {
		o := booting()
		o.local = &v1alpha1.LocalMachine{}
		o.local.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ReadyCondition, Status: "False", Reason: reason}}
		health := agentHealth(o)
		if health == nil || health.Reason != reason {
			t.Fatalf("got %+v, want reason %s", health, reason)
		}
		if !slices.Contains(join.BeforeReport, health.Reason) {
			t.Errorf("%s counts as a report of the agent", reason)
		}
	}
}

func TestAnAgentCannotBeTooLong(t *testing.T) {
	o := booting()
	o.join("True")
	o.had("True", v1alpha1.ReasonHealthy, "")
	o.says("False", v1alpha1.ReasonComponentsUnhealthy, strings.Repeat("ä", 16*1024))
	got := agentHealth(o).Message
	if len(got) > v1alpha1.MaxMessage || !utf8.ValidString(got) || !strings.HasSuffix(got, "ä…") {
		t.Errorf("the message has %d bytes and ends with %q", len(got), got[len(got)-10:])
	}
}

func TestTheTransitionTimeChangesWithTheStatusOnly(t *testing.T) {
	o := booting()
	o.says("False", v1alpha1.ReasonPreflightFailed, "new words")
	o.had("False", v1alpha1.ReasonPreflightFailed, "old words")
	if got := agentHealth(o); !got.LastTransitionTime.Time.Equal(made) {
		t.Errorf("got %s for a new message, want %s", got.LastTransitionTime, made)
	}
	o.had("True", v1alpha1.ReasonHealthy, "fine")
	if got := agentHealth(o); !got.LastTransitionTime.Time.Equal(o.now) || got.ObservedGeneration != 2 {
		t.Errorf("got %s and generation %d for a new status, want %s and 2", got.LastTransitionTime, got.ObservedGeneration, o.now)
	}
}

func TestAHeartbeatsAgeIsByOurClock(t *testing.T) {
	var seen seen
	o := booting()
	agent := o.agent
	agent.UID = "first"
	agent.Status.HeartbeatTime = metav1.NewTime(made.Add(-24 * time.Hour))
	want := func(at, heard time.Time) {
		t.Helper()
		o.now = at
		if got := seen.heardAt(o); !got.Equal(heard) {
			t.Errorf("at %s: heard at %s, want %s", at, got, heard)
		}
	}
	want(made, made)
	want(made.Add(time.Hour), made)
	agent.Status.HeartbeatTime = metav1.NewTime(made.Add(-25 * time.Hour)) // Set back, but new.
	want(made.Add(2*time.Hour), made.Add(2*time.Hour))
	agent.UID = "second"
	want(made.Add(3*time.Hour), made.Add(3*time.Hour))
	seen.forget(o.name())
	want(made.Add(4*time.Hour), made.Add(4*time.Hour))
}

func TestAMachineIsLookedAtAgainWhenSilenceBecomesNews(t *testing.T) {
	o := booting()
	if got, want := recheckAfter(o), joinDeadline-time.Second; got != want {
		t.Errorf("before the agent reports: got %s, want %s", got, want)
	}
	o.says("False", v1alpha1.ReasonStarting, "")
	if got, want := recheckAfter(o), joinDeadline-time.Second; got != want {
		t.Errorf("before the machine joins: got %s, want %s", got, want)
	}
	o.join("True")
	if got, want := recheckAfter(o), heartbeatDeadline+time.Second; got != want {
		t.Errorf("after a heartbeat: got %s, want %s", got, want)
	}
	o.now = o.now.Add(time.Hour)
	if got := recheckAfter(o); got != 0 {
		t.Errorf("when it is news already: got %s, want 0", got)
	}
	o.now = made
	o.machine.DeletionTimestamp = &metav1.Time{Time: made}
	if diff := cmp.Diff(time.Duration(0), recheckAfter(o)); diff != "" {
		t.Errorf("while it is deleted: %s", diff)
	}
}
