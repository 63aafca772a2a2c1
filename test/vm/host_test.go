package vm

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// kubectl runs kubectl as the demo's administrator, and returns what it prints.
func kubectl(ctx context.Context, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(debian.root, ".drover", "bin", "kubectl"), args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+filepath.Join(debian.root, ".drover", "kubeconfig"))
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return strings.TrimSpace(stdout.String()), nil
}

func mustKubectl(t *testing.T, args ...string) string {
	t.Helper()
	out, err := kubectl(t.Context(), args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// awaitKubectl asks until kubectl prints what is wanted.
func awaitKubectl(t *testing.T, limit time.Duration, want string, args ...string) {
	t.Helper()
	eventually(t, limit, "kubectl "+strings.Join(args, " "), func(ctx context.Context) error {
		out, err := kubectl(ctx, args...)
		if err == nil && !strings.Contains(out, want) {
			err = fmt.Errorf("it prints %q, not %q", out, want)
		}
		return err
	})
}

// hostReady prints the Host's Ready condition.
var hostReady = []string{"get", "host", "debian-1", "--output", `jsonpath={.status.state} {.status.conditions[?(@.type=="Ready")].reason}: {.status.conditions[?(@.type=="Ready")].message}`}

func TestAHostBecomesANodeAndIsGivenBack(t *testing.T) {
	before := debian.snapshot(t)
	if err := program(t.Context(), debian.root, 2*time.Minute, "drover-dev", "vm"); err != nil {
		t.Fatal(err)
	}
	sample := filepath.Join(".drover", "samples", "host.yaml")
	mustKubectl(t, "apply", "--filename", filepath.Join(debian.root, sample))
	t.Cleanup(func() {
		_, err := kubectl(context.WithoutCancel(t.Context()), "delete", "--ignore-not-found", "--timeout=30s", "--filename", filepath.Join(debian.root, sample))
		if err != nil {
			t.Log(err)
		}
	})

	awaitKubectl(t, 3*time.Minute, "Claimed", hostReady...)
	awaitKubectl(t, 8*time.Minute, "True", "get", "nodepool", "servers", "--output", `jsonpath={.status.conditions[?(@.type=="Ready")].status}`)
	name := mustKubectl(t, "get", "hostmachines", "--output", "jsonpath={.items[0].metadata.name}")
	if got, want := mustKubectl(t, "get", "node", name, "--output", "jsonpath={.spec.providerID}"), "drover-host://default/"+name; got != want {
		t.Errorf("the Node's provider ID is %q, want %q", got, want)
	}
	if got, want := mustKubectl(t, "get", "node", name, "--output", `jsonpath={.status.addresses[?(@.type=="InternalIP")].address}`), debian.Address; got != want {
		t.Errorf("the Node's address is %q, want %q", got, want)
	}
	if got := debian.run(t, "cat /var/lib/drover-host/lock"); !strings.Contains(got, name) {
		t.Errorf("the lock file does not name the claim: %s", got)
	}

	// A pod runs there, and one can see and do in it what one would.
	image := mustKubectl(t, "get", "deployment", "hello", "--output", "jsonpath={.spec.template.spec.containers[0].image}")
	mustKubectl(t, "run", "there", "--image", image, "--overrides", fmt.Sprintf(`{"spec":{"nodeName":%q}}`, name))
	awaitKubectl(t, 2*time.Minute, "Running", "get", "pod", "there", "--output", "jsonpath={.status.phase}")
	awaitKubectl(t, time.Minute, "drover-host://", "get", "node", name, "--output", "yaml")
	if _, err := kubectl(t.Context(), "logs", "there"); err != nil {
		t.Error(err)
	}
	// Restarting the agent harms no pod.
	started := mustKubectl(t, "get", "pod", "there", "--output", "jsonpath={.status.containerStatuses[0].containerID}")
	debian.run(t, "systemctl restart drover-agent")
	debian.awaitAnswer(t, "systemctl show --property=ActiveState drover-agent", "ActiveState=active")
	if got := mustKubectl(t, "get", "pod", "there", "--output", "jsonpath={.status.containerStatuses[0].containerID}"); got != started {
		t.Errorf("the pod's container was %s and is %s", started, got)
	}
	mustKubectl(t, "delete", "pod", "there", "--grace-period=1")

	mustKubectl(t, "delete", "nodepool", "servers", "--wait=false")
	awaitKubectl(t, 5*time.Minute, "Available", hostReady...)
	awaitKubectl(t, time.Minute, "", "get", "hostmachines", "--output", "name")
	if _, err := kubectl(t.Context(), "get", "node", name); err == nil {
		t.Errorf("Node %s is still there", name)
	}
	if left := debian.snapshot(t).since(before); len(left) > 0 {
		t.Errorf("the server is not what it was before:\n%s", strings.Join(left, "\n"))
	}
}
