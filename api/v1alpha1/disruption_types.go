package v1alpha1

import "k8s.io/apimachinery/pkg/util/intstr"

// DisruptionPolicy says how much of a pool may be disrupted at one time, and when.
type DisruptionPolicy struct {
	// budgets say how many of the pool's nodes may be disrupted at one time. Of those that have a say at a moment, about what is to be
	// done, the one that allows least counts. What is disrupted is each node that is changed or drained, or that is not available,
	// for whatever reason. Deleting the pool, or one of its Machines, is your word, and waits for no budget. Default: none, which leaves
	// it to the pool's other rules.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:XValidation:rule="!self.exists(a, !has(a.schedule) && (a.nodes == 0 || a.nodes == '0%') && self.exists(b, has(b.schedule) && (!has(a.reasons) || has(b.reasons) && b.reasons.all(r, r in a.reasons))))",message="a budget of no nodes without a schedule holds at all times, so that one with a schedule never has a say: give the first a schedule, too, of when nothing may be disrupted"
	Budgets []DisruptionBudget `json:"budgets,omitempty"`

	// drainTimeoutSeconds is how long a node is drained at most. A Machine that is being deleted goes then with the pods that are left,
	// whatever PodDisruptionBudgets say; a node that is drained for a change in place gets it with those pods on it, which stay. An edit
	// counts at once, also for Machines that are being deleted, whose spec.deletion.nodeDrainTimeoutSeconds follows it. It rolls nothing.
	// Up to a year. Default: 0, as long as it takes.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=31622400
	DrainTimeoutSeconds *int32 `json:"drainTimeoutSeconds,omitempty"`

	// volumeDetachTimeoutSeconds is how long a Machine that is being deleted waits, once it is drained, for its volumes to be detached.
	// With 0 as long as it takes. It reaches Machines as drainTimeoutSeconds does. Default: 300.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=31622400
	VolumeDetachTimeoutSeconds *int32 `json:"volumeDetachTimeoutSeconds,omitempty"`

	// expireAfterSeconds is how old a machine may become. An older one is replaced by another of the same template, in the way that
	// rollout.maxSurge says. So that machines that were made at once do not go at once, each goes up to a tenth of that time earlier, by
	// its UID. It is counted from when the Machine was made, and a machine that has not become a node yet does not expire. From five
	// minutes to ten years; 0 for never. Default: 0.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=315360000
	// +kubebuilder:validation:XValidation:rule="self == 0 || self >= 300",message="expireAfterSeconds is 0 for never, or 300 (five minutes) and more"
	ExpireAfterSeconds *int32 `json:"expireAfterSeconds,omitempty"`
}

// DisruptionReason is what nodes are disrupted for.
// +kubebuilder:validation:Enum=Update;ScaleDown;Repair;Expiry;Refresh
type DisruptionReason string

const (
	// DisruptionUpdate is that the pool's template is another one.
	DisruptionUpdate DisruptionReason = "Update"
	// DisruptionScaleDown is that the pool has more machines than it wants.
	DisruptionScaleDown DisruptionReason = "ScaleDown"
	// DisruptionRepair is that a machine is unhealthy.
	DisruptionRepair DisruptionReason = "Repair"
	// DisruptionExpiry is that a machine is as old as its pool lets it become.
	DisruptionExpiry DisruptionReason = "Expiry"
	// DisruptionRefresh is that somebody wants machines replaced that were made before a time.
	DisruptionRefresh DisruptionReason = "Refresh"
)

// DisruptionBudget is how many nodes may be disrupted at one time, always or in windows of time.
// +kubebuilder:validation:XValidation:rule="has(self.schedule) == has(self.durationSeconds)",message="schedule says when a budget begins to have a say, and durationSeconds for how long: both or neither"
// +kubebuilder:validation:XValidation:rule="!has(self.timeZone) || has(self.schedule)",message="timeZone is that of the schedule, and there is none"
type DisruptionBudget struct {
	// nodes is how many nodes may be disrupted at one time: a number, or a percentage of the machines that the pool has, rounded up, so
	// that none but 0% comes to nothing. With 0 nothing begins that disrupts a node, while what has begun is brought to its end.
	// +required
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:Pattern=`^(100|[1-9]?[0-9])%$`
	// +kubebuilder:validation:XValidation:rule="type(self) == string || self >= 0 && self <= 10000",message="nodes is a number from 0 to 10000, or a percentage from 0% to 100%"
	Nodes *intstr.IntOrString `json:"nodes,omitempty"`

	// reasons are what the budget is about: Update, ScaleDown, Repair, Expiry or Refresh. Default: all, and those that may come.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	Reasons []DisruptionReason `json:"reasons,omitempty"`

	// schedule is when the budget begins to have a say, as of cron: minute, hour, day of the month, month and day of the week, or
	// @yearly, @monthly, @weekly, @daily or @hourly. A time that the clock skips in spring is when it does, and one that it has twice in
	// autumn the first of them. Default: the budget always has a say.
	// +optional
	// +kubebuilder:validation:MinLength=6
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:Pattern=`^(@(yearly|annually|monthly|weekly|daily|midnight|hourly)|([0-9A-Za-z*?/,-]+ +){4}[0-9A-Za-z*?/,-]+)$`
	Schedule string `json:"schedule,omitempty"`

	// timeZone is whose clock the schedule goes by, such as Europe/Berlin. Default: UTC.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9_+/-]+$`
	// +kubebuilder:validation:XValidation:rule="self != 'Local' && timestamp('2026-01-01T00:00:00Z').getFullYear(self) > 0",message="there is no such time zone: name one such as Europe/Berlin"
	TimeZone string `json:"timeZone,omitempty"`

	// durationSeconds is for how long the budget has a say each time: from a minute to a year.
	// +optional
	// +kubebuilder:validation:Minimum=60
	// +kubebuilder:validation:Maximum=31622400
	DurationSeconds *int32 `json:"durationSeconds,omitempty"`
}
