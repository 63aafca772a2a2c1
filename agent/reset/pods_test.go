package reset

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/drover-dev/drover/internal/cgroup"
)

// sleeper runs until it is killed, and ends with the test.
func sleeper(t *testing.T, path string) int {
	t.Helper()
	cmd := exec.Cmd{Path: path, Args: []string{"sleep", "600"}}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = cmd.Process.Kill(), cmd.Wait() })
	return cmd.Process.Pid
}

// inCgroup makes a cgroup with a process in it, and removes it with those above it that the test made.
func inCgroup(t *testing.T, hierarchy, path string) (dir string, pid int) {
	t.Helper()
	dir = hierarchy
	for part := range strings.SplitSeq(path, "/") {
		dir = filepath.Join(dir, part)
		made := dir
		if err := os.Mkdir(made, 0o755); err == nil {
			t.Cleanup(func() { removed(t, made) })
		} else if !os.IsExist(err) {
			t.Fatal(err)
		}
	}
	pid = sleeper(t, "/bin/sleep")
	t.Cleanup(func() { _, _, _ = cgroup.Kill(dir) }) // or, frozen, its end would be waited for in vain
	if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0); err != nil {
		t.Fatal(err)
	}
	return dir, pid
}

// removed removes a cgroup as soon as its processes, which were killed, have left it.
func removed(t *testing.T, dir string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 10*time.Second)
	defer cancel()
	if err := cgroup.Remove(ctx, dir); err != nil {
		t.Error(err)
	}
}

// program is a program that sleeps.
func program(t *testing.T, path string) string {
	t.Helper()
	sleep, err := os.ReadFile("/bin/sleep")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, sleep, 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestResetEndsThePodsThatContainerdLeft(t *testing.T) {
	for hierarchy, freezer := range map[string]string{
		"/sys/fs/cgroup": "cgroup.freeze", "/sys/fs/cgroup/unified": "cgroup.freeze", "/sys/fs/cgroup/freezer": "freezer.state",
	} {
		if !exists(filepath.Join(hierarchy, "cgroup.procs")) {
			continue
		}
		t.Run(strings.ReplaceAll(hierarchy, "/", "_"), func(t *testing.T) {
			o, out := machine(t)
			root := fmt.Sprintf("drover-test-%d", os.Getpid())
			o.CgroupRoot = "/" + root
			dir, running := inCgroup(t, hierarchy, root+"/kubepods/burstable/pod1")
			paused, frozen := inCgroup(t, hierarchy, root+"/kubepods/pod2")
			_, beside := inCgroup(t, hierarchy, root+"/system")
			state := "1"
			if freezer == "freezer.state" {
				state = "FROZEN"
			}
			if err := os.WriteFile(filepath.Join(paused, freezer), []byte(state), 0); err != nil {
				t.Fatal(err)
			}
			shim := sleeper(t, program(t, o.StateDir+"/bundles/1234/bin/"+shimName))
			theirs := sleeper(t, program(t, filepath.Join(t.TempDir(), "bundles/1234/bin", shimName)))
			if err := Run(t.Context(), o); err != nil {
				t.Errorf("%v; it said:\n%s", err, out)
			}
			for what, pid := range map[string]int{"the pod's process": running, "the frozen process": frozen, "the shim": shim} {
				if runs(t, pid) {
					t.Errorf("%s still runs", what)
				}
			}
			for what, pid := range map[string]int{"a process beside the pods": beside, "another's shim": theirs} {
				if !runs(t, pid) {
					t.Errorf("%s was killed", what)
				}
			}
			if exists(dir) || exists(paused) || !exists(filepath.Join(hierarchy, root, "system")) {
				t.Error("the cgroups of the pods are left, or more is gone than those")
			}
		})
	}
}

// runtimeServer is a containerd with pods.
type runtimeServer struct {
	runtimeapi.UnimplementedRuntimeServiceServer
	pods []string
	stop func(ctx context.Context, pod string) error

	mu      sync.Mutex
	removed []string
}

func (s *runtimeServer) ListPodSandbox(context.Context, *runtimeapi.ListPodSandboxRequest) (*runtimeapi.ListPodSandboxResponse, error) {
	list := &runtimeapi.ListPodSandboxResponse{}
	for _, pod := range s.pods {
		list.Items = append(list.Items, &runtimeapi.PodSandbox{Id: pod, Metadata: &runtimeapi.PodSandboxMetadata{Namespace: "default", Name: pod}})
	}
	return list, nil
}

func (s *runtimeServer) StopPodSandbox(ctx context.Context, r *runtimeapi.StopPodSandboxRequest) (*runtimeapi.StopPodSandboxResponse, error) {
	return &runtimeapi.StopPodSandboxResponse{}, s.stop(ctx, r.GetPodSandboxId())
}

func (s *runtimeServer) RemovePodSandbox(_ context.Context, r *runtimeapi.RemovePodSandboxRequest) (*runtimeapi.RemovePodSandboxResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.removed = append(s.removed, r.GetPodSandboxId())
	return &runtimeapi.RemovePodSandboxResponse{}, nil
}

func TestAPodThatDoesNotStopKeepsNoOtherFromIt(t *testing.T) {
	o, out := machine(t)
	together := make(chan struct{}, 2)
	server := &runtimeServer{pods: []string{"hangs", "one", "two"}}
	server.stop = func(ctx context.Context, pod string) error {
		if pod == "hangs" {
			<-ctx.Done()
			return ctx.Err()
		}
		for together <- struct{}{}; len(together) < 2; time.Sleep(time.Millisecond) {
			if ctx.Err() != nil {
				return ctx.Err()
			}
		}
		return nil
	}
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", o.Paths.Socket())
	if err != nil {
		t.Fatal(err)
	}
	serve := grpc.NewServer()
	runtimeapi.RegisterRuntimeServiceServer(serve, server)
	done := make(chan struct{})
	go func() { defer close(done); _ = serve.Serve(listener) }()
	defer func() { serve.Stop(); <-done }()
	r := &resetter{Options: o}
	if err := r.removePods(t.Context(), time.Second); err != nil {
		t.Error(err)
	}
	if len(server.removed) != 2 {
		t.Errorf("%v were removed, want those that can be, both at a time", server.removed)
	}
	for _, line := range []string{"Left pod default/hangs to the kernel", "Removed pod default/one", "Removed pod default/two"} {
		if !strings.Contains(out.String(), line) {
			t.Errorf("it did not say %q; it said:\n%s", line, out)
		}
	}
}
