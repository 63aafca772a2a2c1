// Package nodeagent connects a Machine with the software on its node.
//
// For each Machine it makes the NodeAgent that tells the node's agent what to run, and removes it when the Machine is
// gone. It keeps in it what the revision stands for, whoever edits it, and the facts of the cluster: they are no part of a
// revision, and reach all nodes at once. It has the pool's marks put onto the Node (controllers/node). It mirrors what the agent
// reports into the Machine's condition AgentHealthy, and tells the pool in an event why a machine does not join.
//
// Cluster API finds a Node by its provider ID at each reconcile, not by the Machine's NodeRef. So when somebody
// deletes a Node, the Machine reports it missing and is well again as soon as the kubelet has registered the Node
// anew, with the same name and provider ID. Nothing has to be repaired here but labels and taints.
package nodeagent
