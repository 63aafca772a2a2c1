package join_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/fence"
)

// aReleasedMachineStaysOut: the machine runs on after its Machine and its Node are gone, and its kubelet's certificate
// holds.
func aReleasedMachineStaysOut(t *testing.T, c *cluster) {
	t.Helper()
	m := c.newMachine(t, c.newPool(t, "released"), 0)
	agent := m.agentApplication(t).identity(t, c, m.token(t))
	kubelet := m.kubeletApplication(t).identity(t, c, agent)
	m.register(t, kubelet)
	must(t, c.Client.Delete(t.Context(), nodeNamed(m.object.Name)))
	must(t, c.Client.Delete(t.Context(), m.object))
	eventually(t, "the NodeAgent is gone", func(ctx context.Context) error {
		err := c.Client.Get(ctx, client.ObjectKey{Name: m.object.Name}, &v1alpha1.NodeAgent{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return errNotYet
	})

	fenced := func(err error) error {
		if apierrors.IsForbidden(err) && strings.Contains(err.Error(), "drover-fenced-nodes") {
			return nil
		}
		return fmt.Errorf("got %w", err)
	}
	node := providerNode(m.object.Name, m.object.Spec.ProviderID)
	eventually(t, "its kubelet cannot register its Node", func(ctx context.Context) error {
		return fenced(kubelet.Create(ctx, node.DeepCopy(), client.DryRunAll))
	})
	must(t, fenced(sendError(t, c, m.kubeletApplication(t), kubelet)))
	must(t, fenced(sendError(t, c, m.servingApplication(t, m.address), kubelet)))
	other := c.as(t, c.User(t, v1alpha1.NodeUserPrefix+"not-released", v1alpha1.NodesGroup))
	must(t, other.Create(t.Context(), nodeNamed("not-released")))

	// Every right is no place on the list.
	mighty := v1alpha1.NodeUserPrefix + "mighty"
	must(t, c.Client.Create(t.Context(), &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "mighty"},
		RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"},
		Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: mighty}}}))
	kubeletOfAll := c.as(t, c.User(t, mighty, v1alpha1.NodesGroup))
	eventually(t, "a kubelet with every right may do what the fence is asked about", func(ctx context.Context) error {
		return kubeletOfAll.List(ctx, &v1alpha1.NodePoolList{})
	})
	must(t, kubeletOfAll.Create(t.Context(), nodeNamed("mighty"), client.DryRunAll))

	// Somebody lets it in: the name is known, however little the Node tells of where it is from.
	for _, providerID := range []string{m.object.Spec.ProviderID, ""} {
		returned := providerNode(m.object.Name, providerID)
		must(t, c.Client.Create(t.Context(), returned))
		eventually(t, "no new pods come to it", func(ctx context.Context) error {
			if err := c.Client.Get(ctx, client.ObjectKeyFromObject(returned), returned); err != nil {
				return err
			}
			for _, taint := range returned.Spec.Taints {
				if taint.Key == "fleet.drover.dev/no-machine" && taint.Effect == corev1.TaintEffectNoSchedule {
					return nil
				}
			}
			return fmt.Errorf("it has taints %v", returned.Spec.Taints)
		})
		eventually(t, "it is gone", func(ctx context.Context) error {
			if err := c.Client.Get(ctx, client.ObjectKeyFromObject(returned), returned); !apierrors.IsNotFound(err) {
				return fmt.Errorf("got %w", err)
			}
			return nil
		})
	}
	eventually(t, "an event says so", func(ctx context.Context) error {
		list := &eventsv1.EventList{}
		if err := c.Client.List(ctx, list); err != nil {
			return err
		}
		for _, event := range list.Items {
			if event.Regarding.Name == m.object.Name && event.Reason == v1alpha1.ReasonNodeWithoutMachine {
				return nil
			}
		}
		return errNotYet
	})

	// Who takes the name from the list lets the kubelet register again.
	list := &rbacv1.ClusterRoleBinding{}
	must(t, c.Client.Get(t.Context(), client.ObjectKey{Name: fence.Name}, list))
	list.Subjects = slices.DeleteFunc(list.Subjects, func(s rbacv1.Subject) bool { return s.Name == v1alpha1.NodeUserPrefix+m.object.Name })
	must(t, c.Client.Update(t.Context(), list))
	eventually(t, "its kubelet could register its Node", func(ctx context.Context) error {
		return kubelet.Create(ctx, node.DeepCopy(), client.DryRunAll)
	})
}
