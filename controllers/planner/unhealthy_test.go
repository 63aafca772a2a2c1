package planner

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// since has what is said of a machine begin at a minute of the hour that a snapshot is at the end of.
func since(minute int, edits ...func(*clusterv1.Machine)) func(*clusterv1.Machine) {
	return func(m *clusterv1.Machine) {
		before := map[string]metav1.Condition{}
		for _, c := range m.Status.Conditions {
			before[c.Type] = c
		}
		for _, edit := range edits {
			edit(m)
		}
		for i := range m.Status.Conditions {
			if c := &m.Status.Conditions[i]; *c != before[c.Type] {
				c.LastTransitionTime = metav1.NewTime(epoch.Add(time.Duration(minute) * time.Minute))
			}
		}
	}
}

// agentSays is what the nodeagent controller makes of an agent's words, and nodeSays Cluster API of a Node's.
func agentSays(status metav1.ConditionStatus, reason string) func(*clusterv1.Machine) {
	return func(m *clusterv1.Machine) {
		if status != metav1.ConditionTrue {
			unready(m)
		}
		withCondition(v1alpha1.MachineAgentHealthyCondition, status, "its agent: "+reason, reason)(m)
	}
}

func nodeSays(status metav1.ConditionStatus, reason string) func(*clusterv1.Machine) {
	return withCondition(clusterv1.MachineNodeReadyCondition, status, "", reason)
}

func infraSays(reason string) func(*clusterv1.Machine) {
	return withCondition(clusterv1.MachineInfrastructureReadyCondition, metav1.ConditionFalse, "", reason)
}

var (
	nodeReady   = nodeSays(metav1.ConditionTrue, clusterv1.MachineNodeReadyReason)
	nodeUnready = nodeSays(metav1.ConditionFalse, clusterv1.MachineNodeNotReadyReason)
	nodeLapsed  = nodeSays(metav1.ConditionUnknown, clusterv1.MachineNodeReadyUnknownReason)
	nodeUnknown = nodeSays(metav1.ConditionUnknown, clusterv1.MachineNodeConnectionDownReason)
	agentWell   = agentSays(metav1.ConditionTrue, v1alpha1.ReasonHealthy)
	agentIll    = agentSays(metav1.ConditionFalse, v1alpha1.ReasonRepairExhausted)
	agentSilent = agentSays(metav1.ConditionUnknown, v1alpha1.ReasonNotReported)
)

// dead is a machine of which nothing is heard since a minute, and sick one whose agent says that it is.
func dead(minute int) func(*clusterv1.Machine) { return since(minute, agentSilent, nodeLapsed) }
func sick(minute int) func(*clusterv1.Machine) { return since(minute, agentIll, nodeReady) }

// TestWhatIsUnhealthy holds each word of an agent beside each of a Node.
func TestWhatIsUnhealthy(t *testing.T) {
	type edit = func(*clusterv1.Machine)
	unjoined := func(m *clusterv1.Machine) { m.Status.NodeRef.Name = "" }
	notReady := agentSays(metav1.ConditionUnknown, v1alpha1.ReasonNodeNotReady)
	for name, tc := range map[string]struct {
		machine []edit
		agent   func(*v1alpha1.NodeAgent)
		want    evidence
		since   int
	}{
		"nothing is said": {},
		"well":            {machine: []edit{agentWell, nodeReady}},
		"well, and a Node of which we hear no more": {machine: []edit{agentWell, nodeLapsed}},
		"ill":                      {machine: []edit{since(20, agentIll, nodeReady)}, want: evidenceUnwell, since: 20},
		"ill, and an unready Node": {machine: []edit{since(20, agentIll), since(10, nodeUnready)}, want: evidenceUnwell, since: 20},
		"ill, and then silent":     {machine: []edit{since(20, agentIll), since(30, nodeLapsed)}, want: evidenceSilent, since: 30},
		"an unready Node, and an agent that is well": {machine: []edit{since(20, notReady, nodeUnready)}, want: evidenceUnwell, since: 20},
		"silent":                         {machine: []edit{since(20, agentSilent), since(10, nodeLapsed)}, want: evidenceSilent, since: 20},
		"silent, and its kubelet is not": {machine: []edit{since(20, agentSilent, nodeReady)}},
		"silent, and its kubelet says it is not ready": {machine: []edit{since(20, agentSilent, nodeUnready)}, want: evidenceUnwell, since: 20},
		"silent, and it is us who hear nothing":        {machine: []edit{since(20, agentSilent, nodeUnknown)}},
		"silent, and nothing is known of a Node":       {machine: []edit{since(20, agentSilent)}},
		"silent, and its provider says that it is off": {
			machine: []edit{since(20, agentSilent, nodeLapsed), since(25, infraSays(v1alpha1.ReasonStopped))}, want: evidenceUnwell, since: 25,
		},
		"silent, and its provider cannot reach it": {
			machine: []edit{since(20, agentSilent, nodeLapsed), since(25, infraSays("Unreachable"))}, want: evidenceSilent, since: 20,
		},
		"what it runs on is gone": {machine: []edit{since(5, infraSays(clusterv1.MachineInfrastructureDeletedReason))}, want: evidenceGone, since: 5},
		"ill in the midst of a change": {
			machine: []edit{since(20, agentIll, nodeReady)}, agent: given("r1", v1alpha1.PhaseProbation),
		},
		"silent in the midst of a change": {
			machine: []edit{since(20, agentSilent, nodeLapsed)}, agent: given("r1", v1alpha1.PhaseProbation), want: evidenceSilent, since: 20,
		},
		"ill, and has not heard what it is told": {machine: []edit{since(20, agentIll, nodeReady)}, agent: unheard},
		"the manager could not do its part":      {machine: []edit{since(20, agentSays(metav1.ConditionFalse, v1alpha1.ReasonTemplateNotApplied), nodeReady)}},
		"another's Node has its name":            {machine: []edit{unjoined, since(20, agentSays(metav1.ConditionFalse, v1alpha1.ReasonNodeNameTaken))}, agent: unstarted},
		"no pool counts it":                      {machine: []edit{since(20, agentSays(metav1.ConditionFalse, v1alpha1.ReasonNoPool))}},
		"its Node was deleted":                   {machine: []edit{since(20, agentSays(metav1.ConditionFalse, v1alpha1.ReasonNodeLost))}, want: evidenceUnwell, since: 20},
		"has not joined":                         {machine: []edit{unjoined, unready}, agent: unstarted},
		"never reported":                         {machine: []edit{unjoined, since(17, neverReported)}, agent: unstarted, want: evidenceNotJoined, since: 17},
		"failed at once, and has had its time":   {machine: []edit{unjoined, since(2, agentSays(metav1.ConditionFalse, v1alpha1.ReasonPreflightFailed))}, agent: unstarted, want: evidenceNotJoined, since: 16},
		"failed at once, and has more time": {
			machine: []edit{unjoined, since(50, agentSays(metav1.ConditionFalse, v1alpha1.ReasonPreflightFailed)), func(m *clusterv1.Machine) {
				m.CreationTimestamp = metav1.NewTime(epoch.Add(46 * time.Minute))
			}}, agent: unstarted,
		},
		"waits for a Host":             {machine: []edit{unjoined, since(17, neverReported, infraSays(v1alpha1.ReasonNoHost))}, agent: unstarted},
		"waits for an address":         {machine: []edit{unjoined, since(17, neverReported, infraSays(v1alpha1.ReasonAddressesExhausted))}, agent: unstarted},
		"does not come up with a Node": {machine: []edit{since(3, agentIll, nodeUnready)}, agent: onlyTried, want: evidenceNotJoined, since: 16},
	} {
		t.Run(name, func(t *testing.T) {
			agent := runs(1, "r1")
			if tc.agent != nil {
				tc.agent(agent)
			}
			m := newMachine(1, append([]edit{joined}, tc.machine...)...)
			s := snapshot(newPool(1, 2), m)
			hasAgents(agent)(&s)
			f := newFleet(s)
			got, want := f.diagnose(f.active[0]), epoch.Add(time.Duration(tc.since)*time.Minute)
			switch {
			case got == nil && tc.want == "":
			case got == nil || got.evidence != tc.want || !got.since.Equal(want):
				t.Errorf("it is %+v, want %q since %s", got, tc.want, want)
			}
		})
	}
}
