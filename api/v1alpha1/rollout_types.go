package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// NodePoolRollout is how a change of a pool's template reaches the nodes there are.
// +kubebuilder:validation:XValidation:rule="!has(self.maxUnavailable) || self.maxUnavailable != 0 && self.maxUnavailable != '0%' || has(self.strategy) && self.strategy == 'Replace' && (!has(self.maxSurge) || self.maxSurge != 0 && self.maxSurge != '0%')",message="maxUnavailable may be 0 only with strategy Replace and a maxSurge above 0: a node that is changed in place is unavailable meanwhile, and without a surge one has to go before another is made"
type NodePoolRollout struct {
	// strategy is what becomes of a node whose template is another one. InPlace changes what runs on it by what disturbs its pods least,
	// and replaces only machines that no change in place can bring there, as those made from another infrastructure. Replace makes
	// another machine in its place, whatever changed; labels and taints are put onto the nodes there are with either, and a machine that
	// has not become a node yet is changed in place. Default: InPlace.
	// +optional
	// +default="InPlace"
	// +kubebuilder:validation:Enum=InPlace;Replace
	Strategy RolloutStrategy `json:"strategy,omitempty"`

	// maxSurge is how many machines the pool may have beyond spec.replicas while some are replaced: a number, or a percentage of
	// spec.replicas, rounded up. So many are replaced at a time, and each is deleted only when another one is available in its place, and
	// has been ready for minReadySeconds. With 0 a machine goes before another is made, as many at a time as maxUnavailable
	// allows: for hosts of which none is to spare. More than 1000 are 1000. Default: 1.
	// +optional
	// +default=1
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:XValidation:rule="type(self) == int ? self >= 0 && self <= 10000 : self.matches('^([1-9]?[0-9]|100)%$')",message="maxSurge is a number from 0 to 10000, or a percentage from 0% to 100%"
	MaxSurge *intstr.IntOrString `json:"maxSurge,omitempty"`

	// maxUnavailable is how many nodes may be unavailable at once for one more to be changed, or to go before another is made
	// (maxSurge 0): a number, or a percentage of spec.replicas, rounded down. A percentage that rounds to nothing is one node, and
	// more than 1000 are 1000. Nodes that are changed count, those that run the present template and are not well, and those that
	// are being deleted, by whomever; a broken one of an older template is among the next to be changed. While it is lowered below
	// what is under way, no other change begins. It may be 0 with strategy Replace and a maxSurge above 0. Default: 1.
	// +optional
	// +default=1
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:XValidation:rule="type(self) == int ? self >= 0 && self <= 10000 : self.matches('^([1-9]?[0-9]|100)%$')",message="maxUnavailable is a number from 0 to 10000, or a percentage from 0% to 100%"
	MaxUnavailable *intstr.IntOrString `json:"maxUnavailable,omitempty"`

	// minReadySeconds is how long a node has to stay well after it runs a change, proved it and its Machine is Ready, before the
	// change counts as over and the next may begin: time for what only shows under load. A node that falls ill meanwhile begins
	// anew. Up to a day. Default: 0.
	// +optional
	// +default=0
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=86400
	MinReadySeconds *int32 `json:"minReadySeconds,omitempty"`

	// progressDeadlineSeconds is for how long a rollout may not get on before the pool is Stalled, with the reason
	// ProgressDeadlineExceeded and what it waits for. It gets on when the change of a node begins, is over or has proved itself. The
	// time does not run while something of yours holds it: paused, the stop of the fleet, a budget, minReadySeconds or the
	// canary's soakSeconds; nor for machines that are made, of which nodeStartupTimeoutSeconds speaks. The rollout goes on
	// when it can, and the pool is Stalled no more; onFailure does not take it for a failure of the change. From a minute to
	// a week. Default: 600.
	// +optional
	// +default=600
	// +kubebuilder:validation:Minimum=60
	// +kubebuilder:validation:Maximum=604800
	ProgressDeadlineSeconds *int32 `json:"progressDeadlineSeconds,omitempty"`

	// revisionHistoryLimit is how many revisions are kept, as ControllerRevisions, that none of the pool's machines uses any more: a
	// template that is put back is the revision that it was. Those that machines run or were made from, that a node would go
	// back to and that all nodes ran last are kept besides. From 1 to 100. Default: 10.
	// +optional
	// +default=10
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	RevisionHistoryLimit *int32 `json:"revisionHistoryLimit,omitempty"`

	// canary are nodes that are given a change before the others. Default: there are none.
	// +optional
	Canary *RolloutCanary `json:"canary,omitempty"`

	// onFailure is what becomes of a rollout when a node went back from the change, as it did not prove itself there. It is given
	// to no other node in any case. Pause leaves those alone that run it; the change is tried again when the node that went back
	// is replaced. Rollback gives them what that node went back to, as many at a time as maxUnavailable allows, and does not try
	// the change again until the template is another one. Default: Pause.
	// +optional
	// +default="Pause"
	// +kubebuilder:validation:Enum=Pause;Rollback
	OnFailure RolloutFailurePolicy `json:"onFailure,omitempty"`
}

// RolloutStrategy is what becomes of a node whose template is another one.
type RolloutStrategy string

// What becomes of a node whose template is another one.
const (
	// RolloutInPlace changes what runs on it.
	RolloutInPlace RolloutStrategy = "InPlace"
	// RolloutReplace makes another machine in its place.
	RolloutReplace RolloutStrategy = "Replace"
)

// RolloutFailurePolicy is what becomes of a rollout that failed.
type RolloutFailurePolicy string

// What becomes of a rollout that failed.
const (
	// RolloutOnFailurePause leaves the nodes as they are.
	RolloutOnFailurePause RolloutFailurePolicy = "Pause"
	// RolloutOnFailureRollback gives those that run the change back what they ran before.
	RolloutOnFailureRollback RolloutFailurePolicy = "Rollback"
)

// RolloutCanary are nodes that are given a change before the others.
type RolloutCanary struct {
	// replicas is how many nodes it has. As many as maxUnavailable allows are changed at a time; the other nodes are left alone
	// until each of the canary runs the change, has proved it and is well. Machines that are made from the new template
	// meanwhile count. Where it is as many as the pool has, or more, the whole pool is the canary. To go back to what all nodes
	// ran before the rollout takes none. Default: 1.
	// +optional
	// +default=1
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10000
	Replicas *int32 `json:"replicas,omitempty"`

	// soakSeconds is for how long all of the canary have to stay well then, before the other nodes are changed. Where one falls
	// ill meanwhile, the time begins anew. Up to a week. Default: 0.
	// +optional
	// +default=0
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=604800
	SoakSeconds *int32 `json:"soakSeconds,omitempty"`
}

// NodePoolRolloutStatus is how far a rollout is.
type NodePoolRolloutStatus struct {
	// revision is the revision that the nodes are given.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Revision string `json:"revision,omitempty"`

	// phase is Canary (the canary is changed), Soaking (it has to stay well), Rolling (the others are changed), Complete,
	// Stopped (a node went back, and no other is changed), RollingBack (nodes are given back what they ran before) or
	// RolledBack. Others may come.
	// +optional
	Phase RolloutPhase `json:"phase,omitempty"`

	// startedAt is when the pool was first seen to ask for that revision.
	// +optional
	StartedAt metav1.Time `json:"startedAt,omitempty,omitzero"`

	// updated is how many of the pool's machines run the revision, which has proved itself there; where that was given up, how many
	// run failed.previousRevision.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Updated *int32 `json:"updated,omitempty"`

	// waitingFor is what the rollout waits for at present, in a sentence; absent when it is complete.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	WaitingFor string `json:"waitingFor,omitempty"`

	// progressedAt is when the rollout got on last, or had nothing any more that holds it: rollout.progressDeadlineSeconds
	// count from then. Absent while they do not.
	// +optional
	ProgressedAt metav1.Time `json:"progressedAt,omitempty,omitzero"`

	// canary is how far the canary is; absent for a rollout that has none.
	// +optional
	Canary *RolloutCanaryStatus `json:"canary,omitempty"`

	// failed is what the template asks for, if that was given up: with onFailure Rollback a node went back from it. It is not
	// tried again until the template is another one.
	// +optional
	Failed *FailedRollout `json:"failed,omitempty"`

	// completedRevision is the last revision that all of the pool's nodes ran.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	CompletedRevision string `json:"completedRevision,omitempty"`

	// ready are those of the pool's updating machines that run what they were told and are well, and that have to stay so for
	// rollout.minReadySeconds.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=1000
	Ready []ReadyMachine `json:"ready,omitempty"`
}

// RolloutPhase is how far a rollout is, in one word.
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=63
// +kubebuilder:validation:Pattern=`^[A-Z][A-Za-z0-9]*$`
type RolloutPhase string

// The phases of a rollout.
const (
	// RolloutPhaseCanary: the nodes of the canary are changed, and the others left alone.
	RolloutPhaseCanary RolloutPhase = "Canary"
	// RolloutPhaseSoaking: the canary has to stay well for a while.
	RolloutPhaseSoaking RolloutPhase = "Soaking"
	// RolloutPhaseRolling: the others are changed.
	RolloutPhaseRolling RolloutPhase = "Rolling"
	// RolloutPhaseComplete: all nodes run the revision, or were made to.
	RolloutPhaseComplete RolloutPhase = "Complete"
	// RolloutPhaseStopped: a node went back, and no other is given the revision.
	RolloutPhaseStopped RolloutPhase = "Stopped"
	// RolloutPhaseRollingBack: the nodes that were given the revision are given back what they ran before.
	RolloutPhaseRollingBack RolloutPhase = "RollingBack"
	// RolloutPhaseRolledBack: they run that.
	RolloutPhaseRolledBack RolloutPhase = "RolledBack"
)

// RolloutCanaryStatus is how far a canary is.
type RolloutCanaryStatus struct {
	// replicas is how many nodes the canary has: as many as the pool, where that has fewer than are asked for.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Replicas *int32 `json:"replicas,omitempty"`

	// provedReplicas is how many nodes run the revision, have proved it and are well.
	// +optional
	// +kubebuilder:validation:Minimum=0
	ProvedReplicas *int32 `json:"provedReplicas,omitempty"`

	// provedAt is since when these are as many as the canary has; absent while they are not.
	// +optional
	ProvedAt metav1.Time `json:"provedAt,omitempty,omitzero"`
}

// FailedRollout is a revision that was given up, and why.
type FailedRollout struct {
	// revision is its name.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Revision string `json:"revision,omitempty"`

	// previousRevision is what the nodes are given back that were given it.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	PreviousRevision string `json:"previousRevision,omitempty"`

	// machine is the first Machine whose node went back from it.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Machine string `json:"machine,omitempty"`

	// message says what failed on that, with the end of the component's log.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`

	// time is when that node went back.
	// +required
	Time metav1.Time `json:"time,omitempty,omitzero"`
}

// ReadyMachine is a machine that is well.
type ReadyMachine struct {
	// name is the Machine's.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name,omitempty"`

	// since is when it was seen to be well first.
	// +required
	Since metav1.Time `json:"since,omitempty,omitzero"`
}
