// Package firstseen measures how long a thing has been as it is, by this process's own clock alone. Times that an API
// server, another manager or a machine wrote down are by clocks that may be wrong by any amount: they may be compared
// with one another where one clock wrote both, and with ours never. A manager that starts counts anew.
package firstseen

import (
	"sync"
	"time"
)

// Times remembers since when each key has had the value that it has. The zero value is ready for use.
type Times[K, V comparable] struct {
	mu    sync.Mutex
	times map[K]sighting[V]
}

type sighting[V comparable] struct {
	value V
	at    time.Time
}

// At is when the key was first seen with this value since it had another one: now, if that is news.
func (t *Times[K, V]) At(key K, value V, now time.Time) time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	if last, known := t.times[key]; known && last.value == value {
		return last.at
	}
	if t.times == nil {
		t.times = map[K]sighting[V]{}
	}
	t.times[key] = sighting[V]{value: value, at: now}
	return now
}

// Forget drops what is remembered of a key.
func (t *Times[K, V]) Forget(key K) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.times, key)
}
