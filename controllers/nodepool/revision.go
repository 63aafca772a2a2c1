package nodepool

import (
	"context"
	"encoding/json"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/desired"
	"github.com/drover-dev/drover/controllers/planner"
	"github.com/drover-dev/drover/controllers/revision"
)

// resolveRevision names the template's revision and, when it is not stored yet, renders it. A stored one is never
// rendered anew: upgrading Drover, or moving the API server, does not change what it means.
func (r *Reconciler) resolveRevision(seen *observation, bundle *v1alpha1.NodeBundle) (err error) {
	if seen.identity, err = revision.Of(seen.Pool, seen.template, bundle); err != nil {
		return err
	}
	stored, err := seen.identity.Find(seen.stored, seen.Pool.Status.Revision)
	if err != nil {
		return err
	}
	if stored != nil {
		seen.Revision = stored.Labels[v1alpha1.RevisionLabel]
		seen.known = stored
		seen.learned, err = seen.identity.Learn(stored)
		return err
	}
	if seen.Revision = seen.identity.Name(); seen.Revision == "" {
		return nil // its infrastructure template is not there, as a problem says
	}
	for i := range seen.stored {
		if seen.stored[i].Labels[v1alpha1.RevisionLabel] == seen.Revision {
			return errOtherTemplate(&seen.stored[i])
		}
	}
	seen.rendered, err = renderRevision(seen, bundle)
	return err
}

// errOtherTemplate is for two templates whose revisions have one name.
func errOtherTemplate(stored *appsv1.ControllerRevision) error {
	return fmt.Errorf("ControllerRevision %s is of another template: change any setting of the pool's template to get another revision",
		client.ObjectKeyFromObject(stored))
}

// resolveFacts makes sure that machines to be made can be told about their cluster.
func (r *Reconciler) resolveFacts(ctx context.Context, seen *observation) {
	if !wantsMachines(seen) {
		return
	}
	if _, err := r.Discoverer.Discover(ctx); err != nil {
		seen.problem(planner.Problem{
			Reason:     v1alpha1.ReasonDiscoveryFailed,
			Message:    fmt.Sprintf("What nodes must know about this cluster could not be found out: %v", err),
			RetryAfter: retryDiscovery,
		})
	}
}

func renderRevision(seen *observation, bundle *v1alpha1.NodeBundle) (*appsv1.ControllerRevision, error) {
	pool := seen.Pool
	spec, err := json.Marshal(v1alpha1.NodeAgentSpec{
		Revision: seen.Revision, Version: pool.Spec.Template.Spec.Version, Artifacts: desired.Sorted(bundle.Spec.Artifacts),
		Agent: desired.Release(pool.Spec.Template.Spec.Agent), NodeSettings: pool.Spec.Template.Spec.NodeSettings,
	})
	if err != nil {
		return nil, fmt.Errorf("render revision %s: %w", seen.Revision, err)
	}
	annotations, err := seen.identity.Annotations()
	if err != nil {
		return nil, fmt.Errorf("render revision %s: %w", seen.Revision, err)
	}
	number := int64(1)
	for i := range seen.stored {
		number = max(number, seen.stored[i].Revision+1)
	}
	return &appsv1.ControllerRevision{
		ObjectMeta: metav1.ObjectMeta{
			Namespace:   pool.Namespace,
			Name:        v1alpha1.RevisionName(pool.Name, seen.Revision),
			Labels:      poolLabels(pool, seen.Revision),
			Annotations: annotations,
			// Not the pool's as well: the garbage collector does not get a reference out of a ControllerRevision, and a
			// pool deleted in the foreground would wait for that for good. Our finalizer deletes it.
			OwnerReferences: clusterOwner(seen),
		},
		Data:     runtime.RawExtension{Raw: spec},
		Revision: number,
	}, nil
}

// storeRevision stores the rendered revision. The cache may not have shown that it is there.
func (r *Reconciler) storeRevision(ctx context.Context, seen *observation) error {
	if seen.rendered == nil {
		return nil
	}
	key := client.ObjectKeyFromObject(seen.rendered)
	err := r.Client.Create(ctx, seen.rendered)
	if !apierrors.IsAlreadyExists(err) {
		if err != nil {
			return fmt.Errorf("store ControllerRevision %s: %w", key, err)
		}
		return nil
	}
	stored := &appsv1.ControllerRevision{}
	if err := r.APIReader.Get(ctx, key, stored); err != nil {
		return fmt.Errorf("read ControllerRevision %s: %w", key, err)
	}
	if is, err := seen.identity.Is(stored); err != nil || is {
		return err
	}
	return errOtherTemplate(stored)
}

// learn stores what the template's revision did not know yet.
func (r *Reconciler) learn(ctx context.Context, seen *observation) error {
	if seen.learned == nil {
		return nil
	}
	err := r.Client.Patch(ctx, seen.learned, client.MergeFrom(seen.known))
	return ignoreGone(err, "complete ControllerRevision %s", client.ObjectKeyFromObject(seen.known))
}
