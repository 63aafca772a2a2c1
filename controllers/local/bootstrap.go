package local

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/node"
	"github.com/drover-dev/drover/api/v1alpha1"
)

// wanted is the machine that a LocalMachine asks for, less its bootstrap document. Addresses are as the schema
// checked them; an unset one is the zero Addr, which is the default.
func (r *Reconciler) wanted(lm *v1alpha1.LocalMachine) Wanted {
	want := Wanted{Key: client.ObjectKeyFromObject(lm), UID: string(lm.UID), Bridge: lm.Spec.Network.Bridge}
	if want.Bridge == "" {
		want.Bridge = "drover0"
	}
	want.Range.First, _ = netip.ParseAddr(lm.Spec.Network.FirstAddress)
	want.Range.Last, _ = netip.ParseAddr(lm.Spec.Network.LastAddress)
	if lm.Spec.CPUs != nil {
		want.Limits.CPUs = *lm.Spec.CPUs
	}
	if lm.Spec.Memory != nil {
		want.Limits.MemoryBytes = lm.Spec.Memory.Value()
	}
	return want
}

// bootstrap returns the machine's bootstrap document, complete, or what the machine still waits for.
func (r *Reconciler) bootstrap(ctx context.Context, lm *v1alpha1.LocalMachine, o owners) ([]byte, *observed, error) {
	wait := func(reason, message string) ([]byte, *observed, error) {
		return nil, &observed{reason: reason, message: message}, nil
	}
	switch {
	case o.machine == nil:
		return wait(v1alpha1.ReasonWaitingForMachine, "Waiting for Cluster API to set the Machine that owns this machine.")
	case o.cluster == nil || o.cluster.Status.Initialization.InfrastructureProvisioned == nil || !*o.cluster.Status.Initialization.InfrastructureProvisioned:
		return wait(v1alpha1.ReasonWaitingForMachine, fmt.Sprintf("Waiting for the infrastructure of the Cluster %s to be provisioned.", o.machine.Spec.ClusterName))
	case o.machine.Spec.Bootstrap.DataSecretName == nil:
		return wait(v1alpha1.ReasonWaitingForSecret, "Waiting for the Machine's bootstrap data.")
	}
	name := *o.machine.Spec.Bootstrap.DataSecretName
	secret := &corev1.Secret{}
	err := r.APIReader.Get(ctx, client.ObjectKey{Namespace: lm.Namespace, Name: name}, secret)
	if apierrors.IsNotFound(err) {
		return wait(v1alpha1.ReasonWaitingForSecret, fmt.Sprintf("Waiting for the bootstrap Secret %s.", name))
	}
	if err != nil {
		return nil, nil, fmt.Errorf("read the bootstrap Secret %s: %w", name, err)
	}
	document, err := completeBootstrap(secret, providerID(client.ObjectKeyFromObject(lm)))
	return document, nil, err
}

// completeBootstrap fills in what only the provider knows.
func completeBootstrap(secret *corev1.Secret, providerID string) ([]byte, error) {
	if format := string(secret.Data[v1alpha1.BootstrapSecretFormatKey]); format != v1alpha1.BootstrapFormat {
		return nil, provisionFailed(fmt.Sprintf("The bootstrap Secret %s has the format %q, and a local machine understands %q only: let a NodePool make the Machine.", secret.Name, format, v1alpha1.BootstrapFormat))
	}
	document := &node.Bootstrap{}
	if err := json.Unmarshal(secret.Data[v1alpha1.BootstrapSecretKey], document); err != nil {
		return nil, provisionFailed(fmt.Sprintf("The bootstrap Secret %s has no valid document (%v): delete it to have it made again.", secret.Name, err))
	}
	document.ProviderID = providerID
	return json.Marshal(document)
}

// bootProblem is what the machine's agent says it failed at while it has no identity to report with.
func (r *Reconciler) bootProblem(p Process) string {
	data, err := r.machines.Host.ReadInside(p, node.BootReportPath)
	if err != nil {
		return ""
	}
	report := &node.BootReport{}
	if err := json.Unmarshal(data, report); err != nil || report.Reason == "" {
		return ""
	}
	return v1alpha1.BoundMessage(fmt.Sprintf("%s failed (%s): %s", report.Phase, report.Reason, report.Message))
}

func inClusterAPI(apiVersion string) bool {
	group, _, _ := strings.Cut(apiVersion, "/")
	return group == clusterv1.GroupVersion.Group
}
