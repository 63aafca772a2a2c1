package vm

import "testing"

// TestMachines runs each machine's tests one after another, those of one beside those of the other, for which they take about as
// long: an emulated machine keeps one processor busy at most times, and a host of CI has two.
func TestMachines(t *testing.T) {
	type test struct {
		name string
		run  func(t *testing.T, debian *Server)
	}
	for debian, tests := range map[*Server][]test{
		first: {
			{"the preflight knows a stock Debian", testPreflightKnowsAStockDebian},
			{"a snapshot sees what is left", testSnapshotSeesWhatIsLeft},
			{"a Host becomes a node and is given back", testAHostBecomesANodeAndIsGivenBack},
		},
		second: {
			{"it is a stock Debian", testTheMachineIsAStockDebian},
			{"privileges", testPrivileges},
			{"a reset gives back the machine that there was", testResetGivesBackTheMachineThatThereWas},
			{"ways into a server", testWaysIntoAServer},
			{"servers that are unfit", testServersThatAreUnfit},
			{"a server is cut off in mid-install", testAServerIsCutOffInMidInstall},
		},
	} {
		t.Run(debian.Name, func(t *testing.T) {
			t.Parallel()
			for _, test := range tests {
				t.Run(test.name, func(t *testing.T) { test.run(t, debian) })
			}
		})
	}
}
