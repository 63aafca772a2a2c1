package report

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/drover-dev/drover/agent/finding"
	"github.com/drover-dev/drover/api/v1alpha1"
)

// strict is an API server that refuses every status with a word in it.
type strict struct {
	object
	mu      sync.Mutex
	bad     string
	refused int
}

func (s *strict) PatchNodeAgentStatus(ctx context.Context, name string, patch []byte) (*v1alpha1.NodeAgent, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bad != "" && strings.Contains(string(patch), s.bad) {
		s.refused++
		return nil, apierrors.NewInvalid(schema.GroupKind{Kind: "NodeAgent"}, name, field.ErrorList{field.TooLong(field.NewPath("status"), "", 1)})
	}
	return s.object.PatchNodeAgentStatus(ctx, name, patch)
}

func (s *strict) refusals() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.refused
}

func full(bad string) func(*v1alpha1.NodeAgentStatus) {
	in := func(name string) string {
		if name == bad {
			return "BAD"
		}
		return "fine"
	}
	return func(s *v1alpha1.NodeAgentStatus) {
		s.ObservedGeneration, s.CurrentRevision, s.AgentVersion = 7, in("currentRevision"), "v1"
		s.Findings = []v1alpha1.Finding{{Name: "Sysctl", Message: in("findings")}}
		s.Components = []v1alpha1.ComponentStatus{{Name: "kubelet", Version: in("components"), LastExit: &v1alpha1.ComponentExit{LogTail: in("logTail")}}}
		s.BootTimeline = []v1alpha1.BootStep{{Step: "Ready"}}
		s.FailedRevision = &v1alpha1.FailedRevision{Revision: in("failedRevision"), Exit: &v1alpha1.ComponentExit{LogTail: in("failedTail")}}
	}
}

func TestOneBadFieldDoesNotSilenceANode(t *testing.T) {
	for bad, kept := range map[string][]string{
		"findings":        {"observedGeneration", "currentRevision", "components", "bootTimeline", "failedRevision"},
		"logTail":         {"observedGeneration", "currentRevision", "components", "bootTimeline", "failedRevision"},
		"failedTail":      {"observedGeneration", "currentRevision", "components", "bootTimeline", "failedRevision"},
		"failedRevision":  {"observedGeneration", "currentRevision"},
		"components":      {"observedGeneration", "currentRevision"},
		"currentRevision": {"observedGeneration"},
	} {
		t.Run(bad, func(t *testing.T) {
			o := &strict{bad: "BAD"}
			r, clock := startWith(t, o)
			r.Update(full(bad))
			until(t, clock, gather, "a status", func() bool { return o.last("observedGeneration") == "7" })
			last := o.writes()[len(o.writes())-1]
			for _, name := range kept {
				if string(last[name]) == "null" || last[name] == nil {
					t.Errorf("%s is missing from %s", name, last)
				}
			}
			var found []v1alpha1.Finding
			if err := json.Unmarshal(last["findings"], &found); err != nil || len(found) != 1 || found[0].Name != finding.StatusRefused || !strings.Contains(found[0].Message, "Too long") {
				t.Errorf("got findings %s, want one with the API server's words", last["findings"])
			}
		})
	}
}

func TestWhatWasRefusedIsNotTriedAgainUntilItChanges(t *testing.T) {
	o := &strict{bad: "BAD"}
	r, clock := startWith(t, o)
	r.Update(full("findings"))
	until(t, clock, gather, "a status", func() bool { return o.last("observedGeneration") == "7" })
	r.Update(version("v2"))
	until(t, clock, gather, "another field", func() bool { return o.last("agentVersion") == `"v2"` })
	if n := o.refusals(); n != 1 {
		t.Errorf("the status was refused %d times, want once", n)
	}
	r.Update(full(""))
	until(t, clock, gather, "the findings", func() bool { return strings.Contains(o.last("findings"), `"Sysctl"`) })
	if n := o.refusals(); n != 1 {
		t.Errorf("the status was refused %d times, want once", n)
	}
}

func TestAServerThatRefusesEverythingIsTriedLessAndLess(t *testing.T) {
	o := &strict{bad: "heartbeatTime"}
	r, clock := startWith(t, o)
	began := clock.Now()
	r.Update(full(""))
	until(t, clock, time.Second, "ten minutes", func() bool { return clock.Since(began) > 10*time.Minute })
	if n := o.refusals(); n > 60 {
		t.Errorf("%d tries in ten minutes, want at most about one in 30 s", n)
	}
}
