package caching

import (
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// live are the kinds that are always read from the API server: they are many, or secret, and read seldom. Cluster
// API's drain pages through some of them, which a cache refuses.
func live() []client.Object {
	return []client.Object{
		&corev1.Secret{}, &corev1.ConfigMap{},
		&corev1.Pod{}, &appsv1.DaemonSet{}, &corev1.PersistentVolume{}, &storagev1.VolumeAttachment{},
	}
}

// ClientOptions is how the manager's client reads: from the cache, infrastructure machines too, but for what is live.
func ClientOptions() client.Options {
	return client.Options{Cache: &client.CacheOptions{DisableFor: live(), Unstructured: true}}
}

// CacheOptions is what the manager's cache holds. Of ConfigMaps it has only the one in the manager's own namespace that stops the
// fleet, and of ControllerRevisions only those with a pool's UID: a cluster's StatefulSets and DaemonSets have thousands. Secrets
// are not watched at all: the manager has no right to list them, nor other ConfigMaps.
func CacheOptions(own string) cache.Options {
	stop := cache.Config{FieldSelector: fields.OneTermEqualSelector("metadata.name", v1alpha1.StopName)}
	return cache.Options{
		DefaultTransform: cache.TransformStripManagedFields(),
		ByObject: map[client.Object]cache.ByObject{
			&corev1.Node{}:      {Transform: stripNode},
			&corev1.ConfigMap{}: {Namespaces: map[string]cache.Config{own: stop}},

			&appsv1.ControllerRevision{}: {Label: exists(v1alpha1.PoolUIDLabel)},
		},
	}
}

func exists(label string) labels.Selector {
	requirement, err := labels.NewRequirement(label, selection.Exists, nil)
	if err != nil {
		panic(err) // the label is a constant of ours
	}
	return labels.NewSelector().Add(*requirement)
}

// stripNode drops what no controller reads: most of a Node's bytes are the list of its images.
func stripNode(in any) (any, error) {
	if node, ok := in.(*corev1.Node); ok {
		node.ManagedFields = nil
		node.Status.Images = nil
	}
	return in, nil
}
