// Package fleets measures what a large fleet costs: a thousand simulated machines from apply to Ready, and a change of a label and of
// what their kubelets are configured with over all of them. Drover does it with one NodePool, in place. Beside it, in the same run,
// Cluster API's own controllers do it with one MachineDeployment, which replaces each machine for the second half of the change.
//
// Each side is a manager in a process of its own, with a real API server and etcd of its own. The machines are package simulated's,
// as are the agents, in the process of the benchmark: what they ask of the API server counts for nobody, but takes processors.
//
//	go test -run '^$' -bench Fleets -benchtime 1x -timeout 60m ./test/fleets
//	go test -run '^$' -bench Fleets -benchtime 1x -timeout 60m ./test/fleets -fleets.machines=10000 -fleets.sides=drover
package fleets
