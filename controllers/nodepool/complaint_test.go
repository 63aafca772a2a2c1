package nodepool_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// TestAPoolQuotesWhatItsMachineSaysNow: a machine's trouble may change although it is neither more ready than before nor
// less.
func TestAPoolQuotesWhatItsMachineSaysNow(t *testing.T) {
	s := newSite(t)
	s.startManager()
	pool := s.pool("workers", 1)
	s.create(pool)
	s.eventually("a machine is made", func() error { return s.counts(1, 0) })

	says := func(conditionType string, status metav1.ConditionStatus, message string) {
		s.eventually("the machine takes "+conditionType, func() error {
			machine := &s.machines()[0]
			meta.SetStatusCondition(&machine.Status.Conditions, metav1.Condition{Type: conditionType, Status: status, Reason: "Test", Message: message})
			return s.Client.Status().Update(t.Context(), machine)
		})
	}
	quotes := func(message string) {
		t.Helper()
		s.eventually("the pool quotes "+message, func() error {
			err := s.hasCondition(pool, v1alpha1.ReadyCondition, v1alpha1.ReasonWaitingForMachines)
			if err == nil && !strings.Contains(meta.FindStatusCondition(pool.Status.Conditions, v1alpha1.ReadyCondition).Message, message) {
				err = errors.New(fmt.Sprint(pool.Status.Conditions))
			}
			return err
		})
	}
	says(clusterv1.MachineInfrastructureReadyCondition, metav1.ConditionFalse, "no quota left")
	quotes("no quota left")
	says(clusterv1.MachineInfrastructureReadyCondition, metav1.ConditionFalse, "no address left")
	quotes("no address left")
	says(clusterv1.MachineInfrastructureReadyCondition, metav1.ConditionTrue, "")
	says(v1alpha1.MachineAgentHealthyCondition, metav1.ConditionTrue, "")
	says(clusterv1.MachineNodeHealthyCondition, metav1.ConditionFalse, "* Node.DiskPressure: disk is full")
	quotes("disk is full")
	says(clusterv1.MachineNodeHealthyCondition, metav1.ConditionUnknown, "* Node.Ready: the kubelet stopped posting")
	quotes("stopped posting")
}
