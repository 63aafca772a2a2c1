package gitops

import (
	"fmt"
	"os"
	"path"
	"strings"
	"testing"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
)

const (
	pool    = "fleet.drover.dev/NodePool"
	bundle  = "fleet.drover.dev/NodeBundle"
	host    = "fleet.drover.dev/Host"
	machine = "cluster.x-k8s.io/Machine"
)

// What Argo CD has for an object.
const (
	healthy     = "Healthy"
	progressing = "Progressing"
	degraded    = "Degraded"
	suspended   = "Suspended"
)

// verdicts are how Argo CD and kstatus are to read an object.
type verdicts struct {
	reason  string
	argo    string
	kstatus status.Status
}

// wanted has all states that are recorded.
var wanted = map[string]verdicts{
	pool + "/just-applied":    {"nobody has looked at it, and so nobody knows", progressing, status.InProgressStatus},
	pool + "/joining":         {"its machines are made", progressing, status.InProgressStatus},
	pool + "/healthy":         {"all is as it says", healthy, status.CurrentStatus},
	pool + "/edited":          {"what its status says is of what it was before", progressing, status.InProgressStatus},
	pool + "/updating":        {"a node is on its way", progressing, status.InProgressStatus},
	pool + "/rolled-back":     {"it does not go on without a person", degraded, status.FailedStatus},
	pool + "/stalled":         {"it does not go on without a person", degraded, status.FailedStatus},
	pool + "/paused":          {"somebody stopped it, and nothing is left to do: nobody need wait for it", suspended, status.CurrentStatus},
	pool + "/paused-undone":   {"somebody stopped it, and whoever waits for it waits in vain", suspended, status.FailedStatus},
	pool + "/unready":         {"a node may come back by itself", progressing, status.InProgressStatus},
	pool + "/repair-frozen":   {"too much is wrong for anything to be done without a person", degraded, status.InProgressStatus},
	pool + "/drain-blocked":   {"a budget may give way by itself", progressing, status.InProgressStatus},
	pool + "/scaling-down":    {"nodes are drained", progressing, status.InProgressStatus},
	pool + "/deleting":        {"nodes are drained", progressing, status.TerminatingStatus},
	pool + "/deleting-paused": {"somebody stopped that, too, which Argo CD asks no script about", progressing, status.TerminatingStatus},

	bundle + "/applied": {"nothing becomes of it", healthy, status.CurrentStatus},

	host + "/just-applied":  {"nobody has looked at it", progressing, status.InProgressStatus},
	host + "/available":     {"it is free and fit", healthy, status.CurrentStatus},
	host + "/claimed":       {"it serves a machine", healthy, status.CurrentStatus},
	host + "/cleaning":      {"it is on its way", progressing, status.InProgressStatus},
	host + "/deleting":      {"it goes when its machine does", progressing, status.TerminatingStatus},
	host + "/unschedulable": {"somebody keeps it back", suspended, status.InProgressStatus},
	host + "/quarantined":   {"somebody wants to look at it", suspended, status.InProgressStatus},
	host + "/unreachable":   {"somebody has to see to it", degraded, status.InProgressStatus},
	host + "/unfit":         {"somebody has to see to it", degraded, status.InProgressStatus},
	host + "/not-cleaned":   {"somebody has to see to it", degraded, status.InProgressStatus},

	machine + "/pending":   {"it has no node yet", progressing, status.InProgressStatus},
	machine + "/running":   {"its node is ready", healthy, status.CurrentStatus},
	machine + "/not-ready": {"its node was ready, and is not", degraded, status.InProgressStatus},
	machine + "/paused":    {"Cluster API leaves it alone", suspended, status.CurrentStatus},
	machine + "/draining":  {"its pods are moved", progressing, status.TerminatingStatus},
}

func TestArgoCDAndKstatusReadEachStateAsItIs(t *testing.T) {
	page, err := os.ReadFile("../../docs/gitops.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, state := range states(t) {
		t.Run(state, func(t *testing.T) {
			want, ok := wanted[state]
			if !ok {
				t.Fatal("it is recorded, and nothing says how it is to be read")
			}
			kind, name := path.Dir(state), path.Base(state)
			o := object(t, kind, name)
			got, err := healthOf(setting(t, "health", kind), o)
			if err != nil {
				t.Fatal(err)
			}
			if got.Status != want.argo || got.Message == "" {
				t.Errorf("%s: Argo CD has %+v, want %s", want.reason, got, want.argo)
			}
			flux, err := status.Compute(o)
			if err != nil {
				t.Fatal(err)
			}
			if flux.Status != want.kstatus {
				t.Errorf("%s: kstatus has %s (%s), want %s", want.reason, flux.Status, flux.Message, want.kstatus)
			}
			// What the page shows is what the scripts say.
			row := fmt.Sprintf("| %s | %s | %s | %s |", name, got.Status, flux.Status, strings.Join(strings.Fields(got.Message), " "))
			t.Log(row)
			if !strings.Contains(string(page), row+"\n") {
				t.Errorf("docs/gitops.md does not show %s as\n%s", state, row)
			}
		})
	}
	if recorded := len(states(t)); recorded != len(wanted) {
		t.Errorf("%d states are recorded, of %d", recorded, len(wanted))
	}
}

// TestAHealthScriptNeedsNoStatus: objects come without one, and with half of one.
func TestAHealthScriptNeedsNoStatus(t *testing.T) {
	for kind, want := range map[string]string{pool: progressing, bundle: healthy, host: progressing, machine: progressing} {
		state := map[string]string{pool: "healthy", bundle: "applied", host: "available", machine: "running"}[kind]
		for what, spoil := range map[string]func(map[string]any){
			"no status":     func(o map[string]any) { delete(o, "status") },
			"an empty one":  func(o map[string]any) { o["status"] = map[string]any{} },
			"no conditions": func(o map[string]any) { o["status"] = map[string]any{"observedGeneration": int64(1)} },
		} {
			o := object(t, kind, state)
			o.SetGeneration(1)
			spoil(o.Object)
			if got, err := healthOf(setting(t, "health", kind), o); err != nil || got.Status != want {
				t.Errorf("%s with %s is %+v (%v), want %s", kind, what, got, err, want)
			}
		}
	}
}
