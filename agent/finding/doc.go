// Package finding has the words for what the agent finds wrong with a machine: the findings' names, how grave each is, how
// they are put in order and listed. Who finds them is elsewhere: agent/host looks at the machine, agent/network at the pod
// network, agent/report at what the API server takes, and agent/status at the rest.
package finding
