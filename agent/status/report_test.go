package status

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/drover-dev/drover/agent/finding"
	"github.com/drover-dev/drover/agent/generation"
	"github.com/drover-dev/drover/api/v1alpha1"
)

func TestAReportIsMadeOfAllThatWasObserved(t *testing.T) {
	steps := []v1alpha1.BootStep{{Step: StepPreflight, Milliseconds: ptr.To(int64(5))}}
	last := v1alpha1.NodeAgentStatus{HeartbeatTime: metav1.NewTime(now), Findings: []v1alpha1.Finding{finding.Info(finding.Swap, "was on")}}
	machine := []v1alpha1.Finding{finding.Info(finding.CgroupV1, "old"), finding.Warning(finding.DiskSpace, "little")}
	o := Observed{
		Now: now, AgentVersion: "v0.1.0", Generation: 3, Revision: "r1", Components: processes(), Serving: true, Steps: steps,
		Certificates: []v1alpha1.CertificateStatus{{Name: v1alpha1.CertificateAgent, NotAfter: metav1.NewTime(now)}},
		Findings:     slices.Grow(slices.Clone(machine), 2), Certificate: &Certificate{Overdue: true, NotAfter: now},
	}
	got := Report(last, o)
	if got.ObservedGeneration != 3 || got.CurrentRevision != "r1" || got.AgentVersion != "v0.1.0" || !got.HeartbeatTime.Equal(&last.HeartbeatTime) {
		t.Errorf("got %+v", got)
	}
	if diff := cmp.Diff(o.Certificates, got.Certificates); diff != "" {
		t.Errorf("the certificates (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(steps, got.BootTimeline); diff != "" {
		t.Errorf("the steps (-want +got):\n%s", diff)
	}
	var names []string
	for _, f := range got.Findings {
		names = append(names, f.Name)
	}
	if diff := cmp.Diff([]string{finding.AgentCertificate, finding.DiskSpace, finding.CgroupV1}, names); diff != "" {
		t.Errorf("the findings are those of now, the worst first (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(machine, o.Findings); diff != "" {
		t.Errorf("what was observed is changed by the report of it (-want +got):\n%s", diff)
	}
}

func TestAnAgentThatWasGivenUpIsNamed(t *testing.T) {
	o := situation{processes: processes()}.observe()
	o.Agent = &v1alpha1.AgentProgram{Failed: &v1alpha1.FailedAgent{Version: "v2"}}
	o.Findings = append(o.Findings, finding.Warning(finding.AgentUpdate, "the agent v2 was given up"))
	o.Certificate = &Certificate{Overdue: true, NotAfter: now}
	got := Report(v1alpha1.NodeAgentStatus{}, o)
	if got.Agent != o.Agent {
		t.Errorf("the status has %+v", got.Agent)
	}
	if message := got.Conditions[0].Message; !strings.Contains(message, "; the agent v2 was given up; the agent's certificate ends") {
		t.Errorf("the sum of the conditions says %q", message)
	}
}

func TestConditionsAreListedInOneOrder(t *testing.T) {
	want := []string{isReady, runtime, kubelet, proxy, podNet, disk, clockSync}
	last := v1alpha1.NodeAgentStatus{Conditions: []metav1.Condition{{Type: "Other", Status: metav1.ConditionTrue}, {Type: disk, Status: metav1.ConditionTrue}}}
	var got []string
	for _, c := range Report(last, situation{processes: processes()}.observe()).Conditions {
		got = append(got, c.Type)
		if c.ObservedGeneration != 3 || c.Reason == "" || c.Message == "" {
			t.Errorf("%s is incomplete: %+v", c.Type, c)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestTransitionTimesMoveOnlyWithTheStatus(t *testing.T) {
	first := Report(v1alpha1.NodeAgentStatus{}, situation{processes: processes()}.observe())
	old := metav1.NewTime(now.Add(-time.Hour))
	for i := range first.Conditions {
		if c := &first.Conditions[i]; !c.LastTransitionTime.Equal(ptr.To(metav1.NewTime(now))) {
			t.Errorf("%s began %s", c.Type, c.LastTransitionTime)
		}
		first.Conditions[i].LastTransitionTime = old
	}
	ill := situation{processes: processes(killed(v1alpha1.ComponentKubeProxy)), answers: map[string]error{}}
	for _, c := range Report(first, ill.observe()).Conditions {
		moved, want := !c.LastTransitionTime.Equal(&old), c.Type == proxy || c.Type == isReady
		if moved != want {
			t.Errorf("%s: moved is %v, want %v", c.Type, moved, want)
		}
	}
}

func TestNoMessageIsTooLongForTheAPI(t *testing.T) {
	long := strings.Repeat("ü", 5000)
	for name, s := range map[string]situation{
		"an obstacle":   {unprobed: true, obstacle: &generation.Obstacle{Reason: v1alpha1.ReasonPreflightFailed, Message: long}},
		"a certificate": {processes: processes(), cert: &Certificate{Overdue: true, Failure: errors.New(long)}},
		"a sum":         {answers: map[string]error{podNet: errors.New(long), disk: errors.New(long)}},
	} {
		got := Report(v1alpha1.NodeAgentStatus{}, s.observe())
		cut := false
		for _, c := range got.Conditions {
			cut = cut || strings.HasSuffix(c.Message, "…")
			if len(c.Message) > v1alpha1.MaxMessage {
				t.Errorf("%s: %s has %d bytes", name, c.Type, len(c.Message))
			}
		}
		for _, f := range got.Findings {
			if len(f.Message) > v1alpha1.MaxMessage {
				t.Errorf("%s: the finding %s has %d bytes", name, f.Name, len(f.Message))
			}
		}
		if !cut {
			t.Errorf("%s: nobody sees that a message goes on", name)
		}
	}
}

func TestComponentsAreListedInOneOrder(t *testing.T) {
	for name, c := range map[string]struct {
		reason string
		proxy  v1alpha1.ProxyMode
		found  []v1alpha1.ComponentStatus
		want   string
	}{
		"a new machine": {"what is not there yet is waited for", v1alpha1.ProxyModeNFTables, nil, "containerd Waiting, kubelet Waiting, kube-proxy Waiting, network Waiting"},
		"no proxy": {"what is turned off is not", v1alpha1.ProxyModeNone, []v1alpha1.ComponentStatus{{Name: "network", State: v1alpha1.ComponentRunning}, {Name: "containerd", State: v1alpha1.ComponentRunning}},
			"containerd Running, kubelet Waiting, kube-proxy Disabled, network Running"},
		"a proxy that goes": {"what runs still is shown as it is", v1alpha1.ProxyModeNone, processes(), "containerd Running, kubelet Running, kube-proxy Running, network Waiting"},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, c := range Report(v1alpha1.NodeAgentStatus{}, Observed{Components: c.found, Proxy: c.proxy, Now: now}).Components {
				got = append(got, c.Name+" "+string(c.State))
			}
			if text := strings.Join(got, ", "); text != c.want {
				t.Errorf("got %s, want %s: %s", text, c.want, c.reason)
			}
		})
	}
}

func TestWhatIsFoundOfCertificates(t *testing.T) {
	fresh := process(v1alpha1.ComponentKubelet, v1alpha1.ComponentRunning)
	fresh.StartedAt = metav1.NewTime(now.Add(-servingPatience + time.Second))
	for name, c := range map[string]struct {
		reason string
		o      Observed
		want   string // the finding's name and some of its message, empty for none
	}{
		"a kubelet that serves":           {"all is well", Observed{Components: processes(), Serving: true}, ""},
		"one that cannot":                 {"logs and exec fail", Observed{Components: processes()}, "ServingCertificate: the kubelet has no certificate to serve with"},
		"one that was just started":       {"its request is under way", Observed{Components: processes(fresh)}, ""},
		"one that does not run":           {"it can ask for none", Observed{Components: processes(killed(v1alpha1.ComponentKubelet))}, ""},
		"an agent that is to renew":       {"it is not late yet", Observed{Serving: true, Certificate: &Certificate{NotAfter: now, Failure: errors.New("no answer")}}, ""},
		"one that did not":                {"there is time to see why", Observed{Serving: true, Certificate: &Certificate{NotAfter: now, Overdue: true}}, "AgentCertificate: the agent's certificate ends 1970-01-12T13:46:40Z and was not renewed: the agent, and kube-proxy with it, is shut out then"},
		"one that could not":              {"the cause is told", Observed{Serving: true, Certificate: &Certificate{NotAfter: now, Overdue: true, Failure: errors.New("the API server is away")}}, "(kubectl get csr): the API server is away"},
		"one that has no certificate now": {"nobody is there to be told", Observed{Serving: true}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			c.o.Now = now
			found := Report(v1alpha1.NodeAgentStatus{}, c.o).Findings
			got := ""
			for _, f := range found {
				got += f.Name + ": " + f.Message
				if f.Severity != v1alpha1.FindingWarning {
					t.Errorf("%s is a %s, and the node works", f.Name, f.Severity)
				}
			}
			if (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
				t.Errorf("got %q, want %q: %s", got, c.want, c.reason)
			}
		})
	}
}

func TestAReportTellsWhichRevisionsThereAre(t *testing.T) {
	revision := func(name string) *generation.Generation {
		g := &generation.Generation{}
		g.Spec.Revision = name
		return g
	}
	exit := &v1alpha1.ComponentExit{Signal: "SIGKILL"}
	failure := &generation.Failure{ID: "x", Revision: "r3", Reason: "Exited", Message: "it ended", Component: "kubelet", Exit: exit, Time: metav1.NewTime(now), Denied: true}
	for name, c := range map[string]struct {
		progress generation.State
		runs     string
		previous string
		failed   *v1alpha1.FailedRevision
	}{
		"the first":       {generation.State{Candidate: revision("r1")}, "r1", "", nil},
		"being activated": {generation.State{Good: revision("r1"), Candidate: revision("r2"), Previous: "r0"}, "r1", "r0", nil},
		"on probation":    {generation.State{Good: revision("r1"), Candidate: revision("r2"), Previous: "r0"}, "r2", "r1", nil},
		"on probation with other facts of the cluster": {generation.State{Good: revision("r1"), Candidate: revision("r1"), Previous: "r0"}, "r1", "r0", nil},
		"committed": {generation.State{Good: revision("r2"), Previous: "r1"}, "r2", "r1", nil},
		"rolled back, and from other facts of the cluster": {generation.State{Good: revision("r2"), Previous: "r1", Failed: failure, FailedFacts: &generation.Failure{Message: "no DNS"}}, "r2", "r1",
			&v1alpha1.FailedRevision{Revision: "r3", Reason: "Exited", Message: "it ended; nor did the node work with the facts of the cluster as they are now: no DNS", Component: "kubelet", Exit: exit, Time: metav1.NewTime(now)}},
		"rolled back": {generation.State{Good: revision("r2"), Previous: "r1", Failed: failure}, "r2", "r1",
			&v1alpha1.FailedRevision{Revision: "r3", Reason: "Exited", Message: "it ended", Component: "kubelet", Exit: exit, Time: metav1.NewTime(now)}},
	} {
		got := Report(v1alpha1.NodeAgentStatus{PreviousRevision: "old", FailedRevision: &v1alpha1.FailedRevision{}}, Observed{
			Now: now, Revision: c.runs, ClusterHash: "facts", Phase: v1alpha1.PhaseProbation, Progress: c.progress,
		})
		if got.ClusterHash != "facts" {
			t.Errorf("%s: the facts of the cluster are %q", name, got.ClusterHash)
		}
		if got.Phase != v1alpha1.PhaseProbation || got.CurrentRevision != c.runs || got.PreviousRevision != c.previous {
			t.Errorf("%s: it is %s, runs %s and ran %q, want %q", name, got.Phase, got.CurrentRevision, got.PreviousRevision, c.previous)
		}
		if diff := cmp.Diff(c.failed, got.FailedRevision); diff != "" {
			t.Errorf("%s: what failed (-want +got):\n%s", name, diff)
		}
	}
}

func TestMoreFindingsThanTheAPITakesLeaveTheWorst(t *testing.T) {
	o := Observed{}
	for i := range 40 {
		o.Findings = append(o.Findings, finding.Warning(fmt.Sprintf("Warning%d", i), "it is so"))
	}
	o.Findings = append(o.Findings, finding.Error("Worst", "it is so"))
	s := Report(v1alpha1.NodeAgentStatus{}, o)
	if len(s.Findings) != 32 || s.Findings[0].Name != "Worst" {
		t.Errorf("%d findings are told, the first is %s", len(s.Findings), s.Findings[0].Name)
	}
}
