package e2e

import (
	"context"
	"errors"
	"fmt"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	fleetv1 "github.com/drover-dev/drover/api/v1alpha1"
)

// The last test, by its file's name, as those after it would find no node: the demo's pool goes, and with the last pool of the
// namespace all that was made for it.
func TestDeletingTheLastPoolLeavesNothing(t *testing.T) {
	// It leaves its routes, which are then for make down to remove.
	kill(t, world.routesPID(t))
	world.deletePool(t, &fleetv1.NodePool{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "workers"}})
	eventually(t, podsDeadline, "nothing is left", func(ctx context.Context) error {
		for _, list := range []client.ObjectList{
			&clusterv1.MachineList{}, &fleetv1.LocalMachineList{}, &fleetv1.NodeAgentList{}, &corev1.NodeList{}, &appsv1.ControllerRevisionList{},
			&clusterv1.ClusterList{}, &fleetv1.AdoptedClusterList{}, &fleetv1.AdoptedControlPlaneList{},
		} {
			if err := world.List(ctx, list); err != nil {
				return err
			}
			if left := names(list); len(left) > 0 {
				return fmt.Errorf("%T: %v", list, left)
			}
		}
		return errors.Join(noSecrets(ctx, clusterv1.ClusterSecretType), noSecrets(ctx, corev1.SecretTypeBootstrapToken))
	})
}

// noSecrets wants no Secret of a type in any namespace.
func noSecrets(ctx context.Context, kind corev1.SecretType) error {
	var secrets corev1.SecretList
	if err := world.List(ctx, &secrets, client.MatchingFields{"type": string(kind)}); err != nil {
		return err
	}
	return unless(len(secrets.Items) == 0, "Secrets of type %s: %v", kind, names(&secrets))
}
