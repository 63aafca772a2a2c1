package bundle

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

func TestAStampThatCannotBeWrittenLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	taken := filepath.Join(dir, "stamp.json")
	if err := os.MkdirAll(filepath.Join(taken, "child"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := (&Store{}).writeStamp(taken, proof{}); err == nil {
		t.Error("a stamp took the place of a directory")
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("%v are left (%v), want the directory alone", left, err)
	}
}

func TestABundleFetchedLazilyIsProvedForThisBootAloneUntilItIsSettled(t *testing.T) {
	h := newHost(t)
	reference, store := h.push(t, smallBundle(t)), h.store(t)
	store.Lazy = true
	b, err := store.Ensure(t.Context(), reference)
	must(t, err)
	digest, err := v1.NewHash(b.Digest)
	must(t, err)
	known := func(boot string) bool {
		t.Helper()
		p, err := store.proofOf(b.Dir, digest)
		must(t, err)
		if p.Boot != "" && boot != "" {
			p.Boot = boot
			must(t, store.writeStamp(store.stamp(b.Dir, digest), p))
		}
		return store.remembered(b.Dir, digest, p.Files)
	}

	if !known("") {
		t.Error("in the same boot it would be hashed again")
	}
	if known("another") {
		t.Error("after another boot nobody would find out what the disk lost")
	}
	must(t, store.Settle(b))
	if !known("another") {
		t.Error("it was made durable, and would be hashed after the next boot all the same")
	}
	must(t, store.Verify(b))
	must(t, store.Settle(b)) // again: nothing is to be done
}

func TestABundleWhoseFetchWasCutShortIsNotTakenForDurable(t *testing.T) {
	for name, lost := range map[string]func(t *testing.T, s *Store, b *Bundle, stamp string){
		"the agent ended before it took down what it fetched": func(t *testing.T, s *Store, b *Bundle, stamp string) {
			must(t, os.Remove(stamp))
			_, err := s.Ensure(t.Context(), "registry.example/b@"+b.Digest)
			must(t, err)
		},
		"somebody touched it": func(t *testing.T, s *Store, b *Bundle, _ string) {
			must(t, os.Chtimes(filepath.Join(b.Dir, "bin/runc"), time.Time{}, time.Unix(1, 0)))
			looks := *s
			looks.Lazy = false
			must(t, looks.Verify(b))
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			reference, store := h.push(t, smallBundle(t)), h.store(t)
			store.Lazy = true
			b, err := store.Ensure(t.Context(), reference)
			must(t, err)
			digest, err := v1.NewHash(b.Digest)
			must(t, err)
			lost(t, store, b, store.stamp(b.Dir, digest))
			if p, err := store.proofOf(b.Dir, digest); err != nil || p.Boot == "" {
				t.Errorf("what was read from the kernel's cache counts for ever (%v)", err)
			}
			must(t, store.Settle(b))
			if p, err := store.proofOf(b.Dir, digest); err != nil || p.Boot != "" {
				t.Errorf("it was made durable, and counts for this boot alone (%v)", err)
			}
		})
	}
}

func TestABundleThatOthersFillIsDurableWithoutUs(t *testing.T) {
	h := newHost(t)
	reference, theirs := h.push(t, smallBundle(t)), h.store(t)
	_, err := theirs.Ensure(t.Context(), reference)
	must(t, err)
	ours := &Store{Root: t.TempDir(), Shared: []string{theirs.Root}, Lazy: true}
	b, err := ours.Ensure(t.Context(), reference)
	must(t, err)
	digest, err := v1.NewHash(b.Digest)
	must(t, err)
	if p, err := ours.proofOf(b.Dir, digest); err != nil || p.Boot != "" {
		t.Errorf("it counts for this boot alone (%v)", err)
	}
	must(t, os.RemoveAll(b.Dir))
	must(t, ours.Settle(b))
}

func TestWhatIsNotThereAnyMoreIsNotDurable(t *testing.T) {
	h := newHost(t)
	reference, store := h.push(t, smallBundle(t)), h.store(t)
	store.Lazy = true
	b, err := store.Ensure(t.Context(), reference)
	must(t, err)
	must(t, os.RemoveAll(filepath.Join(store.Root, stampDir)))
	must(t, store.Settle(b))
	must(t, os.RemoveAll(b.Dir))
	if store.Settle(b) == nil {
		t.Error("a bundle is durable that is gone, as nothing was taken down of it")
	}
}
