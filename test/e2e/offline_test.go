package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	nodepaths "github.com/drover-dev/drover/api/node"
	fleetv1 "github.com/drover-dev/drover/api/v1alpha1"
)

const (
	// readyAgain is how long a node that booted without the API server may take to be Ready once that is back, and podsAgain how
	// long until its pods answer.
	readyAgain = 30 * time.Second
	podsAgain  = time.Minute
)

// testANodeGoesOnWithoutTheAPIServer cuts a node off from the API server, ends whatever runs it, and boots its machine. Containers go
// on until then, and static pods run after it; the API's pods do when the API server is back.
func testANodeGoesOnWithoutTheAPIServer(t *testing.T) {
	p := newPatient(t, "e2e-offline")
	static, url := p.startStaticPod(t, "e2e-offline-static", 8098)
	pods := append([]*corev1.Pod{static}, p.pods...)
	ran := map[string][]int{}
	for _, pod := range pods {
		ran[pod.Name] = processes(t, pod)
	}
	undisturbed := func(what string) {
		t.Helper()
		for _, pod := range pods {
			if now := processes(t, pod); !slices.Equal(now, ran[pod.Name]) {
				t.Errorf("%s: pod %s had the processes %v and has %v", what, pod.Name, ran[pod.Name], now)
			}
		}
	}

	reach := p.cutOff(t)
	p.killAll(t)
	undisturbed("without the API server")
	reach()
	eventually(t, podsDeadline, p.node+" is well, with a kubelet that registers its Node", p.registers)
	undisturbed("when the API server was back")

	reach = p.cutOff(t)
	was := world.initOf(t, p.node)
	kill(t, was)
	eventually(t, nodesDeadline, "the machine boots again", func(ctx context.Context) error {
		var local fleetv1.LocalMachine
		err := world.Get(ctx, client.ObjectKey{Namespace: "default", Name: p.node}, &local)
		if err == nil && (local.Status.PID == nil || int(*local.Status.PID) == was) {
			err = fmt.Errorf("its status is %+v", local.Status)
		}
		return err
	})
	p.init = strconv.Itoa(world.initOf(t, p.node))
	booted := time.Now()
	eventually(t, podsDeadline, "the components and the static pod run without the API server", func(ctx context.Context) error {
		return errors.Join(p.answers(ctx), get(ctx, url))
	})
	t.Logf("the static pod answered %s after the boot", time.Since(booted).Round(time.Second))
	for _, pod := range p.pods {
		if left := must[[]int](t)(processesOf(pod)); len(left) > 0 {
			t.Errorf("pod %s of the API has the processes %v, of which no kubelet can know yet", pod.Name, left)
		}
	}
	eventually(t, podsDeadline, "the Node is not Ready", func(ctx context.Context) error {
		node, err := world.node(ctx, p.node)
		return errors.Join(err, unless(!nodeReady(node), "it is"))
	})

	reach()
	back := time.Now()
	soon(t, readyAgain, "the Node is Ready", func(ctx context.Context) error {
		node, err := world.node(ctx, p.node)
		return errors.Join(err, unless(nodeReady(node), "it is not"))
	})
	t.Logf("the Node was Ready %s after the API server was back", time.Since(back).Round(time.Millisecond))
	soon(t, podsAgain-time.Since(back), "a pod of the API answers", func(ctx context.Context) error { return get(ctx, p.url) })
	t.Logf("a pod of the API answered %s after the API server was back", time.Since(back).Round(time.Millisecond))
	eventually(t, podsDeadline, p.node+" is well, with a kubelet that registers its Node", p.registers)
	world.awaitPod(t, static, corev1.PodRunning, true)
	if err := get(t.Context(), url); err != nil {
		t.Errorf("the static pod did not go on: %v", err)
	}
}

// registers fails unless a node is well, by what it says since its kubelet was given leave to register its Node.
func (p *patient) registers(ctx context.Context) error {
	pid, arguments, err := p.runs(fleetv1.ComponentKubelet)
	if err == nil && strings.Contains(arguments, "--register-node") {
		err = fmt.Errorf("the kubelet has the arguments %q", arguments)
	}
	if err != nil {
		return err
	}
	kubelet, err := world.component(ctx, p.node, fleetv1.ComponentKubelet)
	if err != nil {
		return err
	}
	return errors.Join(p.well(ctx), unless(int(ptr.Deref(kubelet.PID, 0)) == pid, "the kubelet is process %d, and said to be %+v", pid, kubelet))
}

// killAll ends the agent and all components of a node that is cut off, at once, and then the agent that came after. All of them
// run again, and a pod answers all along.
func (p *patient) killAll(t *testing.T) {
	t.Helper()
	agent := must[int](t)(world.agentPID(t, p.node))
	killed := map[string]int{}
	calls := p.call(t)
	for _, name := range processNames {
		killed[name], _, _ = p.runs(name)
	}
	for _, pid := range append([]int{agent}, p.hostPIDs(t, killed)...) {
		kill(t, pid)
	}
	eventually(t, podsDeadline, "all of them run again", func(ctx context.Context) error {
		for _, name := range processNames {
			if pid, _, err := p.runs(name); err != nil || pid == killed[name] {
				return fmt.Errorf("%s was process %d and is %d: %w", name, killed[name], pid, err)
			}
		}
		return p.answers(ctx)
	})
	kubelet, _, _ := p.runs(fleetv1.ComponentKubelet)
	world.renewAgent(t, p.node)
	watch(t, 10*time.Second, "the node goes on as it is", func() error {
		now, _, err := p.runs(fleetv1.ComponentKubelet)
		return errors.Join(err, unless(now == kubelet, "the kubelet was process %d and is %d", kubelet, now))
	})
	if failures, asked := calls.end(); len(failures) > 0 || asked == 0 {
		t.Errorf("%d of %d calls of a pod failed: %v", len(failures), asked, failures[:min(len(failures), 5)])
	}
}

// cutOff keeps a node from what the host serves for the cluster, until what it returns is called. It is the host that does so, as
// a boot gives the machine another network.
func (p *patient) cutOff(t *testing.T) (reach func()) {
	t.Helper()
	const table = "drover_e2e_offline"
	nft := func(arguments ...string) error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 30*time.Second)
		defer cancel()
		out, err := exec.CommandContext(ctx, "nft", arguments...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("nft %v: %w: %s", arguments, err, out)
		}
		return nil
	}
	address := address(must[*corev1.Node](t)(world.node(t.Context(), p.node)), corev1.NodeInternalIP)
	if err := nft(fmt.Sprintf("table inet %s { chain input { type filter hook input priority -1; ip saddr %s tcp dport { 6443, 5443 } drop; }; }", table, address)); err != nil {
		t.Fatal(err)
	}
	reach = sync.OnceFunc(func() {
		if err := nft("delete", "table", "inet", table); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(reach)
	return reach
}

// startStaticPod gives a machine a static pod that serves on a port of the node, and returns its mirror, by the UID that the kubelet
// knows it by, and its address.
func (p *patient) startStaticPod(t *testing.T, name string, port int32) (mirror *corev1.Pod, url string) {
	t.Helper()
	pod := busybox(name, "mkdir /www && echo ok > /www/index.html && exec httpd -f -p 8080 -h /www", func(pod *corev1.Pod) {
		pod.Spec.Containers[0].Ports = []corev1.ContainerPort{{ContainerPort: 8080, HostPort: port}}
	})
	mirror = startStaticPod(t, p.init, p.node, pod)
	url = fmt.Sprintf("http://%s:%d/", address(must[*corev1.Node](t)(world.node(t.Context(), p.node)), corev1.NodeInternalIP), port)
	eventually(t, podsDeadline, url+" answers", func(ctx context.Context) error { return get(ctx, url) })
	return mirror, url
}

// startStaticPod puts a manifest into a machine, by its init, and waits until the API has a mirror of it that is ready.
func startStaticPod(t *testing.T, init, node string, pod *corev1.Pod) (mirror *corev1.Pod) {
	t.Helper()
	pod.APIVersion, pod.Kind = "v1", "Pod"
	manifest := filepath.Join("/proc", init, "root", nodepaths.StaticPodDir, pod.Name+".yaml")
	if err := os.WriteFile(manifest, must[[]byte](t)(yaml.Marshal(pod)), 0o600); err != nil {
		t.Fatal(err)
	}
	mirror = &corev1.Pod{}
	mirror.Namespace, mirror.Name = pod.Namespace, pod.Name+"-"+node
	eventually(t, podsDeadline, "static pod "+pod.Name+" has a mirror that is ready", func(ctx context.Context) error {
		err := world.Get(ctx, client.ObjectKeyFromObject(mirror), mirror)
		return errors.Join(err, unless(podReady(mirror), "it is %s: %+v", mirror.Status.Phase, mirror.Status.ContainerStatuses))
	})
	mirror.UID = types.UID(mirror.Annotations["kubernetes.io/config.hash"])
	return mirror
}

// runs finds a component's process by what the machine itself has of it: its process ID there, and its arguments.
func (p *patient) runs(component string) (pid int, arguments string, err error) {
	data, err := os.ReadFile(p.path(filepath.Join(nodepaths.RunDir, "processes", component+".json")))
	if err != nil {
		return 0, "", err
	}
	var record struct {
		PID int `json:"pid"`
	}
	if err := json.Unmarshal(data, &record); err != nil {
		return 0, "", err
	}
	line, err := os.ReadFile(p.path(fmt.Sprintf("/proc/%d/cmdline", record.PID)))
	program, arguments, _ := strings.Cut(string(line), "\x00")
	return record.PID, arguments, errors.Join(err, unless(filepath.Base(program) == component, "process %d is %q, and no %s", record.PID, program, component))
}

// hostPIDs translates process IDs of the machine to the host's.
func (p *patient) hostPIDs(t *testing.T, inside map[string]int) (all []int) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(inside)) {
		all = append(all, world.hostPID(t, p.node, int32(inside[name])))
	}
	return all
}

// answers fails unless the components run, and containerd and the kubelet answer. kube-proxy has nothing to say without the API server.
func (p *patient) answers(ctx context.Context) error {
	for _, name := range processNames {
		if _, _, err := p.runs(name); err != nil {
			return err
		}
	}
	containerd, err := (&net.Dialer{}).DialContext(ctx, "unix", p.path("/run/containerd/containerd.sock"))
	if err != nil {
		return err
	}
	_, err = p.enter(ctx, "--net", "busybox", "wget", "-q", "-O", "-", "http://127.0.0.1:10248/healthz")
	return errors.Join(err, containerd.Close())
}
