package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/drover-dev/drover/agent/generation"
	"github.com/drover-dev/drover/agent/selfupdate"
	"github.com/drover-dev/drover/api/v1alpha1"
)

func TestANewAgentHasProvedItselfWhen(t *testing.T) {
	well, blind, unwell := generation.Verdict{Healthy: true}, generation.Verdict{Blind: true}, generation.Verdict{Message: "kubelet is down"}
	const notLong = "the API server cannot be reached, and the node has not been well for long"
	forbidden := apierrors.NewForbidden(v1alpha1.GroupVersion.WithResource("nodeagents").GroupResource(), "n", errors.New("a policy"))
	full := apierrors.NewInternalError(errors.New("etcdserver: mvcc: database space exceeded"))
	for name, c := range map[string]struct {
		reason       string
		idle         bool
		obstacle     string
		heard, there bool
		refused      error
		verdicts     []generation.Verdict // each 6 seconds after the one before it
		lacks        string               // after the last of them
	}{
		"it was heard of":         {reason: "what runs is its own, and the API server has its word", heard: true, there: true},
		"it does nothing":         {reason: "a report alone says nothing of the components", idle: true, heard: true, there: true, lacks: "it did not take over the node's components"},
		"something is in its way": {reason: "it says what", idle: true, obstacle: "no address", heard: true, there: true, lacks: "it did not take over the node's components: no address"},
		"it is not heard of":      {reason: "the API server answers others", there: true, verdicts: []generation.Verdict{well, well, well}, lacks: "it reported nothing to the API server, which answers"},
		"it is refused": {reason: "that may be its own fault", there: true, refused: forbidden, verdicts: []generation.Verdict{well, well, well},
			lacks: "it reported nothing to the API server, which refuses it: " + forbidden.Error()},
		"nobody is taken": {reason: "a database that is full is not the agent's fault", there: true, refused: full, verdicts: []generation.Verdict{well, blind, well}},
		"nobody is taken, and the node is ill": {reason: "it may be this agent's doing", there: true, refused: full, verdicts: []generation.Verdict{unwell},
			lacks: "the API server takes no reports (" + full.Error() + "), and the node is not well: kubelet is down"},
		"nobody can hear it": {reason: "the node is well, and was before", verdicts: []generation.Verdict{well, blind, well}},
		"not for long":       {reason: "it may yet fall ill", verdicts: []generation.Verdict{well, well}, lacks: notLong},
		"with a break":       {reason: "it began anew", verdicts: []generation.Verdict{well, unwell, well}, lacks: notLong},
		"the node is ill":    {reason: "it may be this agent's doing", verdicts: []generation.Verdict{well, well, unwell}, lacks: "the API server cannot be reached, and the node is not well: kubelet is down"},
	} {
		t.Run(name, func(t *testing.T) {
			now := time.Unix(1_000_000, 0)
			verdicts := append([]generation.Verdict{}, c.verdicts...)
			trial := &trialOfAgent{
				takenOver: func() (bool, *generation.Obstacle) {
					if c.obstacle != "" {
						return !c.idle, &generation.Obstacle{Message: c.obstacle}
					}
					return !c.idle, nil
				},
				heard: func() bool { return c.heard }, refused: func() error { return c.refused }, reaches: func(context.Context) bool { return c.there }, now: func() time.Time { return now },
				judge: func(context.Context) generation.Verdict {
					v := verdicts[0]
					verdicts = verdicts[1:]
					return v
				},
			}
			got := ""
			for range max(1, len(c.verdicts)) {
				got = trial.lacks(t.Context())
				now = now.Add(6 * time.Second)
			}
			if got != c.lacks {
				t.Errorf("%s: it lacks %q, want %q", c.reason, got, c.lacks)
			}
		})
	}
}

// Of two changes at a time nobody knows which is at fault.
func TestAnAgentOnTrialActivatesNothingElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, name := t.TempDir(), strings.Repeat("a", 64)
		opts := Options{BootstrapPath: bootstrap(t, dir), StateDir: dir, RunDir: filepath.Join(dir, "run"), Log: logr.Discard()}
		boot, bootErr := loadBootstrap(opts.BootstrapPath)
		self, selfErr := os.Executable()
		store, _, err := generation.Open(dir, "node-1")
		if err := errors.Join(bootErr, selfErr, err); err != nil {
			t.Fatal(err)
		}
		program := filepath.Join(dir, "agent", name, selfupdate.ProgramName)
		trial := fmt.Sprintf(`{"schema": 1, "trial": {"version": "v2", "digest": "sha256:%s"}}`, name)
		if err := errors.Join(store.Write(generation.State{Good: generation.First(boot)}), os.MkdirAll(filepath.Dir(program), 0o755),
			os.Symlink(self, program), os.WriteFile(filepath.Join(dir, "agent", "update.json"), []byte(trial), 0o600)); err != nil {
			t.Fatal(err)
		}
		a, err := New(opts)
		if err != nil {
			t.Fatal(err)
		}
		a.installer.NewWork = func() generation.Work { return effortless{} }
		a.installer.Judge = func(context.Context) generation.Verdict { return generation.Verdict{Healthy: true} }
		ctx, cancel := context.WithCancel(t.Context())
		go a.installer.Run(ctx)
		defer func() { cancel(); synctest.Wait() }()
		runs := func(when, revision string) {
			t.Helper()
			synctest.Wait()
			if got := a.installer.Running().Spec.Revision; got != revision || a.installer.Up() == nil {
				t.Errorf("%s it runs %s, want %s", when, got, revision)
			}
		}
		runs("at first", "r1")
		next := boot.Spec
		next.Revision = "r2"
		a.installer.Want(&v1alpha1.NodeAgent{Spec: next})
		runs("on trial", "r1")
		a.updater.Ready(ctx)
		runs("when it has proved itself", "r2")
	})
}
