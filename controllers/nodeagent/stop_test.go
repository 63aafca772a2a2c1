package nodeagent

import (
	"context"
	"errors"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/events"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/sides"
	"github.com/drover-dev/drover/controllers/stop"
)

// moved are the facts of a cluster whose API server is another one now.
type moved struct{ none }

func (moved) Update(_ context.Context, has v1alpha1.ClusterSettings) (v1alpha1.ClusterSettings, error) {
	has.Server = "https://10.88.0.2:6443"
	return has, nil
}

// halting is a machine of a pool, with its NodeAgent that somebody has edited, in a fleet that may be stopped.
type halting struct {
	t *testing.T
	client.WithWatch
	reconciler *Reconciler
	machine    *clusterv1.Machine
	agent      *v1alpha1.NodeAgent
	node       *corev1.Node
	unreadable error
}

func newHalting(t *testing.T, edits ...func(*halting)) *halting {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{v1alpha1.AddToScheme, appsv1.AddToScheme, clusterv1.AddToScheme, corev1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	pool := &v1alpha1.NodePool{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "workers", UID: "pool"}}
	pool.Spec.Template.Metadata.Labels = map[string]v1alpha1.LabelValue{"tier": "web"}
	name := v1alpha1.MachineName(pool, 0)
	h := &halting{t: t, machine: &clusterv1.Machine{}, agent: &v1alpha1.NodeAgent{}, node: &corev1.Node{}}
	h.machine.Namespace, h.machine.Name, h.machine.UID = pool.Namespace, name, "machine"
	h.machine.Labels = map[string]string{v1alpha1.PoolLabel: pool.Name, v1alpha1.PoolUIDLabel: string(pool.UID), v1alpha1.RevisionLabel: "abc"}
	h.machine.Status.NodeRef.Name = name
	h.agent.Name, h.agent.Labels = name, agentLabels(h.machine)
	h.agent.Spec.Revision, h.agent.Spec.Version, h.agent.Spec.Kubelet.MaxPods = "abc", "v1.36.5", ptr.To[int32](7)
	h.agent.Status.CurrentRevision = "abc"
	h.node.Name, h.node.Annotations = name, map[string]string{v1alpha1.NodeTemplateAnnotation: "{}"}
	thrown := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{
		Namespace: "own", Name: v1alpha1.StopName, Annotations: map[string]string{v1alpha1.StopAnnotation: "a fire"},
	}}
	for _, edit := range edits {
		edit(h)
	}
	c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(pool, h.machine, h.agent, h.node, thrown, storedRevision(t, "abc")).WithStatusSubresource(h.machine).Build()
	h.WithWatch = interceptor.NewClient(c, interceptor.Funcs{Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, into client.Object, options ...client.GetOption) error {
		if _, is := into.(*corev1.ConfigMap); is && h.unreadable != nil {
			return h.unreadable
		}
		return c.Get(ctx, key, into, options...)
	}})
	side := sides.Side{Client: h, Live: h}
	h.reconciler = &Reconciler{
		Management: side, Workload: side, Facts: moved{}, Recorder: events.NewFakeRecorder(8), Clock: clocktesting.NewFakePassiveClock(made),
		Stop: &stop.Switch{Reader: h, Namespace: "own"},
	}
	return h
}

// look is one look at the machine. It says what came of what somebody edited, of the facts and of the Node's labels.
func (h *halting) look() (edited, served, labelled bool) {
	h.t.Helper()
	if _, err := h.reconciler.Reconcile(h.t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(h.machine)}); !errors.Is(err, h.unreadable) {
		h.t.Fatal(err)
	}
	for _, object := range []client.Object{h.agent, h.node} {
		if err := h.Get(h.t.Context(), client.ObjectKeyFromObject(object), object); err != nil {
			h.t.Fatal(err)
		}
	}
	return h.agent.Spec.Kubelet.MaxPods != nil, h.agent.Spec.Cluster.Server != "", h.node.Labels["tier"] != ""
}

func (h *halting) goOn() {
	h.t.Helper()
	thrown := &corev1.ConfigMap{}
	if err := h.Get(h.t.Context(), client.ObjectKey{Namespace: "own", Name: v1alpha1.StopName}, thrown); err != nil {
		h.t.Fatal(err)
	}
	if err := h.Delete(h.t.Context(), thrown); err != nil {
		h.t.Fatal(err)
	}
}

func TestAStoppedFleetsNodesAreLeftAsTheyAre(t *testing.T) {
	h := newHalting(t)
	if edited, served, labelled := h.look(); !edited || served || labelled {
		t.Errorf("in a stopped fleet: still edited %t, given other facts %t, labelled %t", edited, served, labelled)
	}
	h.unreadable = errors.New("etcdserver: request timed out")
	h.look()
	h.unreadable = nil
	h.goOn()
	if edited, served, labelled := h.look(); edited || !served || !labelled {
		t.Errorf("when it goes on: still edited %t, given other facts %t, labelled %t", edited, served, labelled)
	}
}

func TestNobodyChangesANodeWhoCannotTellWhetherTheFleetIsStopped(t *testing.T) {
	h := newHalting(t)
	h.goOn()
	h.unreadable = errors.New("etcdserver: request timed out")
	if edited, served, labelled := h.look(); !edited || served || labelled {
		t.Errorf("still edited %t, given other facts %t, labelled %t", edited, served, labelled)
	}
}

func TestMachinesOfAStoppedFleetJoin(t *testing.T) {
	h := newHalting(t, func(h *halting) {
		h.machine.Status.NodeRef.Name, h.agent.Status.CurrentRevision = "", ""
		h.node.Annotations, h.node.Labels = nil, map[string]string{}
		h.node.CreationTimestamp = metav1.NewTime(made)
	})
	if edited, served, labelled := h.look(); edited || !served || !labelled {
		t.Errorf("one that is made meanwhile: still edited %t, given other facts %t, labelled %t", edited, served, labelled)
	}
}
