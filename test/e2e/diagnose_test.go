package e2e

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	fleetv1 "github.com/drover-dev/drover/api/v1alpha1"
)

// diagnosed is what drover-agent diagnose collects on a machine, by the names of its files.
func diagnosed(t *testing.T, machine string) map[string]string {
	t.Helper()
	agent := must[int](t)(world.agentPID(t, machine))
	program := must[string](t)(os.Readlink(fmt.Sprintf("/proc/%d/exe", agent)))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "nsenter", "--all", fmt.Sprintf("--target=%d", agent), program, "diagnose", "--output=-")
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %s", err, said.String())
	}
	t.Log(strings.TrimSpace(said.String()))
	entries := tar.NewReader(must[*gzip.Reader](t)(gzip.NewReader(&out)))
	files := map[string]string{}
	for {
		header, err := entries.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		_, name, _ := strings.Cut(header.Name, "/")
		files[name] = string(must[[]byte](t)(io.ReadAll(entries)))
	}
}

func TestANodeIsDiagnosedOnTheMachine(t *testing.T) {
	node := world.aNode(t)
	pod := world.startPod(t, busybox("e2e-diagnosed", idle, onNode(node)), corev1.PodRunning)
	_, container, _ := strings.Cut(pod.Status.ContainerStatuses[0].ContainerID, "://")
	files := diagnosed(t, node)
	for name, part := range map[string]string{
		"containers/pods.json": pod.Name, "containers/containers.json": container, "containers/images.json": "pause", "containers/state.txt": container,
		"logs/kubelet.log": pod.Name, "logs/containerd.log": "level=", "agent/generations/journal": `"schema":1`, "agent/certificates.txt": "kubelet-serving: ",
		"config/components/kubelet.yaml": "KubeletConfiguration", "processes/kubelet.status": "Name:\tkubelet", "health/kubelet.txt": "200 OK",
		"network/nft-inet-drover.txt": "masquerade", "network/nft-ip-kube-proxy.txt": "service-ips", "network/links.txt": "cni0", "network/routes.txt": "10.244.",
	} {
		if !strings.Contains(files[name], part) {
			t.Errorf("%s lacks %q: %.500q", name, part, files[name])
		}
	}
	for name, content := range files {
		if strings.Contains(content, "PRIVATE KEY") || strings.Contains(content, "client-key-data") {
			t.Errorf("%s has a key", name)
		}
	}

	containerd, err := world.component(t.Context(), node, fleetv1.ComponentContainerd)
	if err != nil || containerd.PID == nil {
		t.Fatalf("containerd is %+v, %v", containerd, err)
	}
	pid := world.hostPID(t, node, *containerd.PID)
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = syscall.Kill(pid, syscall.SIGCONT) }()
	files = diagnosed(t, node)
	if index := files["index.json"]; !strings.Contains(index, "containerd does not answer") {
		t.Errorf("nothing is said of a containerd that hangs: %s", index)
	}
	if !strings.Contains(files["containers/state.txt"], container) || !strings.Contains(files["logs/kubelet.log"], pod.Name) {
		t.Error("what is there without containerd is not collected when that hangs")
	}
}
