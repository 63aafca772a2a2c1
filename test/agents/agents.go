// Package agents makes versions of the agent for tests of its own update, and has the development world serve them.
package agents

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// endpoint is where the development world serves its artifacts.
const endpoint = "10.88.0.1:5443"

// Build is the agent of this source, which calls itself by a version.
func Build(t *testing.T, root, version string) []byte {
	t.Helper()
	program := filepath.Join(t.TempDir(), "agent")
	run(t, root, "go", "build", "-tags", "grpcnotrace", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -X main.version="+version, "-o", program, "./cmd/agent")
	content, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// Serve has the world of a repository serve a program as a version of the agent, until the test has ended.
func Serve(t *testing.T, root, version string, program []byte) *v1alpha1.AgentRelease {
	t.Helper()
	dir := t.TempDir()
	file, repository := filepath.Join(dir, "program"), "test-agents/"+version
	if err := os.WriteFile(file, program, 0o755); err != nil {
		t.Fatal(err)
	}
	run(t, root, filepath.Join(root, ".drover", "tools", "artifacts"), "image", "--listed", "--file", file+"=/drover-agent",
		"--name", "agent:"+version, "--repository", repository, "--out", dir)
	digests := map[string]string{}
	data, err := os.ReadFile(filepath.Join(dir, "digests.json"))
	if err == nil {
		err = json.Unmarshal(data, &digests)
	}
	if err != nil {
		t.Fatal(err)
	}
	served := filepath.Join(root, ".drover", "artifacts", "test-agents")
	t.Cleanup(func() {
		_ = os.RemoveAll(filepath.Join(served, version)) // those of others may be fetched yet
		_ = os.Remove(served)
	})
	run(t, root, "mkdir", "-p", served)
	run(t, root, "cp", "-r", filepath.Join(dir, repository), served)
	return &v1alpha1.AgentRelease{Version: version, Artifacts: []v1alpha1.Artifact{{
		Architecture: runtime.GOARCH, Image: fmt.Sprintf("%s/%s@%s", endpoint, repository, digests[repository]),
	}}}
}

// Digest is that of a release's image.
func Digest(release *v1alpha1.AgentRelease) string {
	_, digest, _ := strings.Cut(release.Artifacts[0].Image, "@")
	return digest
}

func run(t *testing.T, dir string, command ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(command, " "), err, out)
	}
}
