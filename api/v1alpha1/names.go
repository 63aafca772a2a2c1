package v1alpha1

// Labels, annotations and finalizers that Drover sets or reads.
const (
	// PoolLabel names the NodePool of a Machine, its infrastructure machine, its NodeAgent and its Node.
	PoolLabel = "fleet.drover.dev/pool"
	// PoolUIDLabel holds the UID of that NodePool. Ownership is decided by it, never by the name.
	PoolUIDLabel = "fleet.drover.dev/pool-uid"
	// PoolNamespaceLabel names the namespace of that NodePool on objects that have no namespace or another one.
	PoolNamespaceLabel = "fleet.drover.dev/pool-namespace"
	// RevisionLabel holds the revision of the pool's template that a Machine was made from.
	RevisionLabel = "fleet.drover.dev/revision"
	// MachineUIDLabel holds the UID of the Machine a join token belongs to.
	MachineUIDLabel = "fleet.drover.dev/machine-uid"
	// OrdinalLabel holds the number in a machine's name, which is never used twice in one pool.
	OrdinalLabel = "fleet.drover.dev/ordinal"
	// NoPoolLabel marks, with the value "true", a Node whose Machine no NodePool counts any more.
	NoPoolLabel = "fleet.drover.dev/no-pool"
	// ManagedLabel marks, with the value "true", what Drover installed (Cluster API's CRDs, for one).
	ManagedLabel = "fleet.drover.dev/managed"

	// WatchFilterLabel, with WatchFilterValue, is on every Cluster and Machine that Drover makes: its own Cluster API
	// reconcilers look at no others, so that those of another Cluster API are left alone.
	WatchFilterLabel = "cluster.x-k8s.io/watch-filter"
	WatchFilterValue = "drover"

	// DeleteFirstAnnotation on a Machine, with any value, makes it the first to go when its pool is scaled down. Cluster API's
	// cluster.x-k8s.io/delete-machine is as good.
	DeleteFirstAnnotation = "fleet.drover.dev/delete-first"
	// ForensicHoldAnnotation on a Machine, with any value, has its pool leave it as it is when it is unhealthy, for somebody to look at.
	// Cluster API's cluster.x-k8s.io/skip-remediation is as good.
	ForensicHoldAnnotation = "fleet.drover.dev/forensic-hold"
	// DoNotDisruptAnnotation on a Machine keeps Drover from changing, draining or deleting it, for whatever cause but that its pool is
	// deleted. Its value is the reason, for whoever asks; any value counts, also none. Whoever deletes the Machine is obeyed.
	DoNotDisruptAnnotation = "fleet.drover.dev/do-not-disrupt"
	// RefreshAtAnnotation on a NodePool holds a time of RFC 3339, such as 2026-11-30T13:00:00Z: the pool's machines that were made before
	// it are replaced, from then on, as those that expire are. On a Machine it is about that machine alone. As spec.rollout.after of a
	// Cluster API MachineDeployment, and as kubectl rollout restart.
	RefreshAtAnnotation = "fleet.drover.dev/refresh-at"
	// ToldRevisionAnnotation on a Machine names the revision that its node was told last to run. It is not there before the node
	// was told another one than the Machine was made from, and is written before the NodeAgent's spec, which somebody may delete.
	ToldRevisionAnnotation = "fleet.drover.dev/told-revision"
	// NodeTemplateAnnotation on a Node holds the label keys and taints that Drover put there, as JSON, so that
	// it can take back its own when the pool's template drops them.
	NodeTemplateAnnotation = "fleet.drover.dev/node-template"

	// CordonedAnnotation on a Node says that Drover cordoned it, and since when, to change it once it is drained. Drover uncordons
	// the Node after that, and no Node without the annotation.
	CordonedAnnotation = "fleet.drover.dev/cordoned"

	// NextOrdinalAnnotation on a NodePool holds status.nextOrdinal once more. A status can be lost: an edit, a restore.
	NextOrdinalAnnotation = "fleet.drover.dev/next-ordinal"

	// StopAnnotation on the ConfigMap StopName in the manager's namespace stops the fleet, whatever its value, which is the reason.
	StopAnnotation = "fleet.drover.dev/stop"

	// NodePoolFinalizer keeps a NodePool until its last Machine is drained and gone.
	NodePoolFinalizer = "fleet.drover.dev/nodepool"
	// OrdinalFinalizer keeps a Machine until its pool's reservation of its ordinal is over. While it exists nobody
	// takes the ordinal for one that was never used.
	OrdinalFinalizer = "fleet.drover.dev/ordinal"
	// InfrastructureAnnotation on a ControllerRevision holds the infrastructureRef of its template, as JSON.
	InfrastructureAnnotation = "fleet.drover.dev/infrastructure-ref"
	// InfrastructureHashAnnotation on a ControllerRevision holds the hash of the content (the spec) of that template, and
	// InfrastructureObjectAnnotation the UID and the generation that the template had then, with a '/' between.
	InfrastructureHashAnnotation   = "fleet.drover.dev/infrastructure-hash"
	InfrastructureObjectAnnotation = "fleet.drover.dev/infrastructure-object"
	// ArtifactsAnnotation on a ControllerRevision holds the artifacts for architectures that its NodeBundle got since, as JSON.
	ArtifactsAnnotation = "fleet.drover.dev/artifacts"
	// TemplateHashAnnotation on a ControllerRevision holds the hash of what the user wrote in the template, after the version
	// of how that is hashed and a ':'. Without one it is of the first version, and of the bundle's images as well.
	TemplateHashAnnotation = "fleet.drover.dev/template-hash"
	// LocalMachineFinalizer keeps a LocalMachine until its processes, mounts, cgroups and links are gone.
	LocalMachineFinalizer = "fleet.drover.dev/localmachine"
	// HostMachineFinalizer keeps a HostMachine until its Host is released.
	HostMachineFinalizer = "fleet.drover.dev/hostmachine"
	// HostFinalizer keeps a Host while it is claimed, and until it is clean.
	HostFinalizer = "fleet.drover.dev/host"
	// ClaimAnnotation on a Host holds its HostClaim, as JSON. It is written with a lock on the Host's version, and survives
	// a lost status.
	ClaimAnnotation = "fleet.drover.dev/claim"
	// ChosenHostAnnotation on a HostMachine names the Host that it is about to claim. It is written with a lock on the
	// HostMachine's version before the claim is, so that two managers do not claim two Hosts for one machine.
	ChosenHostAnnotation = "fleet.drover.dev/chosen-host"
	// HostKeyAnnotation on a Host that is trusted on first use holds the key it showed then, so that a lost status trusts
	// nobody anew. Whoever has given the server another key removes it.
	HostKeyAnnotation = "fleet.drover.dev/host-key"
	// QuarantineAnnotation on a Host says why it may not be claimed. Whoever has mended that removes it. On a Machine it says what its
	// Host is given to say when it is released: a repair writes it, or a person who is about to delete the Machine.
	QuarantineAnnotation = "fleet.drover.dev/quarantine"
	// AdoptedClusterFinalizer keeps the adopted Cluster while pools in its namespace use it.
	AdoptedClusterFinalizer = "fleet.drover.dev/adopted-cluster"
)

// Identities. The approver of certificate requests, the RBAC rules and the admission policies rest on them.
const (
	// AgentUserPrefix and the node's name make the user name of that node's agent.
	AgentUserPrefix = "drover:agent:"
	// AgentsGroup is the group (certificate organisation) of every agent.
	AgentsGroup = "drover:agents"
	// BootstrapGroup is the extra group of join tokens. It is none of kubeadm's, whose requests other
	// approvers let through unseen.
	BootstrapGroup = "system:bootstrappers:drover"
	// NodeUserPrefix and the node's name make the user name of that node's kubelet.
	NodeUserPrefix = "system:node:"
	// NodesGroup is the group (certificate organisation) of every kubelet.
	NodesGroup = "system:nodes"
)

// Names of the components in NodeAgent.status.components.
const (
	ComponentContainerd = "containerd"
	ComponentKubelet    = "kubelet"
	ComponentKubeProxy  = "kube-proxy"
	ComponentNetwork    = "network"
)

// Names of objects and of what is in them.
const (
	// AdoptedClusterName is the name of the Cluster, the AdoptedCluster and the AdoptedControlPlane that stand for
	// the cluster Drover runs in, in each namespace that has a NodePool.
	AdoptedClusterName = "drover"
	// StopName is the name of the ConfigMap, in the manager's namespace, that stops the fleet by its StopAnnotation.
	StopName = "drover-stop"
	// BootstrapSecretSuffix and the machine's name before it make the name of its bootstrap Secret.
	BootstrapSecretSuffix = "-bootstrap"
	// BootstrapSecretKey is the key of the document (api/node.Bootstrap) in a Machine's bootstrap Secret.
	BootstrapSecretKey = "value"
	// BootstrapSecretFormatKey is the key of that document's format, and BootstrapFormat its value.
	BootstrapSecretFormatKey = "format"
	BootstrapFormat          = "drover"
	// LocalProviderIDPrefix and "<namespace>/<machine>" make the provider ID of a local machine.
	LocalProviderIDPrefix = "drover-local://"
	// HostProviderIDPrefix and "<namespace>/<machine>" make the provider ID of a machine made of a Host.
	HostProviderIDPrefix = "drover-host://"
)
