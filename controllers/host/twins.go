package host

import (
	"context"
	"fmt"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/infra"
)

// onlyOne fails if another Host, older than this one, has the same address.
func (r *Reconciler) onlyOne(ctx context.Context, h *v1alpha1.Host) error {
	o, err := r.elder(ctx, h, func(o *v1alpha1.Host) bool {
		return o.Spec.Address == h.Spec.Address && o.Spec.Port == h.Spec.Port && jump(o) == jump(h)
	})
	if err != nil || o == nil {
		return err
	}
	return &infra.Problem{Reason: v1alpha1.ReasonDuplicateAddress, Message: fmt.Sprintf("Host %s/%s has the same address: delete one of the two.", o.Namespace, o.Name)}
}

func jump(h *v1alpha1.Host) string {
	if h.Spec.JumpHost == nil {
		return ""
	}
	return h.Spec.JumpHost.Address
}

// cloned says of a server that it has the machine-id of an older Host's. It is fit all the same: here nodes go by name.
func (r *Reconciler) cloned(ctx context.Context, h *v1alpha1.Host) (string, error) {
	o, err := r.elder(ctx, h, func(o *v1alpha1.Host) bool {
		return o.Status.Facts.MachineID != "" && o.Status.Facts.MachineID == h.Status.Facts.MachineID
	})
	if err != nil || o == nil {
		return "", err
	}
	return fmt.Sprintf("MachineID: the server of Host %s/%s has the same machine-id. If they are two, give this one its own, or it may take the other's address by DHCP (rm /etc/machine-id; systemd-machine-id-setup; reboot); if they are one, delete one of the Hosts.",
		o.Namespace, o.Name), nil
}

// elder is a Host that is older than this one and like that, nil if there is none. So of two alike one is told.
func (r *Reconciler) elder(ctx context.Context, h *v1alpha1.Host, alike func(*v1alpha1.Host) bool) (*v1alpha1.Host, error) {
	hosts := &v1alpha1.HostList{}
	if err := r.Client.List(ctx, hosts); err != nil {
		return nil, fmt.Errorf("list Hosts: %w", err)
	}
	for i := range hosts.Items {
		o := &hosts.Items[i]
		if o.UID == h.UID || !alike(o) {
			continue
		}
		if o.CreationTimestamp.Before(&h.CreationTimestamp) || o.CreationTimestamp.Equal(&h.CreationTimestamp) && o.UID < h.UID {
			return o, nil
		}
	}
	return nil, nil
}
