package nodepool_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// counts checks how many Machines stay and how many leave.
func (s *site) counts(active, leaving int) error {
	a, l := 0, 0
	for _, m := range s.machines() {
		if m.DeletionTimestamp.IsZero() {
			a++
		} else {
			l++
		}
	}
	if a != active || l != leaving {
		return fmt.Errorf("%d Machines are active and %d leaving, want %d and %d", a, l, active, leaving)
	}
	return nil
}

func TestLifeOfAPool(t *testing.T) {
	s := newSite(t)
	recorder := s.startManager()
	pool := s.pool("workers", 2)
	s.create(pool)

	s.eventually("two machines are made", func() error {
		return errors.Join(s.counts(2, 0), s.hasCondition(pool, v1alpha1.ReconcilingCondition, v1alpha1.ReasonWaitingForMachines))
	})
	s.checkMachine(pool, v1alpha1.MachineName(pool, 0))
	s.checkRevision(pool)

	s.eventually("the pool is ready", func() error {
		s.clusterAPI()
		return s.hasCondition(pool, v1alpha1.ReadyCondition, v1alpha1.ReasonAllReplicasReady)
	})
	if pool.Status.Reserved != nil || *pool.Status.ReadyReplicas != 2 || *pool.Status.NextOrdinal != 2 {
		t.Errorf("the status counts: %+v", pool.Status)
	}

	update(s, pool, func(p *v1alpha1.NodePool) { p.Spec.Replicas = ptr.To[int32](4) })
	s.eventually("two more are made", func() error { return s.counts(4, 0) })
	s.clusterAPI()
	update(s, pool, func(p *v1alpha1.NodePool) { p.Spec.Replicas = ptr.To[int32](1) })
	s.eventually("the newest three leave, and their ordinals are released", func() error {
		for _, m := range s.machines() {
			if !m.DeletionTimestamp.IsZero() && len(m.Finalizers) != 1 {
				return fmt.Errorf("%s has finalizers %v", m.Name, m.Finalizers)
			}
		}
		return s.counts(1, 3)
	})
	s.eventually("one is left", func() error {
		s.clusterAPI()
		return errors.Join(s.counts(1, 0), s.hasCondition(pool, v1alpha1.ReadyCondition, v1alpha1.ReasonAllReplicasReady))
	})

	by := s.machines()[0]
	if err := s.Client.Delete(t.Context(), &by); err != nil {
		t.Fatal(err)
	}
	s.eventually("a machine deleted by hand is replaced under a new name", func() error {
		replacement := &clusterv1.Machine{}
		return errors.Join(s.counts(1, 1), s.Client.Get(t.Context(), client.ObjectKey{Namespace: s.namespace, Name: v1alpha1.MachineName(pool, 4)}, replacement))
	})

	if err := s.Client.Delete(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	s.eventually("the pool waits for its machines", func() error {
		return errors.Join(s.counts(0, 2), s.hasCondition(pool, v1alpha1.ReadyCondition, v1alpha1.ReasonDeleting))
	})
	s.eventually("then it goes, with all it made", func() error {
		s.clusterAPI()
		revisions := &appsv1.ControllerRevisionList{}
		if err := s.Client.List(t.Context(), revisions, client.InNamespace(s.namespace)); err != nil {
			return err
		}
		if n := len(revisions.Items) + len(s.localMachines()); n > 0 {
			return fmt.Errorf("%d objects are left", n)
		}
		if err := s.Client.Get(t.Context(), client.ObjectKeyFromObject(pool), pool); !apierrors.IsNotFound(err) {
			return errors.Join(errors.New("the pool is there"), err)
		}
		return s.counts(0, 0)
	})
	close(recorder.Events)
	var seen []string
	for e := range recorder.Events {
		seen = append(seen, e)
	}
	all := strings.Join(seen, "\n")
	for _, want := range []string{
		"Normal MachineCreated Created Machine " + v1alpha1.MachineName(pool, 0) + ": the pool wants 2, and 0 are there",
		"Normal MachineDeleted Deleted Machine " + v1alpha1.MachineName(pool, 3) + ": the pool was scaled down to 1, and it is the newest",
	} {
		if !strings.Contains(all, want) {
			t.Errorf("an event is missing: %s\nseen:\n%s", want, all)
		}
	}
}

// checkMachine holds a Machine and its infrastructure machine to the contract that the other controllers rest on.
func (s *site) checkMachine(pool *v1alpha1.NodePool, name string) {
	s.t.Helper()
	key := client.ObjectKey{Namespace: s.namespace, Name: name}
	m, infra, cluster := &clusterv1.Machine{}, &v1alpha1.LocalMachine{}, &clusterv1.Cluster{}
	for k, o := range map[client.ObjectKey]client.Object{{Namespace: s.namespace, Name: v1alpha1.AdoptedClusterName}: cluster, key: m} {
		if err := s.Client.Get(s.t.Context(), k, o); err != nil {
			s.t.Fatal(err)
		}
	}
	if err := s.Client.Get(s.t.Context(), key, infra); err != nil {
		s.t.Fatal(err)
	}
	labels := map[string]string{
		v1alpha1.PoolLabel: pool.Name, v1alpha1.PoolUIDLabel: string(pool.UID), v1alpha1.RevisionLabel: pool.Status.Revision,
		v1alpha1.OrdinalLabel: "0", clusterv1.ClusterNameLabel: v1alpha1.AdoptedClusterName,
		clusterv1.WatchLabel: "drover",
	}
	poolOwner := metav1.OwnerReference{APIVersion: "fleet.drover.dev/v1alpha1", Kind: "NodePool", Name: pool.Name, UID: pool.UID, BlockOwnerDeletion: ptr.To(true)}
	want := clusterv1.Machine{
		ObjectMeta: metav1.ObjectMeta{
			Labels: labels, Finalizers: []string{clusterv1.MachineFinalizer, v1alpha1.OrdinalFinalizer},
			OwnerReferences: []metav1.OwnerReference{poolOwner, {APIVersion: "cluster.x-k8s.io/v1beta2", Kind: "Cluster", Name: "drover", UID: cluster.UID}},
		},
		Spec: clusterv1.MachineSpec{
			ClusterName: "drover", Version: s.version, ProviderID: v1alpha1.LocalProviderIDPrefix + s.namespace + "/" + name, Bootstrap: clusterv1.Bootstrap{DataSecretName: ptr.To(name + "-bootstrap")},
			InfrastructureRef: clusterv1.ContractVersionedObjectReference{APIGroup: "fleet.drover.dev", Kind: "LocalMachine", Name: name},
			ReadinessGates:    []clusterv1.MachineReadinessGate{{ConditionType: "AgentHealthy"}},
			Deletion:          clusterv1.MachineDeletionSpec{NodeVolumeDetachTimeoutSeconds: ptr.To[int32](300), NodeDeletionTimeoutSeconds: ptr.To[int32](0)},
		},
	}
	got := clusterv1.Machine{ObjectMeta: metav1.ObjectMeta{Labels: m.Labels, Finalizers: m.Finalizers, OwnerReferences: m.OwnerReferences}, Spec: m.Spec}
	if diff := cmp.Diff(want, got); diff != "" {
		s.t.Errorf("the Machine (-want +got):\n%s", diff)
	}
	labels["from"] = "template"
	if diff := cmp.Diff(labels, infra.Labels); diff != "" {
		s.t.Errorf("the infrastructure machine has the template's labels and ours (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]metav1.OwnerReference{poolOwner}, infra.OwnerReferences); diff != "" || *infra.Spec.CPUs != 2 ||
		infra.Annotations[clusterv1.TemplateClonedFromNameAnnotation] != "small" {
		s.t.Errorf("the infrastructure machine is a clone that the pool owns and does not control: %+v\n%s", infra, diff)
	}
}

func (s *site) checkRevision(pool *v1alpha1.NodePool) {
	s.t.Helper()
	stored := &appsv1.ControllerRevision{}
	key := client.ObjectKey{Namespace: s.namespace, Name: v1alpha1.RevisionName(pool.Name, pool.Status.Revision)}
	if err := s.Client.Get(s.t.Context(), key, stored); err != nil {
		s.t.Fatal(err)
	}
	var spec v1alpha1.NodeAgentSpec
	if err := json.Unmarshal(stored.Data.Raw, &spec); err != nil {
		s.t.Fatal(err)
	}
	if spec.Revision != pool.Status.Revision || spec.Version != s.version || len(spec.Artifacts) != 1 || spec.Cluster.Server != "" ||
		spec.Network.Mode != v1alpha1.NetworkModeRoutes || stored.Labels[v1alpha1.PoolUIDLabel] != string(pool.UID) {
		s.t.Errorf("the revision holds what a node needs: %+v, labels %v", spec, stored.Labels)
	}
}

func TestOneNameInTwoNamespaces(t *testing.T) {
	one, other := newSite(t), newLoneSite(t)
	one.beside = []string{other.namespace}
	one.startManager()
	for _, s := range []*site{one, other} {
		s.create(s.pool("workers", 1))
	}
	one.eventually("each pool gets its machine", func() error { return errors.Join(one.counts(1, 0), other.counts(1, 0)) })
	if a, b := one.machines()[0].Name, other.machines()[0].Name; a == b {
		t.Errorf("two Nodes would be called %s", a)
	}
}

func TestLabelsAndTaintsMakeNoRevision(t *testing.T) {
	s := newSite(t)
	s.startManager()
	pool := s.pool("workers", 0)
	s.create(pool)
	ready := func() error {
		if err := s.hasCondition(pool, v1alpha1.ReadyCondition, v1alpha1.ReasonAllReplicasReady); err != nil {
			return err
		}
		if pool.Status.ObservedGeneration != pool.Generation {
			return fmt.Errorf("generation %d, observed %d", pool.Generation, pool.Status.ObservedGeneration)
		}
		return nil
	}
	s.eventually("an empty pool is ready", ready)
	before := pool.Status.Revision
	update(s, pool, func(p *v1alpha1.NodePool) {
		p.Spec.Template.Metadata.Labels = map[string]v1alpha1.LabelValue{"tier": "web"}
		p.Spec.Template.Spec.Taints = []v1alpha1.Taint{{Key: "web", Effect: "NoSchedule"}}
	})
	s.eventually("the edit is observed", ready)
	if pool.Status.Revision != before {
		t.Errorf("labels and taints are patched live: revision %s became %s", before, pool.Status.Revision)
	}
	update(s, pool, func(p *v1alpha1.NodePool) { p.Spec.Template.Spec.Kubelet.MaxPods = ptr.To[int32](50) })
	s.eventually("the edit is observed", ready)
	if pool.Status.Revision == before {
		t.Error("a setting of the kubelet makes another revision")
	}
}

func TestNodeNameTaken(t *testing.T) {
	s := newSite(t)
	pool := s.pool("workers", 2)
	s.create(pool)
	s.create(s.node(v1alpha1.MachineName(pool, 0)))
	recorder := s.startManager()
	s.eventually("the machines get the next names", func() error {
		for _, m := range s.machines() {
			if m.Name == v1alpha1.MachineName(pool, 0) {
				t.Fatal("a machine was made that cannot become a node")
			}
		}
		return s.counts(2, 0)
	})
	s.eventually("an event says what to do", func() error {
		for {
			select {
			case e := <-recorder.Events:
				if strings.HasPrefix(e, "Warning NodeNameTaken Passed over "+v1alpha1.MachineName(pool, 0)) {
					return nil
				}
			default:
				return errors.New("no event")
			}
		}
	})
}

// TestClusterDeletedInUse is kubectl delete cluster drover: its finalizer holds the Cluster while there are pools, and
// these go on.
func TestClusterDeletedInUse(t *testing.T) {
	s := newSite(t)
	cluster := &clusterv1.Cluster{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: v1alpha1.AdoptedClusterName}}
	update(s, cluster, func(c *clusterv1.Cluster) {
		c.Finalizers = append(c.Finalizers, v1alpha1.AdoptedClusterFinalizer, "example.com/kept")
	})
	if err := s.Client.Delete(t.Context(), cluster); err != nil {
		t.Fatal(err)
	}
	s.startManager()
	pool := s.pool("workers", 1)
	s.create(pool)
	s.eventually("the machine is made", func() error { return s.counts(1, 0) })
	update(s, pool, func(p *v1alpha1.NodePool) { p.Spec.Replicas = ptr.To[int32](2) })
	s.eventually("the pool is scaled up", func() error { return s.counts(2, 0) })

	update(s, cluster, func(c *clusterv1.Cluster) { c.Finalizers = []string{"example.com/kept"} })
	update(s, pool, func(p *v1alpha1.NodePool) { p.Spec.Replicas = ptr.To[int32](3) })
	s.eventually("a Cluster that was let go is waited for", func() error {
		return s.hasCondition(pool, v1alpha1.ReconcilingCondition, v1alpha1.ReasonClusterNotReady)
	})
	update(s, cluster, func(c *clusterv1.Cluster) { c.Finalizers = nil })
}

// TestMachinesThatNoPoolCounts leave their ordinals, and the Machines go.
func TestMachinesThatNoPoolCounts(t *testing.T) {
	orphan := func(s *site, pool *v1alpha1.NodePool) {
		update(s, pool, func(p *v1alpha1.NodePool) { p.Finalizers = nil })
		if err := s.Client.Delete(t.Context(), pool); err != nil {
			t.Fatal(err)
		}
	}
	for name, tc := range map[string]struct {
		reason string
		leave  func(*site, *v1alpha1.NodePool)
		active int
	}{
		"a pool made again": {
			reason: "the new pool's UID is another",
			leave: func(s *site, pool *v1alpha1.NodePool) {
				orphan(s, pool)
				s.create(s.pool(pool.Name, 0))
			},
		},
		"taken out of it": {
			reason: "without the pool's UID in a label or an owner the pool does not know it, and makes another",
			leave: func(s *site, _ *v1alpha1.NodePool) {
				machine := s.machines()[0]
				update(s, &machine, func(m *clusterv1.Machine) {
					delete(m.Labels, v1alpha1.PoolUIDLabel)
					m.OwnerReferences = nil
				})
			},
			active: 1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			pool := s.pool("workers", 1)
			s.create(pool)
			s.reconcileUntil(newDying(s, 1000, false), pool, func() error { return s.counts(1, 0) })
			old := s.machines()[0]
			tc.leave(s, pool)
			s.startManager()
			s.eventually("the pool has what it wants", func() error { return s.counts(1+tc.active, 0) })
			if err := s.Client.Delete(t.Context(), &old); err != nil {
				t.Fatal(err)
			}
			s.eventually(tc.reason+": the Machine goes", func() error {
				s.clusterAPI()
				return s.gone(&old)
			})
		})
	}
}

// TestPoolHeldByOthers has lost our finalizer, but not another's.
func TestPoolHeldByOthers(t *testing.T) {
	s := newSite(t)
	pool := s.pool("workers", 1)
	s.create(pool)
	s.reconcileUntil(newDying(s, 1000, false), pool, func() error { return s.counts(1, 0) })
	machine := s.machines()[0]
	update(s, pool, func(p *v1alpha1.NodePool) { p.Finalizers = append(p.Finalizers, "example.com/kept") })
	for _, object := range []client.Object{pool, &machine} {
		if err := s.Client.Delete(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}
	update(s, pool, func(p *v1alpha1.NodePool) { p.Finalizers = []string{"example.com/kept"} })
	s.startManager()
	s.eventually("the Machine goes", func() error {
		s.clusterAPI()
		return s.gone(&machine)
	})
	update(s, pool, func(p *v1alpha1.NodePool) { p.Finalizers = nil })
}
