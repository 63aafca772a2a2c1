package join

import (
	"context"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/events"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/sides"
)

// counted is an API server that is read live, and counts it.
type counted struct {
	client.Reader
	gets, lists int
}

func (c *counted) Get(ctx context.Context, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
	c.gets++
	return c.Reader.Get(ctx, key, object, options...)
}

func (c *counted) List(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	c.lists++
	return c.Reader.List(ctx, list, options...)
}

// approver is one whose cache has the objects, and the API server the same.
func approver(t *testing.T, objects ...client.Object) (*world, *ApprovalReconciler, *counted) {
	t.Helper()
	w := newWorld(t, objects...)
	live := &counted{Reader: w}
	side := sides.Side{Client: w, Live: live}
	return w, &ApprovalReconciler{Management: side, Workload: side, Recorder: events.NewFakeRecorder(10), Clock: w.clock}, live
}

func look(t *testing.T, r *ApprovalReconciler, request client.Object) time.Duration {
	t.Helper()
	result, err := r.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(request)})
	if err != nil {
		t.Fatal(err)
	}
	return result.RequeueAfter
}

// TestARequestThatWaitsCostsLittle, for as long as it waits, and is answered when what it waits for is there.
func TestARequestThatWaitsCostsLittle(t *testing.T) {
	request, f := servingDraft(t).sign(t), testFacts(t, servingDraft(t).sign(t))
	joinFacts(f)
	f.agent.Labels[v1alpha1.PoolNamespaceLabel] = f.machine.Namespace
	f.machine.Status.Addresses, f.machine.Status.Initialization.InfrastructureProvisioned = nil, nil
	w, r, live := approver(t, f.machine, f.agent, f.node, request)

	hour := w.clock.Now().Add(time.Hour)
	for w.clock.Now().Before(hour) {
		after := look(t, r, request)
		if after == 0 {
			t.Fatal("a request that waits is not looked at again")
		}
		w.clock.SetTime(w.clock.Now().Add(after))
	}
	// It is looked at after 10, 20, 40, 80 and 160 seconds, then all five minutes; each time the NodeAgent, the Node, the
	// Machine, the pool and the infrastructure machine are read.
	const looks, reads = 18, 5
	if live.gets > looks*reads || live.lists > 0 {
		t.Errorf("in an hour %d objects and %d lists were read; at most %d looks with %d reads each are enough", live.gets, live.lists, looks, reads)
	}

	before := f.machine.DeepCopy()
	must(t, w.Get(t.Context(), client.ObjectKeyFromObject(f.machine), f.machine))
	f.machine.Status.Addresses = testMachine().Status.Addresses
	must(t, w.Status().Update(t.Context(), f.machine))
	if !whatRequestsWaitFor.Update(event.UpdateEvent{ObjectOld: before, ObjectNew: f.machine}) {
		t.Error("a Machine that gets its addresses is no news")
	}
	if got := r.requestsOfMachine(t.Context(), f.machine); len(got) != 1 || got[0].Name != request.Name {
		t.Errorf("a change of its Machine looks at %v", got)
	}
	live.gets = 0
	if after := look(t, r, request); after != 0 || live.gets > 0 {
		t.Errorf("it is looked at again after %s, and took %d live reads", after, live.gets)
	}
	must(t, w.Get(t.Context(), client.ObjectKeyFromObject(request), request))
	if !isApproved(request) {
		t.Errorf("it has %+v, want it approved", request.Status.Conditions)
	}
	if got := r.requestsOfMachine(t.Context(), f.machine); len(got) != 0 {
		t.Errorf("a change of the Machine looks at %v, which is answered", got)
	}
}

// TestAKubeletThatIsNotOursCostsTwoReads, and nothing after the first look.
func TestAKubeletThatIsNotOursCostsTwoReads(t *testing.T) {
	request := servingDraft(t).sign(t)
	node := &corev1.Node{}
	node.Name = nodeX
	other := testMachine()
	other.Name = "another"
	_, r, live := approver(t, node, other, request)
	if after := look(t, r, request); after != 0 {
		t.Errorf("it is looked at again after %s", after)
	}
	if live.gets > 2 || live.lists > 0 {
		t.Errorf("%d objects and %d lists were read", live.gets, live.lists)
	}
	labelled := request.DeepCopy()
	labelled.Labels = map[string]string{"seen": "by another"}
	if !onceMade.Create(event.CreateEvent{Object: request}) || onceMade.Update(event.UpdateEvent{ObjectOld: request, ObjectNew: labelled}) ||
		onceMade.Delete(event.DeleteEvent{Object: request}) {
		t.Error("want one look, when it is made")
	}
}

// TestAMachineWithoutItsNodeAgentIsFound in the cache, where it has been for long, or live where the request would be denied.
func TestAMachineWithoutItsNodeAgentIsFound(t *testing.T) {
	cases := []struct {
		reason        string
		draft         *draft
		cached, there bool
		lists         int
		answered      bool
	}{
		{"the kubelet of a Machine whose NodeAgent somebody deleted", renewalDraft(t), true, true, 0, true},
		{"the same, of a Machine that is gone", renewalDraft(t), true, false, 0, false},
		{"an agent whose Machine the cache does not show yet", agentDraft(t), false, true, 1, true},
	}
	for _, c := range cases {
		request, machine := c.draft.sign(t), testMachine()
		w, r, live := approver(t, request)
		with := newWorld(t, request, machine)
		if c.cached {
			r.Management.Client = with
		}
		if c.there {
			live.Reader = with
		}
		look(t, r, request)
		must(t, w.Get(t.Context(), client.ObjectKeyFromObject(request), request))
		if isApproved(request) != c.answered || !c.answered && !isUndecided(request) || live.lists != c.lists {
			t.Errorf("%s: got %+v after %d lists; want it approved: %t, after %d", c.reason, request.Status.Conditions, live.lists, c.answered, c.lists)
		}
	}
}

// TestWhatRequestsDoNotWaitForIsNoNews, as a Machine's conditions change all the time.
func TestWhatRequestsDoNotWaitForIsNoNews(t *testing.T) {
	before, after := testMachine(), testMachine()
	after.Labels["another"] = "label"
	after.Status.Phase = string(clusterv1.MachinePhaseRunning)
	if whatRequestsWaitFor.Update(event.UpdateEvent{ObjectOld: before, ObjectNew: after}) {
		t.Error("a change that no request waits for is looked at")
	}
	after.Spec.ProviderID = "aws:///i-1"
	if !whatRequestsWaitFor.Update(event.UpdateEvent{ObjectOld: before, ObjectNew: after}) {
		t.Error("a provider ID is no news")
	}
}
