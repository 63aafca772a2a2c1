package e2e

import "testing"

// TestNodesOfTheirOwn has the tests that change or break nothing but nodes of pools that they make. They wait most of their time,
// and do so together.
func TestNodesOfTheirOwn(t *testing.T) {
	for _, test := range []struct {
		name string
		run  func(*testing.T)
	}{ // the longest first
		{"a machine is rebooted where a restart does not help", testAMachineIsRebootedWhereARestartDoesNotHelp},
		{"a silent node is replaced, and a pool of them is not", testASilentNodeIsReplacedAndAPoolOfThemIsNot},
		{"a node follows its API server and its authority", testANodeFollowsItsAPIServerAndItsAuthority},
		{"faults", testFaults},
		{"another minor version is for a drained node", testAnotherMinorVersionIsForADrainedNode},
		{"a patch version leaves pods alone, and a bad one stops at the canary", testAPatchVersionLeavesPodsAloneAndABadOneStopsAtTheCanary},
		{"a node goes on without the API server", testANodeGoesOnWithoutTheAPIServer},
		{"an edit of a pool reaches its nodes, and a bad one is rolled back", testAnEditOfAPoolReachesItsNodesAndABadOneIsRolledBack},
		{"a plan foretells what restarts", testAPlanForetellsWhatRestarts},
		{"a changed template is for the nodes there are, and for new ones", testAChangedTemplateIsForTheNodesThereAreAndForNewOnes},
		{"an empty state file keeps no kubelet down", testAnEmptyStateFileKeepsNoKubeletDown},
		{"an agent updates itself, and comes back from a bad version", testAnAgentUpdatesItselfAndComesBackFromABadVersion},
		{"an agent rolls through its pool, and back", testAnAgentRollsThroughItsPoolAndBack},
		{"a bundle that cannot be fetched is reported", testABundleThatCannotBeFetchedIsReportedByTheAgentAndThePool},
		{"a node deleted by hand comes back", testANodeDeletedByHandComesBack},
		{"a drain waits for the PodDisruptionBudget, and says so", testADrainWaitsForThePodDisruptionBudgetAndSaysSo},
		{"a machine whose init dies while its drain is blocked goes all the same", testAMachineWhoseInitDiesWhileItsDrainIsBlockedGoesAllTheSame},
		{"a pod that takes the node's memory is evicted", testAPodThatTakesTheNodesMemoryIsEvicted},
		{"scaling down leaves nothing of the machine", testScalingDownLeavesNothingOfTheMachine},
		{"a foreground deletion drains just the same", testForegroundDeletionDrainsJustTheSame},
		{"a node that cannot start says why", testANodeThatCannotStartSaysWhy},
		{"a machine deleted by hand is replaced", testAMachineDeletedByHandIsReplaced},
		{"a machine whose init dies boots again", testAMachineWhoseInitDiesBootsAgain},
		{"nodes of other versions run beside the demo's", testNodesOfOtherVersionsRunBesideTheDemos},
		{"deleting a namespace drains its machines", testDeletingANamespaceDrainsItsMachines},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.run(t)
		})
	}
}
