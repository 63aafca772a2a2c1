package join_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/fence"
	"github.com/drover-dev/drover/controllers/sides"
)

// label changes the labels of an object as it is on the server now.
func (c *cluster) label(t *testing.T, object client.Object, edit func(map[string]string)) {
	t.Helper()
	must(t, c.Client.Get(t.Context(), client.ObjectKeyFromObject(object), object))
	before, ok := object.DeepCopyObject().(client.Object)
	if !ok {
		t.Fatalf("%T is no object", object)
	}
	labels := object.GetLabels()
	edit(labels)
	object.SetLabels(labels)
	must(t, c.Client.Patch(t.Context(), object, client.MergeFrom(before)))
}

// aMachineOfNobodyIsNamed from when somebody takes it out of its pool until it is given back, or deleted; its NodeAgent goes then.
func aMachineOfNobodyIsNamed(t *testing.T, c *cluster) {
	t.Helper()
	pool := c.newPool(t, "former")
	m := c.newMachine(t, pool, 0)
	agent := m.agentApplication(t).identity(t, c, m.token(t))
	eventually(t, "the agent may write its status", func(ctx context.Context) error {
		return report(ctx, agent, m.object.Name, "True", v1alpha1.ReasonHealthy)
	})
	kubelet := m.kubeletApplication(t).identity(t, c, agent)
	m.register(t, kubelet)
	m.wantHealth(t, "True", v1alpha1.ReasonHealthy)

	c.label(t, m.object, func(labels map[string]string) { delete(labels, v1alpha1.PoolUIDLabel) })
	m.wantHealth(t, "False", v1alpha1.ReasonNoPool)
	m.wantEvent(t, v1alpha1.ReasonNoPool, "give it back: kubectl --namespace "+pool.Namespace+" label machine "+m.object.Name)
	m.nodeHas(t, "the Node says that it is nobody's, and keeps what pods rest on", func(node *corev1.Node) error {
		if node.Labels[v1alpha1.NoPoolLabel] != "true" || node.Labels["tier"] != "web" {
			return fmt.Errorf("it has labels %v", node.Labels)
		}
		return nil
	})
	renewal := m.kubeletApplication(t)
	if csr, err := renewal.send(t, c, kubelet); err != nil || csr.Status.Conditions[0].Type != certificatesv1.CertificateApproved {
		t.Errorf("its kubelet, which runs on, may not renew its certificate: %v, %+v", err, csr.Status.Conditions)
	}

	c.label(t, m.object, func(labels map[string]string) { labels[v1alpha1.PoolUIDLabel] = string(pool.UID) })
	m.wantHealth(t, "True", v1alpha1.ReasonHealthy)
	m.nodeHas(t, "the Node of a Machine that was given back says so no more", func(node *corev1.Node) error {
		if _, marked := node.Labels[v1alpha1.NoPoolLabel]; marked {
			return errors.New("it is marked")
		}
		return nil
	})

	c.label(t, m.object, func(labels map[string]string) {
		delete(labels, v1alpha1.PoolLabel)
		delete(labels, v1alpha1.PoolUIDLabel)
	})
	m.wantHealth(t, "False", v1alpha1.ReasonNoPool)
	m.wantGone(t)
}

// aMachineWhosePoolIsGoneIsNamed: somebody took the pool's finalizer, or a restore left it out.
func aMachineWhosePoolIsGoneIsNamed(t *testing.T, c *cluster) {
	t.Helper()
	pool := c.newPool(t, "gone")
	m := c.newMachine(t, pool, 0)
	m.comesUp(t, c.Client)
	must(t, c.Client.Delete(t.Context(), pool))
	m.wantHealth(t, "False", v1alpha1.ReasonNoPool)
	m.nodeHas(t, "the Node says that it is nobody's", func(node *corev1.Node) error {
		if node.Labels[v1alpha1.NoPoolLabel] != "true" {
			return fmt.Errorf("it has labels %v", node.Labels)
		}
		return nil
	})
}

// wantGone deletes the Machine and waits for the end of its NodeAgent, and of the Node, which nobody else removes here.
func (m *machine) wantGone(t *testing.T) {
	t.Helper()
	must(t, m.Client.Delete(t.Context(), m.object))
	eventually(t, "its NodeAgent and its Node are gone, and its name is fenced", func(ctx context.Context) error {
		for _, object := range []client.Object{&v1alpha1.NodeAgent{}, &corev1.Node{}} {
			if err := m.Client.Get(ctx, client.ObjectKey{Name: m.object.Name}, object); !apierrors.IsNotFound(err) {
				return errors.Join(fmt.Errorf("%T is there", object), err)
			}
		}
		fenced, err := (fence.List{Workload: sides.Side{Client: m.Client, Live: m.Client}}).Has(ctx, m.object.Name)
		if err != nil || !fenced {
			return errors.Join(errNotYet, err)
		}
		return nil
	})
}

// aNodeAgentThatLostItsLabelsIsItsMachines, which puts them back; and it goes with the Machine.
func aNodeAgentThatLostItsLabelsIsItsMachines(t *testing.T, c *cluster) {
	t.Helper()
	m := c.newMachine(t, c.newPool(t, "unlabelled"), 0)
	m.comesUp(t, c.Client)
	for _, keep := range []string{v1alpha1.PoolUIDLabel, v1alpha1.MachineUIDLabel} {
		agent := m.nodeAgent(t)
		whole := agent.DeepCopy().Labels
		c.label(t, agent, func(labels map[string]string) {
			for label := range labels {
				if label != keep {
					delete(labels, label)
				}
			}
		})
		m.wantNodeAgent(t, "with nothing but "+keep+" left, its labels are put back", func(a *v1alpha1.NodeAgent) error {
			for label, value := range whole {
				if a.Labels[label] != value {
					return fmt.Errorf("it has labels %v", a.Labels)
				}
			}
			return nil
		})
	}

	// A Machine that is being deleted puts back nothing.
	patch := client.MergeFrom(m.object.DeepCopy())
	m.object.Finalizers = []string{"example.com/hold"}
	must(t, m.Client.Patch(t.Context(), m.object, patch))
	must(t, m.Client.Delete(t.Context(), m.object))
	before := c.searches(m.object.Name)
	c.label(t, m.nodeAgent(t), func(labels map[string]string) { clear(labels) })
	eventually(t, "its Machine is looked for in all namespaces, and found", func(context.Context) error {
		if c.searches(m.object.Name) == before {
			return errNotYet
		}
		return nil
	})
	must(t, m.Client.Get(t.Context(), client.ObjectKeyFromObject(m.object), m.object))
	patch = client.MergeFrom(m.object.DeepCopy())
	m.object.Finalizers = nil
	must(t, m.Client.Patch(t.Context(), m.object, patch))
	eventually(t, "its NodeAgent is gone", func(ctx context.Context) error {
		if err := m.Client.Get(ctx, client.ObjectKey{Name: m.object.Name}, &v1alpha1.NodeAgent{}); !apierrors.IsNotFound(err) {
			return errors.Join(errNotYet, err)
		}
		return nil
	})
}

// aMachineThatNeverWasAPoolsIsLeftAlone, whatever it is called.
func aMachineThatNeverWasAPoolsIsLeftAlone(t *testing.T, c *cluster) {
	t.Helper()
	pool := c.newPool(t, "theirs")
	other := tenantMachine(pool.Namespace, "theirs-abcde-0", "aws:///i-1")
	must(t, c.Client.Create(t.Context(), other))
	c.newMachine(t, pool, 1).wantNodeAgent(t, "one made after it was looked at", func(*v1alpha1.NodeAgent) error { return nil })
	must(t, c.Client.Get(t.Context(), client.ObjectKeyFromObject(other), other))
	if len(other.Status.Conditions) > 0 {
		t.Errorf("it has %+v", other.Status.Conditions)
	}
	for write := range c.writes.of("theirs-abcde-0") {
		if !strings.HasPrefix(write, "POST") {
			t.Errorf("the manager wrote %s", write)
		}
	}
}
