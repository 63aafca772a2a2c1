package engine

import (
	"context"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/v1alpha1"
)

const (
	coreDeployment = "capi-controller-manager"
	coreLease      = "controller-leader-election-capi"
	// leaseDuration is how long a lease is held without being renewed, at most: Cluster API's default, which renews it every
	// 2 seconds. Only a lease that somebody left without giving it back is watched for so long.
	leaseDuration = 15 * time.Second
	// leaseInterval is between two looks at it.
	leaseInterval = 500 * time.Millisecond
)

// requiredKinds are the plural names of what Cluster API's reconcilers watch or read.
var requiredKinds = []string{"clusters", "machines", "machinesets", "machinedeployments", "machinedrainrules", "machinehealthchecks"}

// Check says why the engine cannot run in that mode, in a sentence that says what to do, or returns nil. Embedded, it
// needs Cluster API's definitions to be ours and no other Cluster API to run, for two would fight over Machines.
// The reader must read live.
func Check(ctx context.Context, reader client.Reader, mode Mode) error {
	for _, plural := range requiredKinds {
		if err := checkDefinition(ctx, reader, plural+"."+clusterv1.GroupVersion.Group, mode); err != nil {
			return err
		}
	}
	if mode == External {
		return nil
	}
	return checkForeignCore(ctx, reader)
}

func checkDefinition(ctx context.Context, reader client.Reader, name string, mode Mode) error {
	crd := &apiextensionsv1.CustomResourceDefinition{}
	err := reader.Get(ctx, client.ObjectKey{Name: name}, crd)
	switch {
	case apierrors.IsNotFound(err) && mode == External:
		return fmt.Errorf("the definition %s is missing: install Cluster API, or run with --cluster-api=embedded", name)
	case apierrors.IsNotFound(err):
		return fmt.Errorf("the definition %s is missing: apply dist/cluster-api-crds.yaml first", name)
	case err != nil:
		return fmt.Errorf("look for the definition %s: %w", name, err)
	case mode == Embedded && crd.Labels[v1alpha1.ManagedLabel] != "true":
		return fmt.Errorf("the definition %s was not installed by Drover: run with --cluster-api=external to use the Cluster API "+
			"that it belongs to, or, if that is no longer there, apply dist/cluster-api-crds.yaml over it", name)
	case !servesOurVersion(crd):
		return fmt.Errorf("the definition %s does not serve %s: upgrade Cluster API to v1.11 or later", name, clusterv1.GroupVersion.Version)
	}
	return nil
}

func servesOurVersion(crd *apiextensionsv1.CustomResourceDefinition) bool {
	for _, version := range crd.Spec.Versions {
		if version.Name == clusterv1.GroupVersion.Version && version.Served {
			return true
		}
	}
	return false
}

func checkForeignCore(ctx context.Context, reader client.Reader) error {
	const advice = "run with --cluster-api=external to use it, or remove it"
	deployments := &appsv1.DeploymentList{}
	if err := reader.List(ctx, deployments, client.MatchingFields{"metadata.name": coreDeployment}); err != nil {
		return fmt.Errorf("look for another Cluster API: %w", err)
	}
	for i := range deployments.Items {
		if d := &deployments.Items[i]; ptr.Deref(d.Spec.Replicas, 1) > 0 {
			return fmt.Errorf("another Cluster API is installed (Deployment %s/%s): %s", d.Namespace, d.Name, advice)
		}
	}
	leases := &coordinationv1.LeaseList{}
	if err := reader.List(ctx, leases, client.MatchingFields{"metadata.name": coreLease}); err != nil {
		return fmt.Errorf("look for another Cluster API: %w", err)
	}
	for i := range leases.Items {
		l := &leases.Items[i]
		held, err := leaseHeld(ctx, reader, l)
		if err != nil {
			return fmt.Errorf("see whether Lease %s/%s is renewed: %w", l.Namespace, l.Name, err)
		}
		if held {
			return fmt.Errorf("another Cluster API is running (Lease %s/%s is held by %s): %s",
				l.Namespace, l.Name, ptr.Deref(l.Spec.HolderIdentity, ""), advice)
		}
	}
	return nil
}

// leaseHeld says whether the holder of a lease renews it, as leader election finds out: by seeing it happen within the
// lease's duration. When it was renewed last is by the holder's clock, which says nothing.
func leaseHeld(ctx context.Context, reader client.Reader, lease *coordinationv1.Lease) (bool, error) {
	if ptr.Deref(lease.Spec.HolderIdentity, "") == "" || lease.Spec.RenewTime == nil {
		return false, nil // it was given back, or never taken
	}
	patience := leaseDuration
	if seconds := lease.Spec.LeaseDurationSeconds; seconds != nil {
		patience = min(time.Duration(*seconds)*time.Second, patience)
	}
	renewed := false
	err := wait.PollUntilContextTimeout(ctx, leaseInterval, patience, false, func(context.Context) (bool, error) {
		now := &coordinationv1.Lease{}
		err := reader.Get(ctx, client.ObjectKeyFromObject(lease), now)
		if apierrors.IsNotFound(err) {
			return true, nil
		}
		renewed = err == nil && now.Spec.RenewTime != nil && !now.Spec.RenewTime.Equal(lease.Spec.RenewTime)
		return renewed, err
	})
	if ctx.Err() == nil && wait.Interrupted(err) {
		return false, nil
	}
	return renewed, err
}
