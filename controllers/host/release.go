package host

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// release gives the machine's Host back, to be cleaned, and keeps it from being claimed again where its Machine says so.
func (p *Provider) release(ctx context.Context, h *v1alpha1.Host, claim *v1alpha1.HostClaim, m *v1alpha1.HostMachine) error {
	why, err := p.suspected(ctx, m)
	if err != nil {
		return err
	}
	claim.Released, claim.Cleanup = ptr.To(true), m.Spec.Cleanup
	if err := p.patchHost(ctx, h.DeepCopy(), func(h *v1alpha1.Host) error {
		if why != "" && h.Annotations[v1alpha1.QuarantineAnnotation] == "" {
			h.Annotations[v1alpha1.QuarantineAnnotation] = v1alpha1.Shorten(why, maxQuarantine)
		}
		return setClaim(h, *claim)
	}); err != nil {
		return err
	}
	if why != "" {
		p.Recorder.Eventf(h, m, corev1.EventTypeWarning, v1alpha1.ReasonQuarantined, "Release", "%s", v1alpha1.BoundMessage(sentence(why)))
	}
	return nil
}

// suspected is what the Machine says of the Host that it ran on; empty for nothing. It is read live: what it says was written a moment
// before it was deleted.
func (p *Provider) suspected(ctx context.Context, m *v1alpha1.HostMachine) (string, error) {
	for _, ref := range m.OwnerReferences {
		if ref.Kind != "Machine" {
			continue
		}
		machine := &clusterv1.Machine{}
		err := p.APIReader.Get(ctx, client.ObjectKey{Namespace: m.Namespace, Name: ref.Name}, machine)
		if client.IgnoreNotFound(err) != nil {
			return "", fmt.Errorf("read the Machine of HostMachine %s: %w", m.Name, err)
		}
		if err == nil && machine.UID == ref.UID {
			return machine.Annotations[v1alpha1.QuarantineAnnotation], nil
		}
	}
	return "", nil
}
