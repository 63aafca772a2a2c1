package selfupdate

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"

	"github.com/drover-dev/drover/api/v1alpha1"
)

const digest = "sha256:b"

func release() *v1alpha1.AgentRelease {
	return &v1alpha1.AgentRelease{Version: "v2", Artifacts: []v1alpha1.Artifact{{Architecture: runtime.GOARCH, Image: "registry.example/agent@" + digest}}}
}

func TestAnUpdateWaitsForWhatIsUnderWayOnTheNode(t *testing.T) {
	for name, c := range map[string]struct {
		claim func(took time.Duration, force bool) bool
		waits time.Duration
	}{
		"with nothing under way": {func(time.Duration, bool) bool { return true }, 0},
		"with what may never be": {func(_ time.Duration, force bool) bool { return force }, settleWithin},
		"with what has begun":    {func(took time.Duration, _ bool) bool { return took >= time.Hour }, time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				u := &Updater{Programs: &Programs{Dir: t.TempDir(), Log: logr.Discard()}, Log: logr.Discard(),
					Claim:   func(force bool) bool { return c.claim(time.Since(began), force) },
					Release: func() { t.Error("the node is given back although the update goes on") }}
				if err := u.begin(t.Context(), release()); !errors.Is(err, ErrRestart) {
					t.Fatal(err)
				}
				if took := time.Since(began); took < c.waits || took > c.waits+2*settleEvery {
					t.Errorf("it waited for %s, want %s", took, c.waits)
				}
			})
		})
	}
}

// Nothing else would be activated on it until the agent ends.
func TestAnUpdateThatCannotBeTakenDownGivesTheNodeBack(t *testing.T) {
	dir, claimed := t.TempDir(), false
	if err := os.MkdirAll(filepath.Join(dir, stateName, "child"), 0o755); err != nil {
		t.Fatal(err)
	}
	u := &Updater{Programs: &Programs{Dir: dir, Log: logr.Discard()}, Log: logr.Discard(),
		Claim: func(bool) bool { claimed = true; return true }, Release: func() { claimed = false }}
	if err := u.begin(t.Context(), release()); err == nil || errors.Is(err, ErrRestart) || claimed {
		t.Errorf("it ended with %v, and the node is claimed: %t", err, claimed)
	}
}

func TestAVersionThatIsNotAtFaultWaitsForTheAPIServerUnderAnotherAgentToo(t *testing.T) {
	programs := &Programs{Dir: t.TempDir(), Log: logr.Discard()}
	if err := programs.write(state{Failed: &failure{Version: "v2", Digest: digest, Refused: true}}); err != nil {
		t.Fatal(err)
	}
	refused, heard := true, false
	agent := func() *Updater {
		return &Updater{Programs: programs, Log: logr.Discard(), Changed: func() {},
			Heard: func() bool { return heard }, Refused: func() bool { return refused }}
	}
	review := func(u *Updater, digest string) error { return errors.Join(u.forget(digest), u.review(digest)) }
	if err := review(agent(), digest); err == nil || programs.gaveUp(digest) {
		t.Errorf("it is given up: %t, or tried while any agent is refused (%v)", programs.gaveUp(digest), err)
	}
	next := agent()
	refused = false
	if err := review(next, digest); err == nil {
		t.Error("an agent that was not heard yet has it tried")
	}
	heard = true
	if err := review(next, digest); err != nil {
		t.Error(err)
	}
	heard = false
	if err := review(next, "sha256:c"); err != nil {
		t.Errorf("another version waits for it: %v", err)
	}
}

func TestAnUpdateEndsWithTheAgent(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	u := &Updater{Programs: &Programs{Dir: t.TempDir(), Log: logr.Discard()}, Log: logr.Discard(), Claim: func(bool) bool { return false }}
	if err := u.begin(ctx, release()); !errors.Is(err, context.Canceled) {
		t.Errorf("it ended with %v", err)
	}
}
