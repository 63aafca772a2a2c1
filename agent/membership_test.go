package agent

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/drover-dev/drover/agent/bootreport"
	"github.com/drover-dev/drover/agent/supervise"
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
			m := newMembership("n", c.ask, logr.Discard())
			again := false
			m.machine, m.again, m.changed = func() string { return "m" }, func() { again = true }, func(string) {}
			if c.missing {
				m.missNode()
			}
			settled := m.decide(t.Context(), c.is)
			if m.mayRun() != c.runs || again != c.again || settled != c.settled {
				t.Errorf("the kubelet runs: %v, registers again: %v, settled: %v; want %v, %v, %v: %s", m.mayRun(), again, settled, c.runs, c.again, c.settled, c.reason)
			}
			if !c.ask && !c.missing && c.is.asked > 0 {
				t.Error("it asked")
			}
		})
	}
}

func TestANodeThatCameBackByItselfIsLeftAlone(t *testing.T) {
	m := newMembership("n", false, logr.Discard())
	m.machine, m.again = func() string { return "" }, func() { t.Error("the kubelet was restarted") }
	m.missNode()
	m.sawNode()
	if !m.decide(t.Context(), &fakeRegister{}) || !m.mayRun() {
		t.Error("the kubelet may not run, though its Node is there")
	}
}

func TestANodeThatIsWantedAgainIsRegistered(t *testing.T) {
	api := &fakeRegister{}
	m := newMembership("n", false, logr.Discard())
	m.machine, m.again, m.changed = func() string { return "m" }, func() {}, func(string) {}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); m.run(ctx, api) }()
	t.Cleanup(func() { cancel(); <-done })
	until := func(what string, ok func() bool) {
		t.Helper()
		if err := wait.PollUntilContextTimeout(t.Context(), 5*time.Millisecond, 10*time.Second, true, func(context.Context) (bool, error) { return ok(), nil }); err != nil {
			t.Fatalf("never: %s", what)
		}
	}
	api.set(func(f *fakeRegister) { f.err = errUnreachable })
	m.missNode()
	until("a second question", func() bool { api.mu.Lock(); defer api.mu.Unlock(); return api.asked > 1 })
	if !m.mayRun() {
		t.Fatal("an API server that is away stopped the kubelet")
	}
	api.set(func(f *fakeRegister) { f.err = nil })
	until("the kubelet stops", func() bool { return !m.mayRun() })
	api.set(func(f *fakeRegister) { f.agents = []v1alpha1.NodeAgent{nodeAgent("m")} })
	m.sawAgent()
	until("the kubelet runs again", m.mayRun)
}

func TestAReleasedMachineStopsItsKubeletAndSaysSo(t *testing.T) {
	dir := t.TempDir()
	opts := Options{BootstrapPath: bootstrap(t, dir), StateDir: dir, RunDir: filepath.Join(dir, "run"), Log: logr.Discard()}
	if err := os.MkdirAll(opts.RunDir, 0o755); err != nil {
		t.Fatal(err)
	}
	a, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	a.restarted = true
	a.boot.End()
	processes := []supervise.Process{{Name: v1alpha1.ComponentContainerd}, {Name: v1alpha1.ComponentKubelet}, {Name: v1alpha1.ComponentKubeProxy}}
	names := func() string {
		var names []string
		for _, p := range a.startable(processes) {
			names = append(names, p.Name)
		}
		return strings.Join(names, " ")
	}
	if got := names(); got != "containerd kubelet kube-proxy" {
		t.Fatalf("a node starts %s", got)
	}
	a.members.missNode()
	a.members.decide(t.Context(), &fakeRegister{})
	if got := names(); got != "containerd kube-proxy" {
		t.Errorf("a machine that nobody wants starts %s", got)
	}
	select {
	case <-a.rebuild:
	default:
		t.Error("nothing has the kubelet stopped")
	}
	if got := bootReport(t, opts.RunDir); got.Phase != bootreport.PhaseRegister || got.Reason != v1alpha1.ReasonNodeNotWanted || !strings.Contains(got.Message, "there is no NodeAgent node-1 any more") {
		t.Errorf("the boot report is %+v", got)
	}
	a.members.decide(t.Context(), &fakeRegister{agents: []v1alpha1.NodeAgent{nodeAgent("m")}})
	if got := names(); got != "containerd kubelet kube-proxy" {
		t.Errorf("a node that is wanted again starts %s", got)
	}
	if _, err := os.Stat(bootreport.Path(opts.RunDir)); err == nil {
		t.Error("the boot report is still there")
	}
}

func TestTheMachineThatANodeAgentIsOfIsRemembered(t *testing.T) {
	g := &generation{}
	first, second := nodeAgent("m"), nodeAgent("other")
	if g = g.next(&first); g.MachineUID != "m" {
		t.Errorf("got %q", g.MachineUID)
	}
	if g = g.next(&second); g.MachineUID != "m" {
		t.Errorf("another Machine's took over: %q", g.MachineUID)
	}
}
