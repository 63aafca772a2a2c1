package membership

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// fakeRegister answers what a membership asks.
type fakeRegister struct {
	mu     sync.Mutex
	agents []v1alpha1.NodeAgent
	node   bool
	err    error
	asked  int
}

func (f *fakeRegister) ListNodeAgents(context.Context, string) ([]v1alpha1.NodeAgent, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked++
	return f.agents, f.err
}

func (f *fakeRegister) HasNode(context.Context, string) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.node, f.err
}

func (f *fakeRegister) set(change func(*fakeRegister)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f)
}

func nodeAgent(machine string) v1alpha1.NodeAgent {
	return v1alpha1.NodeAgent{ObjectMeta: metav1.ObjectMeta{Name: "n", Labels: map[string]string{v1alpha1.MachineUIDLabel: machine}}}
}

func deleting(agent v1alpha1.NodeAgent) v1alpha1.NodeAgent {
	agent.DeletionTimestamp = &metav1.Time{Time: time.Unix(1, 0)}
	return agent
}

// errUnreachable is what a client has of an API server that is away, and forbidden of one that answers something else.
var (
	errUnreachable = errors.New("dial tcp 10.88.0.1:6443: connect: connection refused")
	forbidden      = apierrors.NewForbidden(schema.GroupResource{Resource: "nodeagents"}, "n", nil)
	noKind         = apierrors.NewGenericServerResponse(http.StatusNotFound, "list", schema.GroupResource{Resource: "nodeagents"}, "", "404 page not found", 0, true)
)

func TestWhetherTheKubeletMayRegister(t *testing.T) {
	for name, c := range map[string]struct {
		reason  string
		ask     bool // no kubelet runs, so that it must be asked before one does
		missing bool
		is      *fakeRegister

		runs, again, settled bool
	}{
		"all is well":             {"nothing is asked of an API server for nothing", false, false, &fakeRegister{}, true, false, true},
		"deleted by hand":         {"the Machine is still there: the Node is mended", false, true, &fakeRegister{agents: []v1alpha1.NodeAgent{nodeAgent("m")}}, true, true, true},
		"released":                {"nobody wants the Node", false, true, &fakeRegister{}, false, false, true},
		"being released":          {"nor one that is about to go", false, true, &fakeRegister{agents: []v1alpha1.NodeAgent{deleting(nodeAgent("m"))}}, false, false, true},
		"another Machine's":       {"the name is somebody else's now", false, true, &fakeRegister{agents: []v1alpha1.NodeAgent{nodeAgent("other")}}, false, false, true},
		"the API server is away":  {"pods lose nothing by it: what runs goes on, and is not made to register", false, true, &fakeRegister{err: errUnreachable}, true, false, false},
		"the API server forbids":  {"that is no word about the NodeAgent", false, true, &fakeRegister{err: forbidden}, true, false, false},
		"no such kind":            {"a 404 for the kind is none for the object", false, true, &fakeRegister{err: noKind}, true, false, false},
		"boots, wanted":           {"the kubelet starts", true, false, &fakeRegister{agents: []v1alpha1.NodeAgent{nodeAgent("m")}}, true, false, true},
		"boots, released":         {"a machine that was released while it was off does not rejoin", true, false, &fakeRegister{}, false, false, true},
		"boots, its Node is here": {"it registers nothing that is not there", true, false, &fakeRegister{node: true}, true, false, true},
		"boots, API is away":      {"without it the kubelet would know no pod, and could come back too early", true, false, &fakeRegister{err: errUnreachable}, false, false, false},
		"boots, API forbids":      {"who took the agent's rights away does not end the node", true, false, &fakeRegister{err: forbidden}, true, false, true},
		"boots, no such kind":     {"nor who removed Drover", true, false, &fakeRegister{err: noKind}, true, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			again := false
			m := New(Options{
				Node: "n", Ask: c.ask, Log: logr.Discard(),
				Machine: func() string { return "m" }, Again: func() { again = true }, Changed: func(string) {},
			})
			if c.missing {
				m.MissNode()
			}
			settled := m.Decide(t.Context(), c.is)
			if m.MayRun() != c.runs || again != c.again || settled != c.settled {
				t.Errorf("the kubelet runs: %v, registers again: %v, settled: %v; want %v, %v, %v: %s", m.MayRun(), again, settled, c.runs, c.again, c.settled, c.reason)
			}
			if !c.ask && !c.missing && c.is.asked > 0 {
				t.Error("it asked")
			}
		})
	}
}

func TestAMachineThatBootsWithoutTheAPIServerRunsItsKubeletButRegistersNoNode(t *testing.T) {
	for name, c := range map[string]struct {
		reason string
		is     *fakeRegister

		runs, registers bool
	}{
		"still away": {"static pods need none, and the Node may be unwanted", &fakeRegister{err: errUnreachable}, true, false},
		"wanted":     {"the kubelet is started anew, with leave to register", &fakeRegister{agents: []v1alpha1.NodeAgent{nodeAgent("m")}}, true, true},
		"released":   {"a machine that was released while it was off does not rejoin", &fakeRegister{}, false, false},
		"its Node":   {"is there, so that it registers nothing that is not", &fakeRegister{node: true}, true, true},
		"forbidden":  {"who took the agent's rights away does not end the node", &fakeRegister{err: forbidden}, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			unanswered, changed := 0, 0
			m := New(Options{
				Node: "n", Ask: true, Patience: time.Millisecond, Log: logr.Discard(), Machine: func() string { return "m" },
				Again: func() { t.Error("it was restarted as one whose Node is missing") }, Changed: func(string) { changed++ }, Unanswered: func() { unanswered++ },
			})
			if m.MayRun() {
				t.Error("it runs before anybody was asked")
			}
			m.Await(t.Context())
			if !m.MayRun() || m.MayRegister() || unanswered != 1 {
				t.Fatalf("without an answer it runs: %t, registers: %t, and that was told %d times", m.MayRun(), m.MayRegister(), unanswered)
			}
			settled := m.Decide(t.Context(), c.is)
			if heard := hears(t, m, settled); heard != settled {
				t.Errorf("an answer was heard: %t, but it was settled: %t", heard, settled)
			}
			if m.MayRun() != c.runs || m.MayRegister() != c.registers {
				t.Errorf("then it runs: %t, registers: %t; want %t, %t: %s", m.MayRun(), m.MayRegister(), c.runs, c.registers, c.reason)
			}
			if told := changed == 1; told != (c.registers || !c.runs) {
				t.Errorf("a change was told %d times", changed)
			}
		})
	}
}

// hears says whether an answer was heard, which is waited for if it should have been.
func hears(t *testing.T, m *Membership, should bool) bool {
	t.Helper()
	patience := 10 * time.Millisecond
	if should {
		patience = 10 * time.Second
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	return m.Heard(ctx)
}

func TestNobodyWaitsForAnAnswerToWhatIsNotOpen(t *testing.T) {
	if !hears(t, New(Options{Node: "n", Log: logr.Discard()}), true) {
		t.Error("an agent whose kubelet runs waits before it watches")
	}
}

func TestAnAnswerThatCameInTimeStands(t *testing.T) {
	for name, is := range map[string]*fakeRegister{"wanted": {agents: []v1alpha1.NodeAgent{nodeAgent("m")}}, "released": {}} {
		m := New(Options{
			Node: "n", Ask: true, Patience: time.Millisecond, Log: logr.Discard(), Machine: func() string { return "m" },
			Changed: func(string) {}, Unanswered: func() { t.Errorf("%s: the kubelet was started without an answer", name) },
		})
		m.Decide(t.Context(), is)
		before := m.MayRun()
		m.Await(t.Context())
		if m.MayRun() != before || m.MayRegister() != before {
			t.Errorf("%s: it runs: %t, registers: %t, by an answer that said %t", name, m.MayRun(), m.MayRegister(), before)
		}
	}
}

// As the next agent finds it, whose kubelet goes on meanwhile.
func TestAKubeletThatRunsWithoutLeaveToRegisterGetsItByTheAnswer(t *testing.T) {
	changed := 0
	m := New(Options{Node: "n", Unheard: true, Log: logr.Discard(), Machine: func() string { return "m" }, Changed: func(string) { changed++ }})
	if !m.MayRun() || m.MayRegister() {
		t.Fatalf("it runs: %t, registers: %t", m.MayRun(), m.MayRegister())
	}
	if !m.Decide(t.Context(), &fakeRegister{agents: []v1alpha1.NodeAgent{nodeAgent("m")}}) || !m.MayRegister() || changed != 1 {
		t.Errorf("it registers: %t, told %d times", m.MayRegister(), changed)
	}
}

func TestANodeThatCameBackByItselfIsLeftAlone(t *testing.T) {
	m := New(Options{Node: "n", Log: logr.Discard(), Machine: func() string { return "" }, Again: func() { t.Error("the kubelet was restarted") }})
	m.MissNode()
	m.SawNode()
	if !m.Decide(t.Context(), &fakeRegister{}) || !m.MayRun() {
		t.Error("the kubelet may not run, though its Node is there")
	}
}

func TestANodeThatIsWantedAgainIsRegistered(t *testing.T) {
	api := &fakeRegister{}
	m := New(Options{Node: "n", Log: logr.Discard(), Machine: func() string { return "m" }, Again: func() {}, Changed: func(string) {}})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); m.Run(ctx, api) }()
	t.Cleanup(func() { cancel(); <-done })
	until := func(what string, ok func() bool) {
		t.Helper()
		if err := wait.PollUntilContextTimeout(t.Context(), 5*time.Millisecond, 10*time.Second, true, func(context.Context) (bool, error) { return ok(), nil }); err != nil {
			t.Fatalf("never: %s", what)
		}
	}
	api.set(func(f *fakeRegister) { f.err = errUnreachable })
	m.MissNode()
	until("a second question", func() bool { api.mu.Lock(); defer api.mu.Unlock(); return api.asked > 1 })
	if !m.MayRun() {
		t.Fatal("an API server that is away stopped the kubelet")
	}
	api.set(func(f *fakeRegister) { f.err = nil })
	until("the kubelet stops", func() bool { return !m.MayRun() })
	api.set(func(f *fakeRegister) { f.agents = []v1alpha1.NodeAgent{nodeAgent("m")} })
	m.SawAgent()
	until("the kubelet runs again", m.MayRun)
}
