package host

import (
	"encoding/json"
	"fmt"

	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/drover-dev/drover/api/v1alpha1"
)

const claimerKind = "HostMachine"

// claimOf is whose a Host is, nil if it is nobody's. A claim that cannot be read is somebody's.
func claimOf(h *v1alpha1.Host) (*v1alpha1.HostClaim, error) {
	text, claimed := h.Annotations[v1alpha1.ClaimAnnotation]
	if !claimed {
		return nil, nil
	}
	claim := &v1alpha1.HostClaim{}
	if err := json.Unmarshal([]byte(text), claim); err != nil || claim.UID == "" {
		return nil, fmt.Errorf("the annotation %s of Host %s cannot be read (%s): whoever changed it must put it back, or remove it once the server is clean", v1alpha1.ClaimAnnotation, h.Name, text)
	}
	return claim, nil
}

// isClaimedBy says whether the Host is that machine's; one that it has released counts only if that is asked for. A claim
// that cannot be read is an error if the machine named that Host, as it does before it claims one.
func isClaimedBy(h *v1alpha1.Host, m *v1alpha1.HostMachine, released bool) (bool, error) {
	claim, err := claimOf(h)
	if err != nil && h.Name != m.Annotations[v1alpha1.ChosenHostAnnotation] && h.Name != m.Status.Host {
		return false, nil
	}
	return claim != nil && claim.UID == string(m.UID) && (released || !isReleased(claim)), err
}

// isReleased says that the Host waits to be cleaned.
func isReleased(claim *v1alpha1.HostClaim) bool {
	return claim != nil && ptr.Deref(claim.Released, false)
}

// setClaim writes a claim into the Host, and holds the Host.
func setClaim(h *v1alpha1.Host, claim v1alpha1.HostClaim) error {
	text, err := json.Marshal(claim)
	if err != nil {
		return fmt.Errorf("write a claim: %w", err)
	}
	if h.Annotations == nil {
		h.Annotations = map[string]string{}
	}
	h.Annotations[v1alpha1.ClaimAnnotation] = string(text)
	controllerutil.AddFinalizer(h, v1alpha1.HostFinalizer)
	return nil
}

// clearClaim makes the Host nobody's.
func clearClaim(h *v1alpha1.Host) {
	delete(h.Annotations, v1alpha1.ClaimAnnotation)
	controllerutil.RemoveFinalizer(h, v1alpha1.HostFinalizer)
}

func claimFor(m *v1alpha1.HostMachine) v1alpha1.HostClaim {
	return v1alpha1.HostClaim{Kind: claimerKind, Name: m.Name, UID: string(m.UID), Cleanup: m.Spec.Cleanup}
}

// cleanupOf is what becomes of the server when that claim is released. It is in the claim, for the claimer may be gone by then.
func cleanupOf(h *v1alpha1.Host, claim *v1alpha1.HostClaim) v1alpha1.HostCleanup {
	if claim != nil && claim.Cleanup != "" {
		return claim.Cleanup
	}
	return h.Spec.Cleanup
}
