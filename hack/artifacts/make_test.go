package main

import (
	"os/exec"
	"strings"
	"testing"
)

// dryRun is what make would run if nothing was built. The names alone are looked at; nothing is.
func dryRun(t *testing.T, args ...string) (string, error) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "make", append([]string{"--dry-run", "--always-make", "--directory=../.."}, args...)...).CombinedOutput()
	return string(out), err
}

func TestMakeBuildsOfAnotherVersionTheNodesProgramsAlone(t *testing.T) {
	out, err := dryRun(t, "bundle", "KUBERNETES_VERSION=v1.37.1")
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, want := range []string{"-modfile=versions/v1.37.1.mod", "version.gitVersion=v1.37.1", "bundle --bin", "cat "} {
		if !strings.Contains(out, want) {
			t.Errorf("make bundle would run nothing with %q:\n%s", want, out)
		}
	}
	for _, other := range []string{"./controlplane", "coredns", "etcd"} {
		if strings.Contains(out, other) {
			t.Errorf("make bundle would build %s, of which no node has use:\n%s", other, out)
		}
	}
}

func TestMakeBuildsOneVersionUnlessAskedForAnother(t *testing.T) {
	out, err := dryRun(t, "build")
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if strings.Contains(out, "-modfile=") {
		t.Errorf("make build would build another version of Kubernetes, too:\n%s", out)
	}
}

func TestMakeSaysHowToAddAVersionThatIsNotPinned(t *testing.T) {
	out, err := dryRun(t, "bundle", "KUBERNETES_VERSION=v1.2.3")
	if err == nil || !strings.Contains(out, "hack/kube/pin.sh") {
		t.Errorf("make bundle of a version that is not pinned: %v: %s", err, out)
	}
}
