package join

import (
	"fmt"
	"slices"
	"strings"

	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// hasJoined is true once a machine's agent has used its identity. From then on no token lets anybody in for it. The
// Machine's own condition counts too, so that deleting the NodeAgent by hand does not open the door again.
func hasJoined(machine *clusterv1.Machine, agent *v1alpha1.NodeAgent) bool {
	if machine.Status.NodeRef.IsDefined() || hasReported(agent) {
		return true
	}
	for i := range machine.Status.Conditions {
		condition := &machine.Status.Conditions[i]
		if condition.Type == v1alpha1.MachineAgentHealthyCondition {
			return !slices.Contains(BeforeReport, condition.Reason)
		}
	}
	return false
}

// BeforeReport are the reasons that AgentHealthy may have although no agent ever reported.
var BeforeReport = []string{
	v1alpha1.ReasonNotReported, v1alpha1.ReasonBootFailed, v1alpha1.ReasonProvisionFailed,
	v1alpha1.ReasonAddressesExhausted, v1alpha1.ReasonStopped, v1alpha1.ReasonNodeNameTaken,
	v1alpha1.ReasonRevisionUnusable, v1alpha1.ReasonNodeAgentRefused, v1alpha1.ReasonDiscoveryFailed,
}

// hasReported is true once the agent has written its status for the first time.
func hasReported(agent *v1alpha1.NodeAgent) bool {
	return agent != nil && agent.Status.AgentVersion != ""
}

// BelongsTo says in an error why a Machine is not one that this pool made. Machines with a pool's labels can be made
// by anybody who may make Machines in some namespace. The name has a hash of the pool's namespace and UID in it, so
// such a person gets no further than nodes of pools in that same namespace.
func BelongsTo(machine *clusterv1.Machine, pool *v1alpha1.NodePool) error {
	switch {
	case pool == nil:
		return fmt.Errorf("no NodePool %s/%s", machine.Namespace, machine.Labels[v1alpha1.PoolLabel])
	case machine.Namespace != pool.Namespace || machine.Labels[v1alpha1.PoolLabel] != pool.Name:
		return fmt.Errorf("label %s does not name NodePool %s/%s", v1alpha1.PoolLabel, pool.Namespace, pool.Name)
	case machine.Labels[v1alpha1.PoolUIDLabel] != string(pool.UID):
		return fmt.Errorf("label %s is not the UID of NodePool %s/%s", v1alpha1.PoolUIDLabel, pool.Namespace, pool.Name)
	case !strings.HasPrefix(machine.Name, v1alpha1.MachineNamePrefix(pool)):
		return fmt.Errorf("name %s does not begin with %s, as those of NodePool %s/%s do",
			machine.Name, v1alpha1.MachineNamePrefix(pool), pool.Namespace, pool.Name)
	}
	return nil
}
