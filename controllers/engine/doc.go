// Package engine runs Cluster API's cluster and machine reconcilers inside Drover's manager. It is the one importer of
// those reconcilers, whose Go API may break in patch releases. Check refuses to start beside a Cluster API that
// somebody else runs. What the reconcilers find in a cluster, package adopter made; what the manager's cache holds,
// package caching says.
//
// The reconcilers are upstream's, unchanged, but what they see and do goes through parts of ours. This is the list of
// every place where that is not what the API server has, or would have been told. Whoever adds one adds a line.
//
// The client for Machines, Clusters and infrastructure (heldClient). Only Get and the patches are ours; lists, watches,
// creations, updates and deletions, and the reconcilers' APIReader, show and do what they say.
//
//   - An object with the adopter's finalizer seems not to be deleted: the adopted Cluster and its control plane keep
//     going while pools use them.
//   - A LocalMachine or HostMachine seems not to be deleted while its Machine, which is its controller, has yet to be drained.
//     A read of one that is deleted fails when its Machine cannot be read.
//   - A Machine without the condition Paused seems to have it, with the status False.
//   - A read of a Machine waits up to a second until the cache has seen what this client last wrote to it. After a
//     write that conflicted, the next read of that Machine comes from the API server.
//   - A patch of a Machine's conditions takes along what else the reconcile has changed in its status by then, if the Machine is
//     still as the reconcile read it; the patch of that, which Cluster API sends next, is then answered but not sent (coalesce.go).
//   - A Machine's first status is answered but not sent for up to ten seconds, while the Machine has no Node yet, or no word of
//     its agent where that is a readiness gate. It is looked at again when they are over (newborns.go).
//
// The client for Nodes and what runs on them (nodeClient, cached and uncached alike). Only patches of an object are
// ours, and one list; patches of a status or of another subresource are sent as they are.
//
//   - A list of all Nodes, without any option, has none where it would come from the cache: Cluster API asks for it only
//     when the cache's index has no Node of a provider ID, and does not trust that.
//   - A merge patch that changes nothing is not sent. The caller's object then stays as it was, and it learns neither
//     of a conflict nor that the object is gone.
//   - A merge patch that only adds or sets labels and annotations is sent without the resource version it insists on.
//
// The ClusterCache (localCluster) is the manager's own client and cache, not a second set made from a kubeconfig.
//
//   - Every Cluster named "drover", in whatever namespace, is the cluster we run in; no other is ever connected.
//   - Its clients have the manager's identity, scheme, rate limit and cache. What is not read live comes from that cache.
//   - A watch is set up once for each name, by the Cluster that asks first, and is never taken down with a Cluster.
//   - "Connected" and the last success rest on one probe of /readyz by the manager, every 10 seconds and every second
//     while it fails; five failures in a row disconnect. The API server's answer is taken for every Cluster's.
//   - When the connection comes or goes, or success is past for as long as a reconciler asked for, all Clusters with
//     our watch filter's label are enqueued, at once and once.
//
// The manager's cache (package caching), which both clients read from.
//
//   - No object has managed fields, and no Node the list of its images.
//   - Secrets, ConfigMaps, Pods, DaemonSets, PersistentVolumes and VolumeAttachments are read live, and Secrets
//     not watched at all. A watch for ConfigMaps sees only the one that stops the fleet, one for ControllerRevisions only pools'.
//   - Unstructured objects, as which Cluster API reads infrastructure, come from the cache too.
//
// The queues (queue.go), in place of Cluster API's limit of one reconcile per object and second, which is off.
//
//   - An event is handed on after 20 milliseconds, together with those that came meanwhile; a Machine's at the earliest
//     half a second after its last reconcile began, a Cluster's, after eight at once, every two seconds, and a
//     MachineHealthCheck's, after four, every fifteen.
//   - A reconciler that asks to be called again later is called after 5 seconds at most: the 20 seconds of a drain, and
//     the 30 of a missing object, become 5; not so a MachineHealthCheck. A drain keeps its 20 seconds when evictions were refused and no pod leaves that
//     may change that (drainwait.go). A retry after an error keeps the limiter's own wait.
//   - There are no priorities: what the first list brings waits in one line with later events.
//
// The client for MachineHealthChecks (checkClient). Reads are ours, of nothing else but these and what is unstructured.
//
//   - One seems to have the label of its Cluster, and that as its owner. Neither is written.
//   - One of a Cluster that is not there, or is not named "drover", seems not to be there.
//   - Unstructured objects, which are of kinds for remediation by others, are read live.
//
// What there is to see at all (setup.go): only objects with our watch filter's label are reconciled, MachineHealthChecks aside, and
// MachinePools do not exist.
package engine
