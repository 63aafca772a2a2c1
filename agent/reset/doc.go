// Package reset takes back what an agent made of a machine: `drover-agent reset`.
//
// It removes what an agent makes and nothing else, in an order in which nothing comes back: the agent, the kubelet, the
// pods, containerd, what is left of the pods without it, mounts, network, cgroups, files. Each step may find its work
// done, so a second reset does nothing, and one that was killed is finished by the next: the state directory, which
// tells that there is something to reset, goes last but for the agent's lock, which is held to the end so that no agent
// begins what is being undone.
package reset
