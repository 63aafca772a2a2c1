package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// NodePoolRepair is what becomes of machines of a pool that are unhealthy and do not recover by themselves.
// +kubebuilder:validation:XValidation:rule="!has(self.ladder) || self.ladder.all(rung, rung == 'Replace') || !has(self.timeouts) || !has(self.timeouts.replaceSeconds) || self.timeouts.replaceSeconds >= 120",message="replaceSeconds is 120 or more where other rungs come before: a machine that has rebooted would be replaced while it comes up",fieldPath=".timeouts.replaceSeconds"
type NodePoolRepair struct {
	// ladder is what is done about a machine that is unhealthy, one rung after the other until it is well, each at most once:
	// RestartComponent has its agent restart the node's software, while its containers go on. Reboot has its agent reboot the machine.
	// Replace deletes its Machine, so that the pool makes another one in its place; what is on its own disks is lost. They come in that
	// order, and any may be left out. One machine of a pool is repaired at a time, and the next when that one is well or has
	// no rung left, or the one that was made in its place is available. Default: nothing is done, but for what a node's agent does on the node.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=3
	// +kubebuilder:validation:items:Enum=RestartComponent;Reboot;Replace
	// +kubebuilder:validation:XValidation:rule="self.map(rung, rung) == ['RestartComponent', 'Reboot', 'Replace'].filter(rung, rung in self)",message="the rungs come in the order RestartComponent, Reboot, Replace, as each is more than the one before"
	Ladder []RepairRung `json:"ladder,omitempty"`

	// maxUnhealthy is how many machines may be unhealthy for any to be repaired: a number, or a percentage of the machines that the
	// pool has, rounded down. A percentage that rounds to nothing is one machine. Where more are, it is more likely that something
	// else is wrong than these machines, and none is repaired until fewer are (the condition RepairFrozen). Nor is any while nothing
	// is heard of any of the pool's nodes, be it a pool of one. Default: 40%.
	// +optional
	// +default="40%"
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:XValidation:rule="type(self) == int ? self >= 1 && self <= 10000 : self.matches('^([1-9][0-9]?|100)%$')",message="maxUnhealthy is a number from 1 to 10000, or a percentage from 1% to 100%: with none, no machine would be repaired"
	MaxUnhealthy *intstr.IntOrString `json:"maxUnhealthy,omitempty"`

	// timeouts are how long a machine has to be unhealthy before each rung of the ladder is taken: since it became so, or, for a rung
	// that comes after another one, since that was taken.
	// +optional
	Timeouts RepairTimeouts `json:"timeouts,omitempty,omitzero"`
}

// RepairRung is what is done about a machine that is unhealthy, in one word.
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=63
// +kubebuilder:validation:Pattern=`^[A-Z][A-Za-z0-9]*$`
type RepairRung string

// The rungs of a ladder.
const (
	// RepairRestartComponent has a machine's agent restart the components that are unhealthy.
	RepairRestartComponent RepairRung = "RestartComponent"
	// RepairReboot has a machine's agent reboot it.
	RepairReboot RepairRung = "Reboot"
	// RepairReplace deletes the Machine, so that another one is made.
	RepairReplace RepairRung = "Replace"
)

// RepairTimeouts are how long a machine has to be unhealthy, without a moment in which it was well, as far as the manager that
// leads was there to see. That counts from when it became so, and after a rung was taken from then.
type RepairTimeouts struct {
	// restartComponentSeconds is for how long before its components are restarted. From half a minute to a day. Default: 120.
	// +optional
	// +default=120
	// +kubebuilder:validation:Minimum=30
	// +kubebuilder:validation:Maximum=86400
	RestartComponentSeconds *int32 `json:"restartComponentSeconds,omitempty"`

	// rebootSeconds is for how long before it is rebooted. Where components were restarted before, that is the time which these have
	// to come up: one that an agent had given up it calls well when that has run for a minute. From two minutes to a day. Default: 300.
	// +optional
	// +default=300
	// +kubebuilder:validation:Minimum=120
	// +kubebuilder:validation:Maximum=86400
	RebootSeconds *int32 `json:"rebootSeconds,omitempty"`

	// replaceSeconds is for how long before it is replaced. Where it was rebooted before, that is the time which it has for that. A
	// machine that has not joined is unhealthy from when nodeStartupTimeoutSeconds are over. That a kubelet is silent Kubernetes says 40
	// seconds after it renewed its Lease last, as a rule, and only from then on this counts. From a minute to a day, from two minutes where another rung comes before. Default: 600.
	// +optional
	// +default=600
	// +kubebuilder:validation:Minimum=60
	// +kubebuilder:validation:Maximum=86400
	ReplaceSeconds *int32 `json:"replaceSeconds,omitempty"`
}

// NodePoolRepairStatus is what a pool's repair sees and does.
type NodePoolRepairStatus struct {
	// watchedSince is since when what is seen of machines counts: since the pool's machines are repaired, or since they were unhealthy in
	// such numbers last that none is. Until a machine's time is over since then it is not repaired.
	// +optional
	WatchedSince metav1.Time `json:"watchedSince,omitempty,omitzero"`

	// unhealthy is how many machines are unhealthy at present, and allowed for how many of them at most any is repaired.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Unhealthy *int32 `json:"unhealthy,omitempty"`

	// allowed is for how many unhealthy machines at most any is repaired, by spec.repair.maxUnhealthy.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Allowed *int32 `json:"allowed,omitempty"`

	// machines are the machines that are unhealthy; at most ten, those first that have been for longest.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=10
	Machines []UnhealthyMachine `json:"machines,omitempty"`

	// current is the repair that was begun last, until it has helped. It is written before anything is done, so that no two managers
	// repair two machines.
	// +optional
	Current *MachineRepair `json:"current,omitempty"`
}

// UnhealthyMachine is a machine that is unhealthy.
type UnhealthyMachine struct {
	// name is the Machine's.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name,omitempty"`

	// since is since when that counts, which may be later than when it fell ill.
	// +required
	Since metav1.Time `json:"since,omitempty,omitzero"`

	// evidence is how one can tell: Silent (its kubelet does not renew its Lease), Unwell (its agent or its kubelet says so),
	// NotJoined (it is no node in time), InfrastructureGone (what it runs on was deleted) or RemediationAsked (a MachineHealthCheck says so,
	// and nothing else does). Others may come.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Evidence string `json:"evidence,omitempty"`

	// nextRung is what is done about it next, and nextAt when at the earliest; both are absent where nothing will be.
	// +optional
	NextRung RepairRung `json:"nextRung,omitempty"`

	// nextAt is when nextRung is taken at the earliest.
	// +optional
	NextAt metav1.Time `json:"nextAt,omitempty,omitzero"`

	// message is what is wrong with it.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`
}

// MachineRepair is a repair of a machine that has begun.
type MachineRepair struct {
	// machine is the Machine's name.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Machine string `json:"machine,omitempty"`

	// machineUID is its UID.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	MachineUID string `json:"machineUID,omitempty"`

	// rung is what is done about it.
	// +required
	Rung RepairRung `json:"rung,omitempty"`

	// startedAt is when that was begun. A request to the machine's agent has this time (spec.repair of the NodeAgent).
	// +required
	StartedAt metav1.Time `json:"startedAt,omitempty,omitzero"`

	// nextOrdinal is that of the pool at that time: machines with this number or a greater one were made since.
	// +required
	// +kubebuilder:validation:Minimum=0
	NextOrdinal *int64 `json:"nextOrdinal,omitempty"`

	// revision is that of the pool's template at that time.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Revision string `json:"revision,omitempty"`

	// attempt counts the machines in a row whose replacement did not help, whatever rungs were taken before. After the third none is begun
	// until the template is another one, or a machine comes up that was made since.
	// +required
	// +kubebuilder:validation:Minimum=1
	Attempt int32 `json:"attempt,omitempty"`

	// message is what was wrong with the machine.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`
}

// RepairRequest asks a node's agent to repair its machine, once.
type RepairRequest struct {
	// rung is RestartComponent or Reboot.
	// +required
	Rung RepairRung `json:"rung,omitempty"`

	// requestedAt tells this request from others. An agent does none that is not later than the last one that it has begun.
	// +required
	RequestedAt metav1.Time `json:"requestedAt,omitempty,omitzero"`

	// expiresAt is until when the agent may begin. One that hears of it later leaves it: the machine may be well by then.
	// +required
	ExpiresAt metav1.Time `json:"expiresAt,omitempty,omitzero"`
}

// RepairAnswer is what became of a RepairRequest.
type RepairAnswer struct {
	// rung is the request's.
	// +required
	Rung RepairRung `json:"rung,omitempty"`

	// requestedAt is the request's.
	// +required
	RequestedAt metav1.Time `json:"requestedAt,omitempty,omitzero"`

	// state is Begun, Done, Failed, Interrupted (the agent ended while it was at it, and does not do it again) or Expired (it was heard of
	// too late, and not begun). Others may come.
	// +required
	State RepairState `json:"state,omitempty"`

	// message says what was done, or why not.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`

	// time is when it came to that state.
	// +required
	Time metav1.Time `json:"time,omitempty,omitzero"`
}

// RepairState is how far a request for a repair is.
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=63
// +kubebuilder:validation:Pattern=`^[A-Z][A-Za-z0-9]*$`
type RepairState string

// The states of a request.
const (
	// RepairBegun: it is being done, and is not begun again.
	RepairBegun RepairState = "Begun"
	// RepairDone: it was done. Whether it helped is for the node's conditions to say.
	RepairDone RepairState = "Done"
	// RepairFailed: it could not be done.
	RepairFailed RepairState = "Failed"
	// RepairInterrupted: the agent ended while it was at it.
	RepairInterrupted RepairState = "Interrupted"
	// RepairExpired: it was heard of too late, and not begun.
	RepairExpired RepairState = "Expired"
)
