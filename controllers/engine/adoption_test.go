package engine

import (
	"context"
	"fmt"
	"slices"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/test/apiserver"
)

func TestAdoptionOutlivesItsDeletionWhilePoolsUseIt(t *testing.T) {
	server := apiserver.Shared(t)
	namespace := server.Namespace(t)
	startProvider(t, server)
	startEngine(t, server, rest.CopyConfig(server.Config))
	pool := newPool(t, server.Client, namespace)
	cluster := getCluster(t, server.Client, namespace)
	kept, drained := namespace+"-kept", namespace+"-drained"
	createMachine(t, server.Client, cluster, pool, kept)
	createMachine(t, server.Client, cluster, pool, drained)
	eventually(t, "both Machines Ready", func(ctx context.Context) string { return allReady(ctx, server.Client, namespace, 2) })

	for _, object := range adoptedObjects(namespace) {
		if err := server.Client.Delete(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}
	machine := &clusterv1.Machine{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: drained}}
	if err := server.Client.Delete(t.Context(), machine); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the Machine to be drained and go", func(ctx context.Context) string { return isGone(ctx, server.Client, machine) })
	eventually(t, "its Node to go, as it would not with a Cluster that is being deleted", func(ctx context.Context) string {
		return isGone(ctx, server.Client, nodeNamed(drained))
	})
	if err := server.Client.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: kept}, machine); err != nil || !machine.DeletionTimestamp.IsZero() {
		t.Errorf("the deletion of the Cluster took Machine %s along (%v)", kept, err)
	}
	if err := server.Client.Delete(t.Context(), machine); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the other Machine to go", func(ctx context.Context) string { return isGone(ctx, server.Client, machine) })
	if err := server.Client.Delete(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the adoption to end", func(ctx context.Context) string { return nothingAdopted(ctx, server.Client, namespace) })
}

func TestAdopterMakesAgainWhatWasRemoved(t *testing.T) {
	server := apiserver.Shared(t)
	namespace := server.Namespace(t)
	startEngine(t, server, rest.CopyConfig(server.Config))
	newPool(t, server.Client, namespace)
	before := getCluster(t, server.Client, namespace)
	for _, object := range slices.Backward(adoptedObjects(namespace)) {
		forceAway(t, server.Client, object)
	}
	eventually(t, "a new Cluster", func(ctx context.Context) string {
		after := &clusterv1.Cluster{}
		if err := server.Client.Get(ctx, client.ObjectKeyFromObject(before), after); err != nil {
			return err.Error()
		}
		if after.UID == before.UID {
			return "the old one is still there"
		}
		return ""
	})
	getCluster(t, server.Client, namespace)
}

func TestAPoolThatComesWhileTheAdoptionEndsGetsANewOne(t *testing.T) {
	server := apiserver.Shared(t)
	namespace := server.Namespace(t)
	startEngine(t, server, rest.CopyConfig(server.Config))
	for range 3 {
		pool := newPool(t, server.Client, namespace)
		getCluster(t, server.Client, namespace)
		if err := server.Client.Delete(t.Context(), pool); err != nil {
			t.Fatal(err)
		}
		released := adoptedObjects(namespace)[0]
		eventually(t, "the adopter to let the Cluster go", func(ctx context.Context) string {
			if err := server.Client.Get(ctx, client.ObjectKeyFromObject(released), released); client.IgnoreNotFound(err) != nil {
				return err.Error()
			} else if err == nil && released.GetDeletionTimestamp().IsZero() {
				return "it is not being deleted"
			}
			return ""
		})
		pool = newPool(t, server.Client, namespace)
		eventually(t, "a Cluster that stays", func(ctx context.Context) string {
			cluster := &clusterv1.Cluster{}
			if err := server.Client.Get(ctx, client.ObjectKeyFromObject(released), cluster); err != nil {
				return err.Error()
			} else if !cluster.DeletionTimestamp.IsZero() {
				return fmt.Sprintf("the old one is being deleted since %s", cluster.DeletionTimestamp)
			}
			return ""
		})
		getCluster(t, server.Client, namespace)
		if err := server.Client.Delete(t.Context(), pool); err != nil {
			t.Fatal(err)
		}
	}
}

// forceAway deletes an object and takes its finalizers off, as a user does who lost patience.
func forceAway(t *testing.T, c client.Client, object client.Object) {
	t.Helper()
	if err := c.Delete(t.Context(), object); err != nil {
		t.Fatal(err)
	}
	patch := client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"finalizers":null}}`))
	if err := c.Patch(t.Context(), object, patch); client.IgnoreNotFound(err) != nil {
		t.Fatal(err)
	}
}
