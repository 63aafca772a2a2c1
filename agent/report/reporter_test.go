package report

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// object is a NodeAgent on an API server that may refuse.
type object struct {
	mu      sync.Mutex
	fail    error
	refused int
	alter   func(*v1alpha1.NodeAgentStatus) // what the API server stores otherwise
	agent   v1alpha1.NodeAgent
	version int
	patches []map[string]json.RawMessage
}

func (o *object) PatchNodeAgentStatus(_ context.Context, _ string, patch []byte) (*v1alpha1.NodeAgent, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.fail != nil {
		o.refused++
		return nil, o.fail
	}
	var body struct {
		Status map[string]json.RawMessage `json:"status"`
	}
	if err := json.Unmarshal(patch, &body); err != nil {
		return nil, err
	}
	have, err := json.Marshal(map[string]any{"status": o.agent.Status})
	if err != nil {
		return nil, err
	}
	var whole, changes map[string]any
	if err := errors.Join(json.Unmarshal(have, &whole), json.Unmarshal(patch, &changes)); err != nil {
		return nil, err
	}
	merge(whole, changes)
	merged, err := json.Marshal(whole["status"])
	if err != nil {
		return nil, err
	}
	o.agent.Status = v1alpha1.NodeAgentStatus{}
	if err := json.Unmarshal(merged, &o.agent.Status); err != nil {
		return nil, err
	}
	o.patches = append(o.patches, body.Status)
	return o.stored(), nil
}

// merge applies a JSON merge patch (RFC 7386).
func merge(to, changes map[string]any) {
	for name, change := range changes {
		object, isObject := change.(map[string]any)
		was, wasObject := to[name].(map[string]any)
		switch {
		case change == nil:
			delete(to, name)
		case isObject && wasObject:
			merge(was, object)
		case isObject:
			fresh := map[string]any{}
			merge(fresh, object)
			to[name] = fresh
		default:
			to[name] = change
		}
	}
}

// stored gives the object its next resource version.
func (o *object) stored() *v1alpha1.NodeAgent {
	if o.alter != nil {
		o.alter(&o.agent.Status)
	}
	o.version++
	o.agent.ResourceVersion = fmt.Sprint(o.version)
	return o.agent.DeepCopy()
}

// edit changes the object as somebody else does, and returns it as a watch shows it.
func (o *object) edit(change func(*v1alpha1.NodeAgent)) *v1alpha1.NodeAgent {
	o.mu.Lock()
	defer o.mu.Unlock()
	change(&o.agent)
	return o.stored()
}

// now is the object as a watch shows it.
func (o *object) now() *v1alpha1.NodeAgent {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.agent.DeepCopy()
}

func (o *object) refuse(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.fail = err
}

func (o *object) refusals() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.refused
}

func (o *object) writes() []map[string]json.RawMessage {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]map[string]json.RawMessage(nil), o.patches...)
}

func (o *object) last(field string) string {
	all := o.writes()
	for i := len(all) - 1; i >= 0; i-- {
		if v, ok := all[i][field]; ok {
			return string(v)
		}
	}
	return ""
}

func start(t *testing.T) (*Reporter, *object, *clocktesting.FakeClock) {
	t.Helper()
	o := &object{}
	r, clock := startWith(t, o)
	return r, o, clock
}

func startWith(t *testing.T, o Writer) (*Reporter, *clocktesting.FakeClock) {
	t.Helper()
	clock := clocktesting.NewFakeClock(time.Unix(1_700_000_000, 0))
	r := &Reporter{Node: "n", Log: logr.Discard(), Clock: clock}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); r.Run(ctx, o) }()
	t.Cleanup(func() { cancel(); <-done })
	return r, clock
}

// until lets the fake clock run, in small steps, until the condition holds.
func until(t *testing.T, clock *clocktesting.FakeClock, step time.Duration, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("never happened: %s", what)
		}
		if clock.HasWaiters() {
			clock.Step(step)
		}
		time.Sleep(time.Millisecond)
	}
}

var errNoAnswer = errors.New("connection refused")

func version(v string) func(*v1alpha1.NodeAgentStatus) {
	return func(s *v1alpha1.NodeAgentStatus) { s.AgentVersion = v }
}

func TestChangesAreWritten(t *testing.T) {
	r, o, clock := start(t)
	r.Update(version("v1"))
	until(t, clock, gather, "the first change", func() bool { return o.last("agentVersion") == `"v1"` })
	r.Update(version("v2"))
	until(t, clock, gather, "the second change", func() bool { return o.last("agentVersion") == `"v2"` })
	if patch := o.writes()[len(o.writes())-1]; len(patch) > 2 {
		t.Errorf("the patch has %d fields, want the changed one and the heartbeat", len(patch))
	}
}

// TestANodeThatIsIllIsHeardOfMoreOften: it may be asked to mend itself.
func TestANodeThatIsIllIsHeardOfMoreOften(t *testing.T) {
	for ready, every := range map[metav1.ConditionStatus]time.Duration{metav1.ConditionTrue: heartbeatEvery, metav1.ConditionFalse: illHeartbeatEvery, metav1.ConditionUnknown: illHeartbeatEvery} {
		r, o, clock := settled(t)
		r.Update(func(s *v1alpha1.NodeAgentStatus) {
			s.Conditions = []metav1.Condition{{Type: v1alpha1.ReadyCondition, Status: ready, Reason: "R"}}
		})
		until(t, clock, gather, "the condition", func() bool { return len(o.now().Status.Conditions) == 1 })
		r.Saw(o.now())
		began, before := clock.Now(), len(o.writes())
		until(t, clock, time.Second, "a heartbeat", func() bool { return len(o.writes()) > before })
		if took := clock.Since(began); took < every*8/10 || took > every*12/10 {
			t.Errorf("Ready %s: it beats after %s, want about %s", ready, took, every)
		}
	}
}

func TestANodeAgentThatDoesNotExistYetIsWaitedFor(t *testing.T) {
	r, o, clock := start(t)
	o.refuse(apierrors.NewNotFound(schema.GroupResource{Resource: "nodeagents"}, "n"))
	r.Update(version("v1"))
	until(t, clock, gather, "a write that is refused", func() bool { return o.refusals() > 0 })
	r.Update(version("v2")) // never blocks, whatever the server says
	o.refuse(nil)
	r.Saw(o.now())
	until(t, clock, 0, "the newest status, without a wait", func() bool { return o.last("agentVersion") == `"v2"` })
}

func TestAWriteThatFailedIsTriedAgain(t *testing.T) {
	r, o, clock := start(t)
	o.refuse(errNoAnswer)
	r.Update(version("v1"))
	began := clock.Now()
	until(t, clock, 100*time.Millisecond, "three tries", func() bool { return o.refusals() >= 3 })
	o.refuse(nil)
	until(t, clock, 100*time.Millisecond, "the write", func() bool { return o.last("agentVersion") == `"v1"` })
	if took := clock.Since(began); took >= heartbeatEvery/2 {
		t.Errorf("it was written after %s, by a heartbeat", took)
	}
}

func TestANodeAgentMadeAnewGetsTheWholeStatus(t *testing.T) {
	r, o, clock := start(t)
	r.Saw(o.edit(func(a *v1alpha1.NodeAgent) { a.UID = "uid-1" }))
	r.Update(func(s *v1alpha1.NodeAgentStatus) { s.AgentVersion, s.CurrentRevision = "v1", "r1" })
	until(t, clock, gather, "the first write", func() bool { return o.last("agentVersion") == `"v1"` })
	r.Saw(o.edit(func(a *v1alpha1.NodeAgent) { *a = v1alpha1.NodeAgent{ObjectMeta: metav1.ObjectMeta{UID: "uid-2"}} }))
	until(t, clock, gather, "the whole status", func() bool { return o.now().Status.CurrentRevision == "r1" && o.now().Status.AgentVersion == "v1" })
}

// settled is a reporter whose first status was written, and shown by its watch.
func settled(t *testing.T) (*Reporter, *object, *clocktesting.FakeClock) {
	t.Helper()
	r, o, clock := start(t)
	r.Update(func(s *v1alpha1.NodeAgentStatus) { s.AgentVersion, s.CurrentRevision = "v1", "r1" })
	until(t, clock, gather, "the first status", func() bool { return o.now().Status.CurrentRevision == "r1" && !o.now().Status.HeartbeatTime.IsZero() })
	r.Saw(o.now())
	return r, o, clock
}

func TestAStatusThatSomebodyElseChangedIsWrittenAgain(t *testing.T) {
	for name, change := range map[string]func(*v1alpha1.NodeAgentStatus){
		"changed":            func(s *v1alpha1.NodeAgentStatus) { s.CurrentRevision = "other" },
		"emptied":            func(s *v1alpha1.NodeAgentStatus) { *s = v1alpha1.NodeAgentStatus{} },
		"added to":           func(s *v1alpha1.NodeAgentStatus) { s.Findings = []v1alpha1.Finding{{Name: "Swap"}} },
		"an older heartbeat": func(s *v1alpha1.NodeAgentStatus) { s.HeartbeatTime = metav1.NewTime(time.Unix(1, 0)) },
	} {
		t.Run(name, func(t *testing.T) {
			r, o, clock := settled(t)
			began, before := clock.Now(), o.now().Status
			r.Saw(o.edit(func(a *v1alpha1.NodeAgent) { change(&a.Status) }))
			until(t, clock, gather, "the agent's own status", func() bool {
				now := o.now().Status
				return now.CurrentRevision == before.CurrentRevision && now.AgentVersion == before.AgentVersion && now.Findings == nil && !now.HeartbeatTime.Before(&before.HeartbeatTime)
			})
			if d := clock.Since(began); d > time.Minute {
				t.Errorf("it took %s, want it at once", d)
			}
		})
	}
}

func TestAnOlderStatusOfARestoredClusterIsWrittenAgain(t *testing.T) {
	r, o, clock := settled(t)
	old := o.now()
	r.Update(version("v2"))
	until(t, clock, gather, "the next status", func() bool { return o.now().Status.AgentVersion == "v2" })
	r.Saw(o.now())
	began := clock.Now()
	r.Saw(o.edit(func(a *v1alpha1.NodeAgent) { o.version = 0; *a = *old })) // with an older resource version
	until(t, clock, gather, "the newest status", func() bool { return o.now().Status.AgentVersion == "v2" })
	if d := clock.Since(began); d > time.Minute {
		t.Errorf("it took %s, want it at once", d)
	}
}

func TestWhatTheWatchShowsLateIsNotTakenForAnEdit(t *testing.T) {
	r, o, clock := settled(t)
	old := o.now()
	r.Update(version("v2"))
	until(t, clock, gather, "the next status", func() bool { return o.now().Status.AgentVersion == "v2" })
	writes := len(o.writes())
	began := clock.Now()
	r.Saw(old)
	until(t, clock, gather, "a look at it", func() bool { return clock.Since(began) > time.Second })
	r.Saw(o.now())
	until(t, clock, gather, "a while", func() bool { return clock.Since(began) > 2*watchPatience })
	if got := len(o.writes()); got != writes {
		t.Errorf("%d writes, want none", got-writes)
	}
}

func TestAnEditIsSeenThoughTheWatchNeverShowedTheLastWrite(t *testing.T) {
	r, o, clock := settled(t)
	r.Update(version("v2"))
	until(t, clock, gather, "the next status", func() bool { return o.now().Status.AgentVersion == "v2" })
	r.Saw(o.edit(func(a *v1alpha1.NodeAgent) { a.Status.AgentVersion = "edited" }))
	began := clock.Now()
	until(t, clock, gather, "the agent's own status", func() bool { return o.now().Status.AgentVersion == "v2" })
	if d := clock.Since(began); d > 2*watchPatience {
		t.Errorf("it took %s", d)
	}
}

func TestWhatTheServerStoresOtherwiseIsNotFoughtOver(t *testing.T) {
	r, o, clock := start(t)
	o.alter = func(s *v1alpha1.NodeAgentStatus) { s.Findings = nil } // its definition does not know the field yet
	r.Update(func(s *v1alpha1.NodeAgentStatus) {
		s.AgentVersion, s.Findings = "v1", []v1alpha1.Finding{{Name: "Swap", Severity: v1alpha1.FindingInfo, Message: "on"}}
	})
	until(t, clock, gather, "the first status", func() bool { return o.now().Status.AgentVersion == "v1" })
	began := clock.Now()
	until(t, clock, time.Second, "two minutes", func() bool { r.Saw(o.now()); return clock.Since(began) > 2*time.Minute })
	if n := len(o.writes()); n > 3 {
		t.Errorf("%d writes in two minutes, want the first ones only", n)
	}
}

func TestAFightOverTheStatusStaysWithinTheBudget(t *testing.T) {
	r, o, clock := settled(t)
	began := clock.Now()
	until(t, clock, 100*time.Millisecond, "two minutes", func() bool {
		r.Saw(o.edit(func(a *v1alpha1.NodeAgent) { a.Status.CurrentRevision = "other" }))
		return clock.Since(began) > 2*time.Minute
	})
	if got, budget := len(o.writes()), writeBurst+int(clock.Since(began)/writeEvery)+2; got > budget || got < 3 {
		t.Errorf("%d writes, want at most %d and some", got, budget)
	}
}

func TestHeartbeatsComeEveryFiveMinutesOrSo(t *testing.T) {
	_, o, clock := start(t)
	began := clock.Now()
	until(t, clock, 10*time.Second, "five heartbeats", func() bool { return len(o.writes()) >= 5 })
	if d := clock.Since(began); d < 4*270*time.Second {
		t.Errorf("five heartbeats took %s, want at least four times 4.5 minutes", d)
	}
}

func TestPatchRemovesWhatIsGone(t *testing.T) {
	data, err := patch(&v1alpha1.NodeAgentStatus{CurrentRevision: "r", Findings: []v1alpha1.Finding{{Name: "Swap"}}}, v1alpha1.NodeAgentStatus{CurrentRevision: "r"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(data), `{"status":{"findings":null}}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestNothingIsLeftOfAPartThatIsReplaced(t *testing.T) {
	r, o, clock := start(t)
	r.Update(func(s *v1alpha1.NodeAgentStatus) {
		s.Agent = &v1alpha1.AgentProgram{Digest: "old", Failed: &v1alpha1.FailedAgent{Version: "v2"}}
		s.FailedRevision = &v1alpha1.FailedRevision{Revision: "r", Component: "kubelet", Exit: &v1alpha1.ComponentExit{Signal: "SIGKILL", LogTail: "the end"}}
	})
	until(t, clock, gather, "the first status", func() bool { return o.now().Status.Agent != nil })
	want := v1alpha1.NodeAgentStatus{
		Agent:          &v1alpha1.AgentProgram{Digest: "new"},
		FailedRevision: &v1alpha1.FailedRevision{Revision: "r2", Exit: &v1alpha1.ComponentExit{Code: new(int32)}},
	}
	r.Update(func(s *v1alpha1.NodeAgentStatus) { s.Agent, s.FailedRevision = want.Agent, want.FailedRevision })
	until(t, clock, gather, "the next status", func() bool { return o.now().Status.Agent.Digest == "new" })
	got := o.now().Status
	if diff := cmp.Diff(want, v1alpha1.NodeAgentStatus{Agent: got.Agent, FailedRevision: got.FailedRevision}); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}

	// Another agent, which knows nothing of what is there, leaves nothing of it either.
	data, err := patch(nil, v1alpha1.NodeAgentStatus{Agent: &v1alpha1.AgentProgram{Digest: "new"}}, nil)
	if err != nil || !strings.Contains(string(data), `"agent":{"digest":"new","failed":null}`) {
		t.Errorf("got %s, %v", data, err)
	}
}

func TestTheFirstPatchRemovesWhatAnEarlierAgentLeft(t *testing.T) {
	r, o, clock := start(t)
	until(t, clock, gather, "the first heartbeat", func() bool { return len(o.writes()) == 1 })
	if first := o.writes()[0]; len(first) != 1 || first["heartbeatTime"] == nil {
		t.Errorf("an agent that knows nothing yet wrote %s, want only that it lives", first)
	}
	r.Update(func(s *v1alpha1.NodeAgentStatus) {
		s.AgentVersion, s.Components = "v2", []v1alpha1.ComponentStatus{{Name: "kubelet"}}
	})
	until(t, clock, gather, "the first status", func() bool { return o.last("agentVersion") == `"v2"` })
	for field, want := range map[string]string{"findings": "null", "conditions": "null", "currentRevision": "null", "agentVersion": `"v2"`, "components": `[{"name":"kubelet"}]`} {
		if got := o.last(field); got != want {
			t.Errorf("%s: got %q, want %s", field, got, want)
		}
	}
	r.Update(version("v3"))
	until(t, clock, gather, "the next status", func() bool { return o.last("agentVersion") == `"v3"` })
	if last := o.writes()[len(o.writes())-1]; len(last) > 2 {
		t.Errorf("the next patch is %s, want the changed field and the heartbeat", last)
	}
}

func TestSeedComesBeforeWhatIsNotKnownYet(t *testing.T) {
	r := &Reporter{Node: "n"}
	r.Seed([]metav1.Condition{{Type: "A", Status: "True"}})
	if len(r.status.Conditions) != 1 {
		t.Error("the first look at the components compares with what the earlier agent said")
	}
}

func TestSeedKeepsTheTimeOfWhatHoldsStill(t *testing.T) {
	r := &Reporter{Node: "n"}
	old, now := metav1.NewTime(time.Unix(1, 0)), metav1.NewTime(time.Unix(100, 0))
	r.Update(func(s *v1alpha1.NodeAgentStatus) {
		s.Conditions = []metav1.Condition{{Type: "A", Status: "True", LastTransitionTime: now}, {Type: "B", Status: "False", LastTransitionTime: now}}
	})
	r.Seed([]metav1.Condition{{Type: "A", Status: "True", LastTransitionTime: old}, {Type: "B", Status: "True", LastTransitionTime: old}})
	if !r.status.Conditions[0].LastTransitionTime.Equal(&old) {
		t.Error("A was True before and is: its time must be the old one")
	}
	if !r.status.Conditions[1].LastTransitionTime.Equal(&now) {
		t.Error("B has changed: its time must be the new one")
	}
}
