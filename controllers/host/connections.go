package host

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// keepConnection is how long a connection is kept without use: a little longer than boot reports are apart.
const keepConnection = 45 * time.Second

// connections are those that are kept for a while, as to log in takes a small server longer than what is asked of it. Each
// is in one hand at a time: who takes it keeps it again, or closes it.
type connections struct {
	mu   sync.Mutex
	kept map[types.UID]*connection
}

type connection struct {
	server *server
	// generation is that of the Host that the login was for: another one may have another address or key.
	generation int64
	idle       *time.Timer
}

// keep keeps a connection until it is taken, or for a while.
func (c *connections) keep(machine types.UID, generation int64, s *server) {
	c.end(machine)
	k := &connection{server: s, generation: generation}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.kept == nil {
		c.kept = map[types.UID]*connection{}
	}
	c.kept[machine] = k
	k.idle = time.AfterFunc(keepConnection, func() {
		if c.drop(machine, k) {
			_ = s.Close()
		}
	})
}

// drop forgets a connection, and says whether it was kept still.
func (c *connections) drop(machine types.UID, k *connection) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if k == nil || c.kept[machine] != k {
		return false
	}
	delete(c.kept, machine)
	return true
}

// take hands out the machine's connection, nil if there is none for that generation of its Host.
func (c *connections) take(machine types.UID, generation int64) *server {
	c.mu.Lock()
	k := c.kept[machine]
	c.mu.Unlock()
	if !c.drop(machine, k) {
		return nil
	}
	k.idle.Stop()
	if k.generation != generation {
		_ = k.server.Close()
		return nil
	}
	return k.server
}

// end closes the machine's connection, if one is kept.
func (c *connections) end(machine types.UID) {
	const none = -1 // is no Host's generation
	_ = c.take(machine, none)
}
