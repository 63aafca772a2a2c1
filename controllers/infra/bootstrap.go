package infra

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/node"
	"github.com/drover-dev/drover/api/v1alpha1"
)

const (
	// bootReportInterval is how often a new machine without a Node is asked what it is doing. One that takes its time is
	// asked less and less often.
	bootReportInterval    = 3 * time.Second
	maxBootReportInterval = 30 * time.Second
)

// askAgain is how soon a machine of that age that has not joined is asked again.
func askAgain(age time.Duration) time.Duration {
	return min(max(bootReportInterval, age/10), maxBootReportInterval)
}

// bootstrap returns the machine's bootstrap document, complete, or what the machine still waits for.
func (r *Reconciler[M]) bootstrap(ctx context.Context, m M, o owners) ([]byte, *State, error) {
	wait := func(reason, message string) ([]byte, *State, error) {
		return nil, &State{Reason: reason, Message: message, Waiting: true}, nil
	}
	switch {
	case o.machine == nil:
		return wait(v1alpha1.ReasonWaitingForMachine, "Waiting for Cluster API to set the Machine that owns this machine.")
	case o.cluster == nil || !isTrue(o.cluster.Status.Initialization.InfrastructureProvisioned):
		return wait(v1alpha1.ReasonWaitingForMachine, fmt.Sprintf("Waiting for the infrastructure of the Cluster %s to be provisioned.", o.machine.Spec.ClusterName))
	case o.machine.Spec.Bootstrap.DataSecretName == nil:
		return wait(v1alpha1.ReasonWaitingForSecret, "Waiting for the Machine's bootstrap data.")
	}
	name := *o.machine.Spec.Bootstrap.DataSecretName
	secret := &corev1.Secret{}
	err := r.APIReader.Get(ctx, client.ObjectKey{Namespace: m.GetNamespace(), Name: name}, secret)
	if apierrors.IsNotFound(err) {
		return wait(v1alpha1.ReasonWaitingForSecret, fmt.Sprintf("Waiting for the bootstrap Secret %s.", name))
	}
	if apierrors.IsForbidden(err) {
		return nil, nil, &Problem{Reason: v1alpha1.ReasonSecretForbidden, Message: v1alpha1.SecretsForbidden(m.GetNamespace(), err)}
	}
	if err != nil {
		return nil, nil, fmt.Errorf("read the bootstrap Secret %s: %w", name, err)
	}
	document, err := r.complete(secret, r.providerID(m))
	return document, nil, err
}

// complete fills in what only the provider knows.
func (r *Reconciler[M]) complete(secret *corev1.Secret, providerID string) ([]byte, error) {
	if format := string(secret.Data[v1alpha1.BootstrapSecretFormatKey]); format != v1alpha1.BootstrapFormat {
		return nil, ProvisionFailed(fmt.Sprintf("The bootstrap Secret %s has the format %q, and a %s understands %q only: let a NodePool make the Machine.",
			secret.Name, format, r.Provider.Kind().Name, v1alpha1.BootstrapFormat))
	}
	document := &node.Bootstrap{}
	if err := json.Unmarshal(secret.Data[v1alpha1.BootstrapSecretKey], document); err != nil {
		return nil, ProvisionFailed(fmt.Sprintf("The bootstrap Secret %s has no valid document (%v): delete it to have it made again.", secret.Name, err))
	}
	document.ProviderID = providerID
	return json.Marshal(document)
}

// bootProblem is what the machine's agent says it failed at while it has no identity to report with, or that nobody can ask
// it; nil while neither is known.
func (r *Reconciler[M]) bootProblem(ctx context.Context, m M) *Problem {
	data, err := r.Provider.BootReport(ctx, m)
	if err != nil {
		var problem *Problem
		if errors.As(err, &problem) {
			return problem
		}
		return &Problem{Reason: v1alpha1.ReasonBootFailed, Message: v1alpha1.BoundMessage(fmt.Sprintf("What the machine's agent says cannot be read: %v.", err))}
	}
	report := &node.BootReport{}
	if json.Unmarshal(data, report) != nil || report.Reason == "" {
		return nil //nolint:nilerr // what cannot be read is no report
	}
	return &Problem{Reason: v1alpha1.ReasonBootFailed, Message: v1alpha1.BoundMessage(fmt.Sprintf("%s failed (%s): %s", report.Phase, report.Reason, report.Message))}
}
