// Package machineinit is the first process of a local machine: `drover-agent init`.
//
// The local provider starts it in new namespaces with a boot plan (node.LocalBoot) and two pipes. Init waits at
// the first pipe for the provider's word, so that a provider which dies half-way leaves nothing running; it then
// carries out the plan (mounts, devices, files, network), makes the machine's root its own, and answers through the
// second pipe. From then on it needs nobody: it starts the agent, starts it again when it ends, ends one that said that
// it lives and then fell silent, falls back to the binary that somebody left beside one that keeps failing, reaps every
// orphan, and on SIGTERM stops all there is. (A new version of the agent is tried by the one before it: agent/selfupdate.)
// When it ends, the kernel ends everything else in the machine.
//
// It makes no decisions of its own and links nothing of Kubernetes' client.
package machineinit
