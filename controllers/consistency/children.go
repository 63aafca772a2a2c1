package consistency

import (
	"fmt"
	"maps"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Children remembers what was written for each owner: the owner itself, and the children that were made for it and
// deleted. The zero value is ready for use.
type Children[C client.Object] struct {
	mu     sync.Mutex
	owners map[types.NamespacedName]*writes
}

type writes struct {
	uid     types.UID
	version string
	created map[string]bool
	deleted map[types.UID]string
	since   time.Time
}

func (c *Children[C]) of(owner client.Object) *writes {
	key := client.ObjectKeyFromObject(owner)
	if c.owners == nil {
		c.owners = map[types.NamespacedName]*writes{}
	}
	if c.owners[key] == nil || c.owners[key].uid != owner.GetUID() {
		c.owners[key] = &writes{uid: owner.GetUID(), created: map[string]bool{}, deleted: map[types.UID]string{}}
	}
	return c.owners[key]
}

// Wrote remembers that the owner was written, with the result of the write.
func (c *Children[C]) Wrote(owner client.Object) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.of(owner).version = owner.GetResourceVersion()
}

// Created remembers that a child was made.
func (c *Children[C]) Created(owner client.Object, name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.of(owner).created[name] = true
}

// Deleted remembers that a child's deletion was asked for.
func (c *Children[C]) Deleted(owner client.Object, name string, uid types.UID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.of(owner).deleted[uid] = name
}

// Forget drops what is remembered about an owner that is gone.
func (c *Children[C]) Forget(key types.NamespacedName) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.owners, key)
}

// Confirm drops what a read from the API server shows to be over: children that were made, or whose deletion was asked
// for, and that are gone. The cache will never show these.
func (c *Children[C]) Confirm(owner client.Object, children []C) {
	c.mu.Lock()
	defer c.mu.Unlock()
	mine := c.of(owner)
	names, uids := map[string]bool{}, map[types.UID]bool{}
	for _, child := range children {
		names[child.GetName()], uids[child.GetUID()] = true, true
	}
	maps.DeleteFunc(mine.created, func(name string, _ bool) bool { return !names[name] })
	maps.DeleteFunc(mine.deleted, func(uid types.UID, _ string) bool { return !uids[uid] })
}

// Behind names a write that the cached owner and children do not show; overdue says that it took longer than Patience.
func (c *Children[C]) Behind(owner client.Object, children []C, now time.Time) (what string, overdue bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	mine := c.of(owner)
	what = behind(mine, owner, children)
	if what == "" {
		mine.since = time.Time{}
		return "", false
	}
	if mine.since.IsZero() {
		mine.since = now
	}
	return what, now.Sub(mine.since) > Patience
}

func behind[C client.Object](w *writes, owner client.Object, children []C) string {
	if w.version != "" && older(owner, w.version) {
		return "the last write to " + owner.GetName()
	}
	w.version = ""
	active := make(map[types.UID]bool, len(children))
	for _, child := range children {
		delete(w.created, child.GetName())
		if child.GetDeletionTimestamp().IsZero() {
			active[child.GetUID()] = true
		}
	}
	for name := range w.created {
		return fmt.Sprintf("the creation of %s", name)
	}
	for uid, name := range w.deleted {
		if active[uid] {
			return fmt.Sprintf("the deletion of %s", name)
		}
		delete(w.deleted, uid)
	}
	return ""
}
