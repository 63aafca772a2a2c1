package planner

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"github.com/drover-dev/drover/api/v1alpha1"
)

func TestAPoolThatGoesSaysWhyAServerCannotBeGivenBack(t *testing.T) {
	const noKey = "Host a is not clean: there is no Secret key in the namespace"
	waiting := withCondition(clusterv1.MachineDeletingCondition, metav1.ConditionTrue, "Waiting for HostMachine to be deleted", clusterv1.MachineDeletingWaitingForInfrastructureDeletionReason)
	for reason, test := range map[string]struct{ why, message, want string }{
		"what a user must mend is quoted":   {v1alpha1.ReasonKeySecretUnusable, noKey, noKey},
		"what takes its time is not":        {v1alpha1.ReasonCleaning, "Host a is being cleaned.", ""},
		"Cluster API's own sentence is not": {clusterv1.MachineInfrastructureNotReadyReason, "HostMachine status.initialization.provisioned is false", ""},
	} {
		m := newMachine(0, leaving, waiting, withCondition(clusterv1.MachineInfrastructureReadyCondition, metav1.ConditionFalse, test.message, test.why))
		if got := Complaint(m); got != test.want {
			t.Errorf("%s: got %q, want %q", reason, got, test.want)
		}
	}
}

func TestAPoolSaysWholeWhatRestartsDidNotMend(t *testing.T) {
	message := `KubeletHealthy: kubelet ended with code 1, after saying "` + strings.Repeat("x", 200) + `"; 100 restarts within 2h59m59s did not mend it ` +
		`(88 after an end, 10 after a hang, 2 for what it had lost), so it is restarted once in 5m at most until none was needed for 1h`
	m := newMachine(0, withCondition(v1alpha1.MachineAgentHealthyCondition, metav1.ConditionFalse, message+"; ProxyHealthy: "+strings.Repeat("y", 600), v1alpha1.ReasonRepairExhausted))
	if got := Complaint(m); !strings.HasPrefix(got, message) {
		t.Errorf("got %q, want all of %q", got, message)
	}
}
