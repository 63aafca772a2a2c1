package join

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// keyMemory is how long an approved key is remembered here. By then the approved request has long been in the cache.
const keyMemory = 10 * time.Minute

// usedKeys remembers which key each token was used for a moment ago. Without it two requests with one token, decided
// before the cache has seen the first approval, could both be let through.
type usedKeys struct {
	mu   sync.Mutex
	keys map[types.UID]usedKey
}

type usedKey struct {
	hash string
	at   time.Time
}

// of is the key that a token, by its Secret's UID, was used for.
func (u *usedKeys) of(token types.UID) (string, bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	key, ok := u.keys[token]
	return key.hash, ok
}

// claim reserves a token for a key. It is false when another key was first.
func (u *usedKeys) claim(token types.UID, hash string, now time.Time) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if key, ok := u.keys[token]; ok {
		return key.hash == hash
	}
	if u.keys == nil {
		u.keys = map[types.UID]usedKey{}
	}
	for other, key := range u.keys {
		if now.Sub(key.at) > keyMemory {
			delete(u.keys, other)
		}
	}
	u.keys[token] = usedKey{hash: hash, at: now}
	return true
}
