package join

import (
	"context"
	"fmt"
	"strings"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	bootstrapapi "k8s.io/cluster-bootstrap/token/api"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/fence"
	"github.com/drover-dev/drover/controllers/lookup"
)

// gather collects what a decision needs. With live it asks the API server, else the cache. Token Secrets and the
// requests made with a token are the exceptions: the former are never cached, the latter are told apart by the cache's
// index, and keys approved a moment ago are remembered here.
func (r *ApprovalReconciler) gather(ctx context.Context, csr *certificatesv1.CertificateSigningRequest, live bool) (*facts, error) {
	f := &facts{csr: csr}
	f.request, f.requestErr = parseRequest(csr)
	if claimOf(csr) == claimToken {
		if err := r.gatherToken(ctx, f); err != nil {
			return nil, err
		}
	}
	if f.nodeName() == "" {
		return f, nil
	}
	return f, r.gatherMachine(ctx, f, live)
}

func (r *ApprovalReconciler) gatherToken(ctx context.Context, f *facts) error {
	id, ok := strings.CutPrefix(f.csr.Spec.Username, bootstrapapi.BootstrapUserPrefix)
	if !ok {
		return nil
	}
	var err error
	name := types.NamespacedName{Namespace: tokenNamespace, Name: secretName(id)}
	if f.token, err = lookup.GetOrNil(ctx, r.Workload.Live, name, &corev1.Secret{}); err != nil || f.token == nil {
		return err
	}
	if f.approvedKeys, err = approvedKeys(ctx, r.Workload, id); err != nil {
		return err
	}
	if key := f.token.Annotations[approvedKeyAnnotation]; key != "" {
		f.approvedKeys = append(f.approvedKeys, key)
	}
	if key, ok := r.keys.of(f.token.UID); ok {
		f.approvedKeys = append(f.approvedKeys, key)
	}
	return nil
}

func (r *ApprovalReconciler) gatherMachine(ctx context.Context, f *facts, live bool) error {
	workload := r.Workload.Reader(live)
	node := types.NamespacedName{Name: f.nodeName()}
	var err error
	if f.agent, err = lookup.GetOrNil(ctx, workload, node, &v1alpha1.NodeAgent{}); err != nil {
		return err
	}
	if f.node, err = lookup.GetOrNil(ctx, workload, node, &corev1.Node{}); err != nil {
		return err
	}
	if f.machine, err = r.machineOf(ctx, f, live); err != nil || f.machine == nil {
		return err
	}
	if f.pool, err = lookup.PoolOf(ctx, r.Management.Reader(live), f.machine); err != nil {
		return err
	}
	if live && f.csr.Spec.SignerName == certificatesv1.KubeletServingSignerName {
		f.infraAddresses = r.infraAddresses(ctx, f.machine)
	}
	return nil
}

// machineOf finds the Machine of ours that stands for a node. The token, or else the NodeAgent, says in which
// namespace it is; asked live, all namespaces are searched where neither does.
func (r *ApprovalReconciler) machineOf(ctx context.Context, f *facts, live bool) (*clusterv1.Machine, error) {
	name := types.NamespacedName{Name: f.nodeName()}
	switch {
	case f.token != nil:
		name.Namespace = tokenMachine(f.token).Namespace
	case f.agent != nil:
		name.Namespace = f.agent.Labels[v1alpha1.PoolNamespaceLabel]
	}
	if live && name.Namespace == "" {
		return r.searchMachine(ctx, f)
	}
	if name.Namespace == "" {
		return nil, nil
	}
	machine, err := lookup.GetOrNil(ctx, r.Management.Reader(live), name, &clusterv1.Machine{})
	if err != nil || machine == nil || !lookup.MayBeOfPool(machine) {
		return nil, err
	}
	return machine, nil
}

// searchMachine looks for the Machine of a node that has no NodeAgent, which is that of most nodes that are not ours: their
// kubelets ask for certificates all the time where nobody approves them. For these the cache knows well enough. It may lag
// behind where a machine of ours has just been made, but then there is a NodeAgent; and where somebody deleted that, the
// Machine has long been in the cache.
func (r *ApprovalReconciler) searchMachine(ctx context.Context, f *facts) (*clusterv1.Machine, error) {
	live := claimOf(f.csr) != claimNode || f.node != nil && fence.IsMarked(f.node)
	machines := &clusterv1.MachineList{}
	err := r.Management.Reader(live).List(ctx, machines, client.HasLabels{v1alpha1.PoolUIDLabel}, client.MatchingFields{nameField: f.nodeName()})
	if err != nil {
		return nil, fmt.Errorf("search for Machine %s: %w", f.nodeName(), err)
	}
	if len(machines.Items) != 1 {
		return nil, nil
	}
	if live {
		return &machines.Items[0], nil
	}
	return lookup.GetOrNil(ctx, r.Management.Live, client.ObjectKeyFromObject(&machines.Items[0]), &clusterv1.Machine{})
}

// infraAddresses are the addresses in the status of the Machine's infrastructure machine, from which Cluster API copies
// them a moment later. What cannot be read adds nothing.
func (r *ApprovalReconciler) infraAddresses(ctx context.Context, machine *clusterv1.Machine) clusterv1.MachineAddresses {
	ref := machine.Spec.InfrastructureRef
	mapping, err := r.Management.RESTMapper().RESTMapping(schema.GroupKind{Group: ref.APIGroup, Kind: ref.Kind})
	if err != nil {
		return nil
	}
	infra := &unstructured.Unstructured{}
	infra.SetGroupVersionKind(mapping.GroupVersionKind)
	if err := r.Management.Live.Get(ctx, types.NamespacedName{Namespace: machine.Namespace, Name: ref.Name}, infra); err != nil {
		return nil
	}
	status, _, _ := unstructured.NestedMap(infra.Object, "status")
	var reported struct {
		Addresses clusterv1.MachineAddresses `json:"addresses"`
	}
	if runtime.DefaultUnstructuredConverter.FromUnstructured(status, &reported) != nil {
		return nil
	}
	return reported.Addresses
}
