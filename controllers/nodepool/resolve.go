package nodepool

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/lookup"
	"github.com/drover-dev/drover/controllers/planner"
)

const (
	// clusterGrace is how long a pool waits for its namespace's Cluster before that counts as stalled.
	clusterGrace = time.Minute
	// retryUnserved is how soon a kind is looked for again that the API server did not serve, or not to us, and
	// retryDiscovery how soon facts about the cluster are.
	retryUnserved  = 30 * time.Second
	retryDiscovery = 15 * time.Second
)

// resolve finds what the names in the pool's template stand for. What cannot be found is a problem, not an error.
func (r *Reconciler) resolve(ctx context.Context, seen *observation) error {
	bundle, err := r.resolveBundle(ctx, seen)
	if err != nil {
		return err
	}
	r.checkVersion(seen)
	checkAgent(seen)
	if err := r.resolveTemplate(ctx, seen); err != nil {
		return err
	}
	r.resolveFacts(ctx, seen) // before the Cluster, which needs one of them
	if err := r.resolveCluster(ctx, seen); err != nil {
		return err
	}
	if bundle == nil {
		return nil
	}
	seen.bundle = bundle
	return r.resolveRevision(seen, bundle)
}

func (o *observation) problem(p planner.Problem) { o.Problems = append(o.Problems, p) }

// resolveBundle finds the NodeBundle that the template names, or else the one with its version.
func (r *Reconciler) resolveBundle(ctx context.Context, seen *observation) (*v1alpha1.NodeBundle, error) {
	if seen.Pool.Spec.Template.Spec.Bundle != "" {
		return r.resolveNamedBundle(ctx, seen)
	}
	list := &v1alpha1.NodeBundleList{}
	if err := r.Client.List(ctx, list); err != nil {
		return nil, fmt.Errorf("list NodeBundles: %w", err)
	}
	version := seen.Pool.Spec.Template.Spec.Version
	var found []*v1alpha1.NodeBundle
	var names, versions []string
	for i := range list.Items {
		versions = append(versions, list.Items[i].Spec.KubernetesVersion)
		if list.Items[i].Spec.KubernetesVersion == version {
			found = append(found, &list.Items[i])
			names = append(names, list.Items[i].Name)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		seen.problem(planner.Problem{Reason: v1alpha1.ReasonBundleNotFound, Message: bundleNotFound(version, versions)})
	default:
		slices.Sort(names)
		seen.problem(planner.Problem{
			Reason: v1alpha1.ReasonBundleAmbiguous,
			Message: fmt.Sprintf("%d NodeBundles have version %s (%s): name one in spec.template.spec.bundle, or delete all but one",
				len(found), version, strings.Join(names[:min(len(names), 5)], ", ")),
		})
	}
	return nil, nil
}

func (r *Reconciler) resolveNamedBundle(ctx context.Context, seen *observation) (*v1alpha1.NodeBundle, error) {
	name, version := seen.Pool.Spec.Template.Spec.Bundle, seen.Pool.Spec.Template.Spec.Version
	bundle, err := lookup.GetOrNil(ctx, r.Client, client.ObjectKey{Name: name}, &v1alpha1.NodeBundle{})
	switch {
	case err != nil:
		return nil, err
	case bundle == nil:
		seen.problem(planner.Problem{
			Reason:  v1alpha1.ReasonBundleNotFound,
			Message: fmt.Sprintf("There is no NodeBundle %s: apply it, or correct spec.template.spec.bundle", name),
		})
	case bundle.Spec.KubernetesVersion != version:
		seen.problem(planner.Problem{
			Reason: v1alpha1.ReasonBundleMismatch,
			Message: fmt.Sprintf("NodeBundle %s has version %s, and spec.template.spec.version is %s: make that the same, or name another bundle in spec.template.spec.bundle",
				name, bundle.Spec.KubernetesVersion, version),
		})
	default:
		return bundle, nil
	}
	return nil, nil
}

func bundleNotFound(version string, versions []string) string {
	slices.Sort(versions)
	versions = slices.Compact(versions)
	there := "there is none at all"
	if len(versions) > 0 {
		there = "there are " + strings.Join(versions[:min(len(versions), 10)], ", ")
	}
	return fmt.Sprintf("No NodeBundle has version %s (%s): apply one, or set spec.template.spec.version to a version that has one", version, there)
}

// resolveTemplate reads the template that infrastructure machines are made from.
func (r *Reconciler) resolveTemplate(ctx context.Context, seen *observation) error {
	ref := seen.Pool.Spec.Template.Spec.InfrastructureRef
	kind := schema.GroupKind{Group: ref.APIGroup, Kind: ref.Kind}
	mapping, err := r.Client.RESTMapper().RESTMapping(kind)
	if meta.IsNoMatchError(err) {
		seen.problem(planner.Problem{
			Reason:     v1alpha1.ReasonTemplateNotFound,
			Message:    fmt.Sprintf("The API server has no kind %s: install the provider that has it, or correct spec.template.spec.infrastructureRef", kind),
			RetryAfter: retryUnserved,
		})
		return nil
	}
	if err != nil {
		return fmt.Errorf("find kind %s: %w", kind, err)
	}
	err = r.templates.watch(mapping.GroupVersionKind, func() error { return r.mayList(ctx, mapping.GroupVersionKind) })
	if apierrors.IsForbidden(err) {
		seen.problem(planner.Problem{
			Reason: v1alpha1.ReasonTemplateForbidden,
			Message: fmt.Sprintf("The manager may not read %s or the machines made from it: let a ClusterRole allow it to get, list and watch %s, and to get, list, watch, "+
				"create, patch and delete the machines; bind it to the manager's ServiceAccount", kind, mapping.Resource.GroupResource()),
			RetryAfter: retryUnserved,
		})
		return nil
	}
	if err != nil {
		return err
	}
	template := &unstructured.Unstructured{}
	template.SetGroupVersionKind(mapping.GroupVersionKind)
	key := client.ObjectKey{Namespace: seen.Pool.Namespace, Name: ref.Name}
	if mapping.Scope.Name() != meta.RESTScopeNameNamespace {
		key.Namespace = ""
	}
	err = r.Client.Get(ctx, key, template)
	if apierrors.IsNotFound(err) {
		seen.problem(planner.Problem{
			Reason: v1alpha1.ReasonTemplateNotFound,
			Message: fmt.Sprintf("There is no %s %s in namespace %s: apply it, or correct spec.template.spec.infrastructureRef",
				ref.Kind, ref.Name, seen.Pool.Namespace),
		})
		return nil
	}
	if err != nil {
		return fmt.Errorf("read %s %s: %w", ref.Kind, key, err)
	}
	seen.template = template
	return nil
}

// leaves says that a Cluster goes away. One that somebody deleted while pools use it does not: its finalizer holds it,
// and Cluster API does not see the deletion (package engine).
func leaves(cluster *clusterv1.Cluster) bool {
	return !cluster.DeletionTimestamp.IsZero() && !controllerutil.ContainsFinalizer(cluster, v1alpha1.AdoptedClusterFinalizer)
}

// adopted says that a Cluster is the engine's, which leaves those of others alone.
func adopted(cluster *clusterv1.Cluster) bool { return cluster.Labels[v1alpha1.ManagedLabel] == "true" }

// mayList finds out whether the API server lets us list a kind of templates, and that of the machines made from them,
// which Cluster API reads from the same cache; in all namespaces, as the cache does.
func (r *Reconciler) mayList(ctx context.Context, template schema.GroupVersionKind) error {
	for _, kind := range []string{template.Kind, strings.TrimSuffix(template.Kind, clusterv1.TemplateSuffix)} {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(template.GroupVersion().WithKind(kind + "List"))
		err := r.APIReader.List(ctx, list, client.Limit(1))
		if meta.IsNoMatchError(err) && kind != template.Kind {
			continue // creating one says so
		}
		if err != nil {
			return fmt.Errorf("list %s: %w", schema.GroupKind{Group: template.Group, Kind: kind}, err)
		}
	}
	return nil
}

// stalledBy says whether the pool was found to be stalled for that reason, maybe by an earlier manager, who has seen more.
func stalledBy(pool *v1alpha1.NodePool, reason string) bool {
	stalled := meta.FindStatusCondition(pool.Status.Conditions, v1alpha1.StalledCondition)
	return stalled != nil && stalled.Status == metav1.ConditionTrue && stalled.Reason == reason
}

// resolveCluster reads the Cluster that stands for the cluster we run in.
func (r *Reconciler) resolveCluster(ctx context.Context, seen *observation) error {
	cluster := &clusterv1.Cluster{}
	key := client.ObjectKey{Namespace: seen.Pool.Namespace, Name: v1alpha1.AdoptedClusterName}
	err := r.Client.Get(ctx, key, cluster)
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("read Cluster %s: %w", key, err)
	}
	if err == nil && !adopted(cluster) {
		seen.problem(planner.Problem{
			Reason: v1alpha1.ReasonClusterNotReady,
			Message: fmt.Sprintf("Cluster %s exists and is not Drover's, so machines of it would not join this cluster: "+
				"remove that Cluster, or make the pool in another namespace", key),
		})
		return nil
	}
	why := ""
	switch initialized := cluster.Status.Initialization.ControlPlaneInitialized; {
	case err != nil:
		why = "does not exist yet"
	case leaves(cluster):
		why = "is being deleted; it is made again when it is gone"
	case initialized == nil || !*initialized:
		why = "has no initialized control plane yet"
	default:
		seen.cluster = cluster
		r.clusterless.Forget(client.ObjectKeyFromObject(seen.Pool))
		return nil
	}
	problem := planner.Problem{
		Reason:  v1alpha1.ReasonClusterNotReady,
		Message: fmt.Sprintf("Cluster %s, which stands for this cluster, %s: see the manager's log if this lasts", key, why),
	}
	since := r.clusterless.At(client.ObjectKeyFromObject(seen.Pool), seen.Pool.UID, seen.Now)
	if left := clusterGrace - seen.Now.Sub(since); left > 0 && !stalledBy(seen.Pool, problem.Reason) {
		problem.Passing, problem.RetryAfter = true, left
	}
	seen.problem(problem)
	return nil
}
