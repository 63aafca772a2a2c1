package nodeagent

import (
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// heartbeats remembers when each agent's heartbeat changed last, by our own clock: the heartbeat itself is by the agent's,
// which may be wrong by any amount, and is compared with nothing but its last value. The zero value is ready for use.
type heartbeats struct {
	mu    sync.Mutex
	heard map[string]heartbeat
}

type heartbeat struct {
	agent types.UID
	value metav1.Time
	at    time.Time
}

// heardAt is when the agent's present heartbeat was first seen.
func (h *heartbeats) heardAt(agent *v1alpha1.NodeAgent, now time.Time) time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	if last, ok := h.heard[agent.Name]; ok && last.agent == agent.UID && last.value.Equal(&agent.Status.HeartbeatTime) {
		return last.at
	}
	if h.heard == nil {
		h.heard = map[string]heartbeat{}
	}
	h.heard[agent.Name] = heartbeat{agent: agent.UID, value: agent.Status.HeartbeatTime, at: now}
	return now
}

// forget drops what is remembered of an agent whose Machine is gone.
func (h *heartbeats) forget(name string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.heard, name)
}
