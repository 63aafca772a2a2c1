// Package manyhosts measures what a hundred servers that become nodes at once cost the manager, and whether one of them
// waits for another that is slow. The manager is the real one, in a process of its own, and so is the API server; the
// servers are SSH servers of this process, with a stand-in for the agent that is as large as the real one.
//
//	go test -run '^$' -bench Hosts -benchtime 1x ./test/manyhosts
package manyhosts
