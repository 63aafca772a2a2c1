package caching

import (
	"context"
	"os"
	"testing"

	"github.com/go-logr/logr"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/test/apiserver"
)

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	os.Exit(apiserver.Run(m))
}

// TestOnlyPoolsControllerRevisionsAreCached: most of a cluster's are of its StatefulSets and DaemonSets.
func TestOnlyPoolsControllerRevisionsAreCached(t *testing.T) {
	server := apiserver.Shared(t)
	namespace := server.Namespace(t)
	for name, labels := range map[string]map[string]string{
		"a-pools":      {v1alpha1.PoolUIDLabel: "u"},
		"a-daemonsets": {"controller-revision-hash": "x"},
	} {
		revision := &appsv1.ControllerRevision{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: labels}, Revision: 1}
		revision.Data.Raw = []byte("{}")
		if err := server.Client.Create(t.Context(), revision); err != nil {
			t.Fatal(err)
		}
	}
	options := CacheOptions("drover-system")
	options.Scheme = server.Scheme
	cached, err := cache.New(server.Config, options)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- cached.Start(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	if !cached.WaitForCacheSync(ctx) {
		t.Fatal("the cache did not start")
	}
	list := &appsv1.ControllerRevisionList{}
	if err := cached.List(ctx, list, client.InNamespace(namespace)); err != nil {
		t.Fatal(err)
	}
	if len(list.Items) != 1 || list.Items[0].Name != "a-pools" {
		t.Errorf("%d ControllerRevisions are cached, want the pool's alone: %+v", len(list.Items), list.Items)
	}
}
