package host

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/fence"
	"github.com/drover-dev/drover/controllers/nodeagent"
	"github.com/drover-dev/drover/controllers/sides"
)

// removeByForce is what somebody does who does not wait for a release.
func (s *site) removeByForce(host string) {
	s.t.Helper()
	h := s.host(host)
	if err := s.Client.Delete(s.t.Context(), h); err != nil {
		s.t.Fatal(err)
	}
	err := s.Client.Patch(s.t.Context(), h, client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`)))
	if client.IgnoreNotFound(err) != nil {
		s.t.Fatal(err)
	}
	if h = s.look(host); h != nil {
		s.t.Fatalf("the Host is still there: %+v", h.Finalizers)
	}
}

func TestAHostThatIsRemovedByForce(t *testing.T) {
	for when, test := range map[string]struct {
		reason string
		// until makes a machine of the server so far, and has the Host removed.
		until       func(s *site, b *box, machine string)
		provisioned bool
	}{
		"before": {"nobody reached the server, and whether anybody did is not known", func(s *site, b *box, machine string) {
			b.DropAfter(0)
			s.make(machine)
			s.removeByForce("a")
		}, false},
		"during": {"the installation ends, and its Host is not there any more", func(s *site, b *box, machine string) {
			b.put(s.t, "install-hangs", "")
			var made sync.WaitGroup
			made.Go(func() {
				if _, err := s.machines.Reconcile(s.t.Context(), s.request(machine)); err != nil {
					s.t.Error(err)
				}
			})
			if !s.eventually(func() bool { return b.has("drover-host/bootstrap.json") }) {
				s.t.Error("nothing is installed")
			}
			s.removeByForce("a")
			if err := os.Remove(filepath.Join(b.dir, "install-hangs")); err != nil {
				s.t.Error(err)
			}
			made.Wait()
			if m := s.hostMachine(machine); ready(m.Status.Conditions) != "False HostGone" {
				s.t.Errorf("when its installation ends, the machine is %+v", m.Status.Conditions)
			}
		}, true},
		"after": {"a machine that runs has no Host any more", func(s *site, _ *box, machine string) {
			m := s.make(machine)
			s.removeByForce("a")
			m.Annotations = nil // what names its Host may be lost as well
			if err := s.Client.Update(s.t.Context(), m); err != nil {
				s.t.Error(err)
			}
		}, true},
	} {
		t.Run(when, func(t *testing.T) {
			s := newSite(t)
			machine := s.namespace + "-m" // its NodeAgent has no namespace
			b := s.box("a")
			s.look("a")
			s.machine(machine)
			s.agentOf(machine)
			test.until(s, b, machine)
			s.box("free")
			s.look("free")

			m := s.make(machine)
			if got := ready(m.Status.Conditions); got != "False HostGone" || ptr.Deref(m.Status.Initialization.Provisioned, false) != test.provisioned {
				t.Fatalf("%s: the machine is %s, provisioned %v: %+v", test.reason, got, m.Status.Initialization.Provisioned, m.Status.Conditions)
			}
			for _, want := range []string{"The Host a is gone", "delete the Machine", "/var/lib/drover-host/drover-agent reset"} {
				if message := m.Status.Conditions[0].Message; !strings.Contains(message, want) {
					t.Errorf("%s: the machine says %q, want %q", test.reason, message, want)
				}
			}
			if told := strings.Join(s.told(), "\n"); !strings.Contains(told, "Warning HostGone The Host a is gone") {
				t.Errorf("%s: the events are %q", test.reason, told)
			}
			if claim, err := claimOf(s.host("free")); claim != nil || err != nil {
				t.Errorf("%s: what may be on one server was given to another: %+v, %v", test.reason, claim, err)
			}

			s.remove(machine)
			if m := s.make(machine); m != nil {
				t.Errorf("%s: the deletion of the machine does not end: %+v", test.reason, m.Status.Conditions)
			}
			s.wantFenced(machine)

			// The server may be told of again. Where something was begun, it is not clean, and says whose it was.
			b.Heal()
			s.create(b.Host())
			h, want, whose := s.look("a"), "True Available", ""
			if test.provisioned {
				want, whose = "False ForeignHost", "HostMachine "+s.namespace+"/"+machine
			}
			if got := ready(h.Status.Conditions); got != want || !strings.Contains(*messageOf(h), whose) {
				t.Errorf("%s: the server that is told of again is %s: %s", test.reason, got, *messageOf(h))
			}
		})
	}
}

// agentOf makes the NodeAgent of a Machine, as its controller does for a pool's.
func (s *site) agentOf(machine string) {
	s.t.Helper()
	owner := &clusterv1.Machine{}
	if err := s.Client.Get(s.t.Context(), s.request(machine).NamespacedName, owner); err != nil {
		s.t.Fatal(err)
	}
	agent := &v1alpha1.NodeAgent{ObjectMeta: metav1.ObjectMeta{Name: machine, Labels: map[string]string{
		v1alpha1.PoolNamespaceLabel: s.namespace, v1alpha1.MachineUIDLabel: string(owner.UID),
	}}, Spec: v1alpha1.NodeAgentSpec{Revision: "abc", Version: "v1.36.3",
		Artifacts: []v1alpha1.Artifact{{Architecture: "amd64", Image: "192.0.2.1:5443/bundles/kubernetes@sha256:" + strings.Repeat("a", 64)}},
		Cluster:   v1alpha1.ClusterSettings{Server: "https://192.0.2.1:6443", ServerCA: "x", ClientCA: "x"},
	}}
	s.create(agent)
	s.t.Cleanup(func() {
		if err := client.IgnoreNotFound(s.Client.Delete(context.WithoutCancel(s.t.Context()), agent)); err != nil {
			s.t.Error(err)
		}
	})
}

// wantFenced wants the node of a Machine that is gone to be kept out.
func (s *site) wantFenced(machine string) {
	s.t.Helper()
	cluster := sides.Side{Client: s.Client, Live: s.Client}
	agents := &nodeagent.Reconciler{Management: cluster, Workload: cluster, Recorder: events.NewFakeRecorder(10), Clock: clock.RealClock{}}
	// The list is one for the tests that run beside this one, and two writes at once conflict.
	if !s.eventually(func() bool {
		_, err := agents.Reconcile(s.t.Context(), s.request(machine))
		return err == nil
	}) {
		s.t.Error("the NodeAgent of a Machine that is gone stays")
	}
	if fenced, err := (fence.List{Workload: cluster}).Has(s.t.Context(), machine); err != nil || !fenced {
		s.t.Errorf("the node of a machine whose Host is gone may come back: %v", err)
	}
}
