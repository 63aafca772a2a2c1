package v1alpha1

// Conditions of a NodePool. Ready, Reconciling and Stalled have kstatus' meaning.
const (
	// ReadyCondition is True when every wanted replica is ready and nothing is left to do.
	ReadyCondition = "Ready"
	// AvailableCondition is True when as many Machines are available as the pool wants.
	AvailableCondition = "Available"
	// ReconcilingCondition is True while the pool is on its way to its spec. It is absent otherwise.
	ReconcilingCondition = "Reconciling"
	// StalledCondition is True when the pool cannot get on without a user's help. It is absent otherwise. A paused pool that has
	// anything left to do is an instance, so that nobody who reads kstatus waits for it, and so is one that waits for the fleet.
	StalledCondition = "Stalled"
	// SuspendedCondition is True while spec.paused keeps the pool as it is, complete or not, or the stop of the fleet its machines. It
	// is absent otherwise.
	SuspendedCondition = "Suspended"
	// DrainBlockedCondition is True when an eviction is refused in a drain, of a Machine that goes or of a node that is changed;
	// the message names the machine, the pod and what refuses it. It is absent otherwise.
	DrainBlockedCondition = "DrainBlocked"
	// RolloutCompleteCondition is True when all the pool's machines run its template, or are made to. Its reason is status.rollout.phase,
	// or what keeps the rollout from getting on. It is Unknown while it is not known what the template asks for.
	RolloutCompleteCondition = "RolloutComplete"
	// RepairFrozenCondition is True while no machine of the pool is repaired although some are unhealthy, as more is wrong than these;
	// the message has the numbers. It is absent otherwise.
	RepairFrozenCondition = "RepairFrozen"
	// RefreshedCondition is True when no machine of the pool is left that was made before the time of its annotation
	// fleet.drover.dev/refresh-at, and False while some are, while that time is yet to come, and where it is none. It is absent without
	// the annotation.
	RefreshedCondition = "Refreshed"
)

// Conditions of a NodeAgent. True is good in each. ReadyCondition is True when all the others are.
const (
	RuntimeHealthyCondition    = "RuntimeHealthy"
	KubeletHealthyCondition    = "KubeletHealthy"
	ProxyHealthyCondition      = "ProxyHealthy"
	NetworkHealthyCondition    = "NetworkHealthy"
	DiskHealthyCondition       = "DiskHealthy"
	ClockSynchronizedCondition = "ClockSynchronized"
)

// MachineAgentHealthyCondition mirrors the Ready condition of the NodeAgent onto its Machine, which names it
// as a readiness gate: a Machine is Ready and Available only while its agent says so.
const MachineAgentHealthyCondition = "AgentHealthy"

// Reasons for the conditions and events of a NodePool.
const (
	// ReasonAllReplicasReady: as many Machines as wanted are ready, and no other exists.
	ReasonAllReplicasReady = "AllReplicasReady"
	// ReasonReplicasNotReady: some Machine is not ready, or not as many exist as wanted.
	ReasonReplicasNotReady = "ReplicasNotReady"
	// ReasonEnoughAvailable and ReasonTooFewAvailable go with AvailableCondition.
	ReasonEnoughAvailable = "EnoughAvailable"
	ReasonTooFewAvailable = "TooFewAvailable"
	// ReasonScalingUp: Machines are being made.
	ReasonScalingUp = "ScalingUp"
	// ReasonScalingDown: Machines are being drained and deleted.
	ReasonScalingDown = "ScalingDown"
	// ReasonWaitingForMachines: every Machine exists; some have yet to become ready.
	ReasonWaitingForMachines = "WaitingForMachines"
	// ReasonDeleting: the pool is being deleted; its Machines are drained first.
	ReasonDeleting = "Deleting"
	// ReasonPaused: spec.paused is set; nothing is changed.
	ReasonPaused = "Paused"
	// ReasonFleetStopped: the annotation fleet.drover.dev/stop keeps all nodes as they are.
	ReasonFleetStopped = "FleetStopped"
	// ReasonDoNotDisrupt: what is left to do would disrupt machines that carry the annotation fleet.drover.dev/do-not-disrupt.
	ReasonDoNotDisrupt = "DoNotDisrupt"
	// ReasonBudgetsInvalid: it is not clear what spec.disruption.budgets allow, so that no node is disrupted; the message names the field.
	ReasonBudgetsInvalid = "BudgetsInvalid"
	// ReasonTooManyUnhealthy: more machines are unhealthy than spec.repair.maxUnhealthy allows for any to be repaired.
	ReasonTooManyUnhealthy = "TooManyUnhealthy"
	// ReasonNothingHeard: nothing is heard of any of the pool's nodes, for which their network, or the API server's, may be to blame.
	ReasonNothingHeard = "NothingHeard"
	// ReasonReplacementsFailed: several machines in a row that were made in the place of unhealthy ones did not come up.
	ReasonReplacementsFailed = "ReplacementsFailed"
	// ReasonRepairing: a machine is repaired, or what was made in its place is on its way.
	ReasonRepairing = "Repairing"
	// ReasonRepairRequested: a machine's agent is asked to restart its components, or to reboot it.
	ReasonRepairRequested = "RepairRequested"
	// ReasonBundleNotFound: no NodeBundle has the template's version, or the name that it asks for.
	ReasonBundleNotFound = "BundleNotFound"
	// ReasonBundleAmbiguous: more than one NodeBundle has the template's version, which names none of them.
	ReasonBundleAmbiguous = "BundleAmbiguous"
	// ReasonBundleMismatch: the NodeBundle that the template names has another version than the template.
	ReasonBundleMismatch = "BundleMismatch"
	// ReasonTemplateNotFound: infrastructureRef names no object in the pool's namespace, or no kind that is served.
	ReasonTemplateNotFound = "TemplateNotFound"
	// ReasonTemplateForbidden: the manager's roles do not let it read infrastructureRef's kind.
	ReasonTemplateForbidden = "TemplateForbidden"
	// ReasonMachinesForbidden: the manager's roles do not let it read a kind of infrastructure machines that the pool,
	// which is being deleted, may have some of.
	ReasonMachinesForbidden = "MachinesForbidden"
	// ReasonClusterNotReady: the cluster that Drover runs in is not adopted yet in the pool's namespace.
	ReasonClusterNotReady = "ClusterNotReady"
	// ReasonDiscoveryFailed: a fact about the cluster that nodes need could not be found out. A Machine's, too, that has no
	// NodeAgent for that.
	ReasonDiscoveryFailed = "DiscoveryFailed"
	// ReasonMachineCreateFailed: a Machine or its infrastructure machine was refused by the API server, or is there already and
	// somebody else's.
	ReasonMachineCreateFailed = "MachineCreateFailed"
	// ReasonMachineUpdateFailed: the change of a Machine's NodeAgent was refused by the API server.
	ReasonMachineUpdateFailed = "MachineUpdateFailed"
	// ReasonNodeNameTaken: a Node of that name exists and is not this pool's.
	ReasonNodeNameTaken = "NodeNameTaken"
	// ReasonPodDisruptionBudget: an eviction was refused by a PodDisruptionBudget.
	ReasonPodDisruptionBudget = "PodDisruptionBudget"
	// ReasonEvictionDenied: an eviction was refused by an admission webhook or policy, a quota or the manager's roles; the
	// message has their words.
	ReasonEvictionDenied = "EvictionDenied"
	// ReasonEvictionFailed: the API server failed at an eviction, or could not ask a webhook that must be asked.
	ReasonEvictionFailed = "EvictionFailed"
	// ReasonUpdating: nodes are changed to what the template says, one after the other, or replaced.
	ReasonUpdating = "Updating"
	// ReasonReplacing: machines that run what the template says give way to others of the same, as they expired or somebody asks
	// for it.
	ReasonReplacing = "Replacing"
	// ReasonRefreshInvalid: the annotation fleet.drover.dev/refresh-at is no time; the message says what to write.
	ReasonRefreshInvalid = "RefreshInvalid"
	// ReasonRefreshWaits: its time is yet to come.
	ReasonRefreshWaits = "RefreshWaits"
	// ReasonRefreshing: machines are there that were made before it.
	ReasonRefreshing = "Refreshing"
	// ReasonRefreshed: none is.
	ReasonRefreshed = "Refreshed"
	// ReasonProgressDeadlineExceeded: a rollout has not got on for longer than spec.rollout.progressDeadlineSeconds; the message says
	// what it waits for.
	ReasonProgressDeadlineExceeded = "ProgressDeadlineExceeded"
	// ReasonVersionTooNew: the template's version is newer than the API server's, which a kubelet's may not be.
	ReasonVersionTooNew = "VersionTooNew"
	// ReasonVersionTooOld: the API server does not support kubelets as old as the template's version any more.
	ReasonVersionTooOld = "VersionTooOld"
	// ReasonServerVersionUnknown: the API server does not say how new it is, and so how new a kubelet may be.
	ReasonServerVersionUnknown = "ServerVersionUnknown"
	// ReasonAgentImageMissing: the version of the agent that the template names has no image for the architecture of a node.
	ReasonAgentImageMissing = "AgentImageMissing"
	// ReasonMachineCreated and the following are events only.
	ReasonMachineCreated = "MachineCreated"
	ReasonMachineDeleted = "MachineDeleted"
	ReasonMachineUpdated = "MachineUpdated"
	ReasonDrainTimedOut  = "DrainTimedOut"
	ReasonNodeLost       = "NodeLost"
	ReasonJoinFailed     = "JoinFailed"
	ReasonJoined         = "Joined"
	// ReasonNodeAgentRestored: somebody edited a NodeAgent's spec, which is the manager's, and it was put back.
	ReasonNodeAgentRestored = "NodeAgentRestored"
)

// Reasons for the conditions of a NodeAgent, a Machine's AgentHealthy and the events that go with them.
const (
	// ReasonHealthy: every probe behind the condition succeeded.
	ReasonHealthy = "Healthy"
	// ReasonStarting: the component has not been healthy yet since it was started.
	ReasonStarting = "Starting"
	// ReasonProbeFailed: the component runs, but a probe of it failed; the message has its answer.
	ReasonProbeFailed = "ProbeFailed"
	// ReasonPodCutOff: the link of a pod was deleted, which only another pod in its place gets over; the message names the pod.
	ReasonPodCutOff = "PodCutOff"
	// ReasonExited: the process ended and is about to be started again.
	ReasonExited = "Exited"
	// ReasonHung: the process did not answer for longer than is tolerated, so that the agent ended it and starts it again.
	ReasonHung = "Hung"
	// ReasonRepairExhausted: the agent has restarted the component so often in so short a time that it does not expect restarts to
	// mend it. It goes on slowly; the message says how often, in what time, and how the component ended last.
	ReasonRepairExhausted = "RepairExhausted"
	// ReasonDisabled: the template turned the component off; True, because nothing is wrong.
	ReasonDisabled = "Disabled"
	// ReasonWaitingForDependency: the component waits for another one to be healthy.
	ReasonWaitingForDependency = "WaitingForDependency"
	// ReasonComponentsUnhealthy goes with a NodeAgent's Ready condition; the message names the others.
	ReasonComponentsUnhealthy = "ComponentsUnhealthy"
	// ReasonPreflightFailed: the machine lacks what a node needs; the message has the findings.
	ReasonPreflightFailed = "PreflightFailed"
	// ReasonRolledBack: the node went back to what it ran before, as what it was to run did not prove itself. On a pool it says that
	// no other node is given that.
	ReasonRolledBack = "RolledBack"
	// ReasonNotStarted: a new version of the agent cannot be run on the machine.
	ReasonNotStarted = "NotStarted"
	// ReasonNotConfirmed: it ran, and did not prove itself in time.
	ReasonNotConfirmed = "NotConfirmed"
	// ReasonBundleFetchFailed: the bundle could not be fetched, is not what its digest says, or could not be made durable.
	ReasonBundleFetchFailed = "BundleFetchFailed"
	// ReasonDiskPressure: less space or fewer inodes are free than the kubelet's eviction thresholds ask for.
	ReasonDiskPressure = "DiskPressure"
	// ReasonClockSkewed: the clock is further from the API server's than Kubernetes tolerates.
	ReasonClockSkewed = "ClockSkewed"
	// ReasonNotReported: the agent has not written its status yet.
	ReasonNotReported = "NotReported"
	// ReasonNodeNotReady: the Node is not ready, and the agent's last word is that nothing is wrong. A Machine's only.
	ReasonNodeNotReady = "NodeNotReady"
	// ReasonNotJoined: the agent reports, but its Node is not there after the join deadline. A Machine's only.
	ReasonNotJoined = "NotJoined"
	// ReasonRevisionUnusable: the ControllerRevision that the Machine was made from is gone or cannot be read. A
	// Machine's only, as are the next two.
	ReasonRevisionUnusable = "RevisionUnusable"
	// ReasonNodeAgentRefused: the API server refused the Machine's NodeAgent; the message has its words.
	ReasonNodeAgentRefused = "NodeAgentRefused"
	// ReasonTemplateNotApplied: the pool's labels and taints could not be put onto the Node; the message says why.
	ReasonTemplateNotApplied = "TemplateNotApplied"
	// ReasonNodeNotRegistered: the kubelet runs, but there is no Node; the message has the kubelet's own words.
	ReasonNodeNotRegistered = "NodeNotRegistered"
	// ReasonNodeNotWanted: the machine's NodeAgent is gone, so that its kubelet must not register a Node. A boot report's.
	ReasonNodeNotWanted = "NodeNotWanted"
	// ReasonCertificateDenied: a certificate request was not approved; the message names the field.
	ReasonCertificateDenied = "CertificateDenied"
	// ReasonNoPool: no NodePool counts the Machine. Its labels and its owner reference were taken away, or its pool went without
	// it. A Machine's only, and an event.
	ReasonNoPool = "NoPool"
	// ReasonMachineRestored is an event only: what says whose a Machine is was taken from it, and put back.
	ReasonMachineRestored = "MachineRestored"
	// ReasonNodeWithoutMachine is an event only: a Node of Drover's came back although its Machine is gone, and was deleted.
	ReasonNodeWithoutMachine = "NodeWithoutMachine"
)

// Reasons for the condition Approved of a CertificateSigningRequest; that of Denied is ReasonCertificateDenied, or
// ReasonNodeNameTaken.
const (
	// ReasonJoinTokenUsed: a machine's agent got its first certificate, by the machine's token.
	ReasonJoinTokenUsed = "JoinTokenUsed"
	// ReasonAgentRenewed: the agent got its next one.
	ReasonAgentRenewed = "AgentRenewed"
	// ReasonKubeletIntroduced: the agent got its kubelet the first certificate.
	ReasonKubeletIntroduced = "KubeletIntroduced"
	// ReasonKubeletRenewed: the kubelet got its next one.
	ReasonKubeletRenewed = "KubeletRenewed"
	// ReasonKubeletServing: the kubelet got one to serve with.
	ReasonKubeletServing = "KubeletServing"
)

// ReasonAdopted goes with the Ready condition of an AdoptedCluster and an AdoptedControlPlane.
const ReasonAdopted = "Adopted"

// Reasons for the conditions of a LocalMachine.
const (
	ReasonProvisioned        = "Provisioned"
	ReasonProvisioning       = "Provisioning"
	ReasonProvisionFailed    = "ProvisionFailed"
	ReasonWaitingForMachine  = "WaitingForMachine"
	ReasonWaitingForSecret   = "WaitingForBootstrapSecret"
	ReasonAddressesExhausted = "AddressesExhausted"
	ReasonBootFailed         = "BootFailed"
	ReasonStopped            = "Stopped"
	// ReasonRebooted is an event only.
	ReasonRebooted = "Rebooted"
)

// Conditions of a Host beside Ready.
const (
	// HostReachableCondition: the manager can log in and become root.
	HostReachableCondition = "Reachable"
	// HostFitCondition: the preflight found nothing that keeps the server from becoming a node.
	HostFitCondition = "Fit"
	// HostCleanCondition: nothing of Drover's is on the server. Unknown while the Host is claimed.
	HostCleanCondition = "Clean"
)

// Reasons for the conditions of a Host and a HostMachine. Those of Reachable are remote's: Unreachable, HostKeyMismatch,
// AuthenticationFailed and so on.
const (
	// ReasonAvailable: the Host is free, fit and clean.
	ReasonAvailable = "Available"
	// ReasonClaimed: the Host is a HostMachine's.
	ReasonClaimed = "Claimed"
	// ReasonReachable goes with Reachable, when it is True.
	ReasonReachable = "LoggedIn"
	// ReasonFit goes with Fit, when it is True.
	ReasonFit = "PreflightPassed"
	// ReasonClean goes with Clean, when it is True.
	ReasonClean = "NothingLeft"
	// ReasonCleaning: the Host was released and is being cleaned.
	ReasonCleaning = "Cleaning"
	// ReasonCleanupFailed: it could not be cleaned; the message has the command to finish by hand.
	ReasonCleanupFailed = "CleanupFailed"
	// ReasonQuarantined: the annotation fleet.drover.dev/quarantine keeps the Host from being claimed.
	ReasonQuarantined = "Quarantined"
	// ReasonUnschedulable: spec.unschedulable keeps the Host from being claimed.
	ReasonUnschedulable = "Unschedulable"
	// ReasonKeySecretUnusable: the Secret of keys, or of the sudo password, is missing or has none.
	ReasonKeySecretUnusable = "KeySecretUnusable"
	// ReasonSecretForbidden: the manager may not read or write the Secrets of the namespace.
	ReasonSecretForbidden = "SecretForbidden"
	// ReasonForeignHost: the server's lock file names another cluster or another machine.
	ReasonForeignHost = "ForeignHost"
	// ReasonUnsupportedArchitecture: the manager has no agent for the server's architecture.
	ReasonUnsupportedArchitecture = "UnsupportedArchitecture"
	// ReasonNoHost: no Host is free and fit; the message counts why.
	ReasonNoHost = "NoHost"
	// ReasonDuplicateAddress: another Host has the same address and port.
	ReasonDuplicateAddress = "DuplicateAddress"
	// ReasonHostGone: the Host of a HostMachine is not there any more.
	ReasonHostGone = "HostGone"
)
