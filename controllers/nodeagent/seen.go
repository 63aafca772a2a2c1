package nodeagent

import (
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/drover-dev/drover/controllers/firstseen"
)

// seen is since when, by our own clock, things are as they are. A Machine's creation is by the API server's clock, a
// heartbeat by the agent's, and a condition's transition by whichever manager's. The zero value is ready for use.
type seen struct {
	machines   firstseen.Times[types.NamespacedName, types.UID]
	heartbeats firstseen.Times[types.NamespacedName, heartbeat]
	troubles   firstseen.Times[types.NamespacedName, string]
	// specs has the generation of each machine's NodeAgent whose spec is what its revision stands for.
	specs sync.Map
}

// generation is one of one NodeAgent's spec.
type generation struct {
	agent  types.UID
	number int64
}

// restored notes that a NodeAgent's spec is what its revision stands for.
func (s *seen) restored(o *observed) {
	s.specs.Store(o.name(), generation{o.agent.UID, o.agent.Generation})
}

func (s *seen) isRestored(o *observed) bool {
	last, ok := s.specs.Load(o.name())
	return ok && last == generation{o.agent.UID, o.agent.Generation}
}

// heartbeat is one of one agent, compared with nothing but its last one.
type heartbeat struct {
	agent types.UID
	at    int64
}

// awaitedSince is since when the machine is waited for.
func (s *seen) awaitedSince(o *observed) time.Time {
	return s.machines.At(o.name(), o.machine.UID, o.now)
}

// heardAt is when the agent's present heartbeat was first seen.
func (s *seen) heardAt(o *observed) time.Time {
	return s.heartbeats.At(o.name(), heartbeat{agent: o.agent.UID, at: o.agent.Status.HeartbeatTime.UnixNano()}, o.now)
}

// troubledSince is when the trouble there is began. None is one, too, as the same one is a new one after it.
func (s *seen) troubledSince(o *observed) time.Time {
	reason := ""
	if o.trouble != nil {
		reason = o.trouble.reason
	}
	return s.troubles.At(o.name(), reason, o.now)
}

// forget drops what is remembered of a Machine that is gone.
func (s *seen) forget(machine types.NamespacedName) {
	s.machines.Forget(machine)
	s.heartbeats.Forget(machine)
	s.troubles.Forget(machine)
	s.specs.Delete(machine)
}

func (o *observed) name() types.NamespacedName {
	return types.NamespacedName{Namespace: o.machine.Namespace, Name: o.machine.Name}
}

// overdue says that the machine has taken too long, which the sentence tells. What an earlier manager found stands, as
// with silence, however short a time this one has been looking.
func (o *observed) overdue(sentence string) bool {
	previous := o.previous()
	return !o.now.Before(o.deadline()) || previous != nil && strings.HasPrefix(previous.Message, sentence)
}

// deadline is when it is worth a word to the pool that the machine has not joined. It may still join.
func (o *observed) deadline() time.Time { return o.awaited.Add(o.pool.NodeStartupTimeout()) }
