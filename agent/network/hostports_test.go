package network

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/drover-dev/drover/agent/finding"
	"github.com/drover-dev/drover/api/v1alpha1"
)

func TestHostPortsThatAFlushTookAreFound(t *testing.T) {
	m, cni, _, _ := node1(t)
	web := cni.must("web")
	cni.publish(web, 8080, web.answer)
	now := time.Now()
	lost := func(after time.Duration) string {
		t.Helper()
		got, err := m.hostPortsLost(now.Add(after))
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(got)
	}
	if got := lost(0) + lost(time.Minute); got != "[][]" {
		t.Errorf("got %s, with the rules there", got)
	}
	if out, err := exec.Command("nft", "flush", "ruleset").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if got := lost(time.Minute) + lost(time.Minute+confirmAfter/2); got != "[][]" {
		t.Errorf("got %s at once: the pod may be about to end", got)
	}
	if got := lost(time.Minute + confirmAfter); got != "[default/web (8080/TCP)]" {
		t.Errorf("got %s", got)
	}
	later := cni.must("later")
	cni.publish(later, 8081, later.answer) // with its table made anew
	if got := lost(2 * time.Minute); got != "[default/web (8080/TCP)]" {
		t.Errorf("got %s, want the pod that came later to have its rules", got)
	}
	if err := os.Remove(filepath.Join(m.LeaseDir, networkName, web.address.String())); err != nil {
		t.Fatal(err)
	}
	if got := lost(3 * time.Minute); got != "[]" {
		t.Errorf("got %s after the pod ended", got)
	}
}

func TestLostHostPortsAreAFindingSoon(t *testing.T) {
	m, cni, _, _ := node1(t)
	web := cni.must("web")
	cni.publish(web, 8080, web.answer)
	runIn(t, m)
	if out, err := exec.Command("nft", "flush", "ruleset").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var found []v1alpha1.Finding
	if err := wait.PollUntilContextTimeout(t.Context(), 5*time.Millisecond, verifyInterval/3, true, func(context.Context) (bool, error) {
		found = m.Findings()
		for _, f := range found {
			if f.Name == finding.HostPortsLost {
				return true, nil
			}
		}
		return false, nil
	}); err != nil {
		t.Errorf("found %v, want the pod's ports among it", found)
	}
	if c := m.Health(); c.Status != "True" {
		t.Errorf("got %s: %s: the node's own part is in place", c.Reason, c.Message)
	}
}
