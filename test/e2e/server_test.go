package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	nodepaths "github.com/drover-dev/drover/api/node"
	fleetv1 "github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/hack/dev/layout"
	"github.com/drover-dev/drover/hack/dev/pki"
)

// testANodeFollowsItsAPIServerAndItsAuthority takes a node over to another API server, of another authority: first it trusts both,
// then the address changes, and then the old authority goes. The Node is Ready all along.
func testANodeFollowsItsAPIServerAndItsAuthority(t *testing.T) {
	other := startAPIServer(t, 16443, "drover-e2e-ca")
	pool := world.newPool(t, "e2e-server", 1)
	world.awaitPool(t, pool.Name, 1)
	node := world.onlyMachine(t, pool).Name
	pause(t, pool) // the test says what the node's cluster is, and not the manager
	pod := world.startPod(t, busybox("e2e-server", "echo started; "+idle, onNode(node)), corev1.PodRunning)
	container := pod.Status.ContainerStatuses[0].ContainerID
	awaitPhase(t, node, fleetv1.PhaseCommitted, "")
	notReady := watchReady(t, node)
	cluster := world.agent(t, node).Spec.Cluster

	goes := func(revision, server, ca string, restarted ...string) {
		t.Helper()
		before := pids(t, node)
		wantOf(t, node, revision, func(spec *fleetv1.NodeAgentSpec) { spec.Cluster.Server, spec.Cluster.ServerCA = server, ca })
		eventually(t, nodesDeadline, revision+": the components know their API server", func(context.Context) error {
			if err := told(t, node, server, ca); err != nil {
				return err
			}
			now := pids(t, node)
			for name, pid := range before {
				if name != fleetv1.ComponentNetwork && (now[name] == 0 || (now[name] != pid) != slices.Contains(restarted, name)) {
					return fmt.Errorf("the processes were %v and are %v, want %v restarted", before, now, restarted)
				}
			}
			return nil
		})
		awaitPhase(t, node, fleetv1.PhaseCommitted, revision)
		renews(t, node, revision)
	}
	goes("e2e-overlap", cluster.Server, cluster.ServerCA+other.ca, fleetv1.ComponentKubelet)
	goes("e2e-moved", other.url, cluster.ServerCA+other.ca, fleetv1.ComponentKubelet, fleetv1.ComponentKubeProxy)
	goes("e2e-rotated", other.url, other.ca, fleetv1.ComponentKubelet)

	wantOf(t, node, "e2e-wrong", func(spec *fleetv1.NodeAgentSpec) { spec.Cluster.Server = "https://10.88.0.1:1" })
	eventually(t, podsDeadline, "the node says why it does not go there", func(context.Context) error {
		findings := world.agent(t, node).Status.Findings
		if !slices.ContainsFunc(findings, func(f fleetv1.Finding) bool { return strings.Contains(f.Message, "https://10.88.0.1:1") }) {
			return fmt.Errorf("it found %v", findings)
		}
		return told(t, node, other.url, other.ca)
	})
	if out, err := world.exec(t.Context(), pod, "echo", "hello"); err != nil || strings.TrimSpace(out) != "hello" {
		t.Errorf("a command in the pod: %q, %v", out, err)
	}
	if got := world.log(t, pod, ""); !strings.Contains(got, "started") {
		t.Errorf("the pod's log is %q", got)
	}
	if err := world.Get(t.Context(), client.ObjectKeyFromObject(pod), pod); err != nil {
		t.Fatal(err)
	}
	if got := pod.Status.ContainerStatuses[0]; got.ContainerID != container || got.RestartCount != 0 {
		t.Errorf("the pod's container did not survive: %+v", got)
	}
	if got := notReady(); len(got) > 0 {
		t.Errorf("the Node was not Ready: %v", got)
	}
}

// TestANodeGoesOnWithAnotherAPIServerWhenItsOwnHangs has a node use the second of two API servers, which then says nothing any more. It runs
// beside no other: what is announced is for all nodes, each of which restarts its kubelet and its kube-proxy when it hears of it.
func TestANodeGoesOnWithAnotherAPIServerWhenItsOwnHangs(t *testing.T) {
	other := startAPIServer(t, 16444, "")
	pool := world.newPool(t, "e2e-several", 1)
	world.awaitPool(t, pool.Name, 1)
	node := world.onlyMachine(t, pool).Name
	pause(t, pool)
	pod := world.startPod(t, busybox("e2e-several", idle, onNode(node)), corev1.PodRunning)
	awaitPhase(t, node, fleetv1.PhaseCommitted, "")
	announce(t, 16444)
	wantOf(t, node, "e2e-several", func(spec *fleetv1.NodeAgentSpec) { spec.Cluster.Server = other.url })
	awaitPhase(t, node, fleetv1.PhaseCommitted, "e2e-several")
	eventually(t, nodesDeadline, "the components go through the agent", func(context.Context) error {
		return told(t, node, "https://127.0.0.1:10247", world.agent(t, node).Spec.Cluster.ServerCA)
	})
	notReady := watchReady(t, node)
	renews(t, node, "with two API servers")

	signal := func(s os.Signal) {
		t.Helper()
		if err := other.process.Signal(s); err != nil {
			t.Fatal(err)
		}
	}
	signal(syscall.SIGSTOP)
	stopped := time.Now()
	renews(t, node, "although its API server hangs")
	t.Logf("the lease was renewed %s after the API server hung", time.Since(stopped).Round(time.Second))
	wantOf(t, node, "e2e-news", func(*fleetv1.NodeAgentSpec) {})
	awaitPhase(t, node, fleetv1.PhaseCommitted, "e2e-news") // the agent hears and speaks as well
	if out, err := world.exec(t.Context(), pod, "echo", "hello"); err != nil || strings.TrimSpace(out) != "hello" {
		t.Errorf("a command in the pod: %q, %v", out, err)
	}
	signal(syscall.SIGCONT)
	kill(t, must[int](t)(world.agentPID(t, node)))
	renews(t, node, "with another agent")
	signal(syscall.SIGKILL)
	renews(t, node, "although its API server is gone")
	if got := notReady(); len(got) > 0 {
		t.Errorf("the Node was not Ready: %v", got)
	}
}

// announce adds a port of the host to the addresses of the API servers, as a second one would.
func announce(t *testing.T, port int32) {
	t.Helper()
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Name: "e2e-kubernetes", Namespace: metav1.NamespaceDefault, Labels: map[string]string{discoveryv1.LabelServiceName: "kubernetes"}},
		AddressType: discoveryv1.AddressTypeIPv4, Ports: []discoveryv1.EndpointPort{{Name: ptr.To("https"), Port: ptr.To(port)}},
		Endpoints: []discoveryv1.Endpoint{{Addresses: []string{layout.HostAddress}}},
	}
	if err := world.Create(t.Context(), slice); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := world.Delete(context.WithoutCancel(t.Context()), slice); err != nil {
			t.Error(err)
		}
	})
}

// renews waits until the kubelet has renewed its lease from now on.
func renews(t *testing.T, node, when string) {
	t.Helper()
	from := time.Now()
	eventually(t, podsDeadline, "the kubelet renews its lease "+when, func(ctx context.Context) error {
		lease := &coordinationv1.Lease{}
		err := world.Get(ctx, client.ObjectKey{Namespace: corev1.NamespaceNodeLease, Name: node}, lease)
		if err == nil && ptr.Deref(lease.Spec.RenewTime, metav1.MicroTime{}).Time.Before(from) {
			err = fmt.Errorf("it was renewed %s", lease.Spec.RenewTime)
		}
		return err
	})
}

// told says whether the kubeconfigs of a node name an API server and nothing but its authorities.
func told(t *testing.T, node, server, ca string) error {
	t.Helper()
	root := fmt.Sprintf("/proc/%d/root", world.initOf(t, node))
	for _, name := range []string{"agent.kubeconfig", "kubelet.kubeconfig"} {
		config, err := clientcmd.LoadFromFile(root + filepath.Join(nodepaths.StateDir, name))
		if err != nil {
			return err
		}
		for _, c := range config.Clusters {
			authorities, err := os.ReadFile(root + c.CertificateAuthority)
			if err != nil || c.Server != server || string(authorities) != ca {
				return fmt.Errorf("%s names %s, with %q (%w)", name, c.Server, authorities, err)
			}
		}
	}
	return nil
}

// pause keeps the manager from a pool until the test's end.
func pause(t *testing.T, pool *fleetv1.NodePool) {
	t.Helper()
	set := func(paused bool) {
		t.Helper()
		changed := pool.DeepCopy()
		changed.Spec.Paused = ptr.To(paused)
		before := pool.DeepCopy()
		before.Spec.Paused = ptr.To(!paused)
		if err := world.Patch(context.WithoutCancel(t.Context()), changed, client.MergeFrom(before)); err != nil {
			t.Fatal(err)
		}
	}
	set(true)
	t.Cleanup(func() { set(false) })
}

// comingUp is what a kubelet that was started anew says of itself on a busy host, until a moment later it has its Node's CSINode.
const comingUp = "CSINode is not yet initialized"

// watchReady watches a Node until the function that it returns is called, which says what it was when it was not Ready.
func watchReady(t *testing.T, node string) (notReady func() []corev1.NodeCondition) {
	t.Helper()
	watch, err := world.Clientset.CoreV1().Nodes().Watch(t.Context(), metav1.ListOptions{FieldSelector: fields.OneTermEqualSelector("metadata.name", node).String()})
	if err != nil {
		t.Fatal(err)
	}
	var seen []corev1.NodeCondition
	events := 0
	var watching sync.WaitGroup
	watching.Go(func() {
		for event := range watch.ResultChan() {
			n, is := event.Object.(*corev1.Node)
			if !is || nodeReady(n) {
				events++
				continue
			}
			for _, c := range n.Status.Conditions {
				if c.Type == corev1.NodeReady && c.Message != comingUp {
					seen = append(seen, c)
				}
			}
		}
	})
	t.Cleanup(watch.Stop)
	return func() []corev1.NodeCondition {
		watch.Stop()
		watching.Wait()
		if events == 0 {
			t.Error("nothing was seen of the Node")
		}
		return seen
	}
}

// apiServer is an API server beside the demo's own, of the same cluster.
type apiServer struct {
	url, ca string
	process *os.Process
}

// startAPIServer starts it as the demo's is run, but on another port, and with a certificate of another authority unless that is empty.
func startAPIServer(t *testing.T, port int, authority string) apiServer {
	t.Helper()
	dir, ca := t.TempDir(), world.Config.CAData
	flags := []string{fmt.Sprintf("--secure-port=%d", port), "--endpoint-reconciler-type=none"} // the cluster's own Service stays the first one's
	if authority != "" {
		issuer := must[*pki.Authority](t)(pki.NewAuthority(dir, authority))
		if err := issuer.Issue(pki.Identity{Name: "apiserver", User: "kube-apiserver", Hosts: []string{layout.HostAddress, layout.APIServerIP}}); err != nil {
			t.Fatal(err)
		}
		flags = append(flags, "--tls-cert-file="+filepath.Join(dir, "apiserver.crt"), "--tls-private-key-file="+filepath.Join(dir, "apiserver.key"))
		ca = must[[]byte](t)(os.ReadFile(filepath.Join(dir, "ca.crt")))
	}
	program := filepath.Join(world.Root, ".drover", "bin", "kube-apiserver")
	running := fmt.Sprintf("/proc/%d", must[int](t)(findProcess(func(dir string) bool {
		line, _ := os.ReadFile(filepath.Join(dir, "cmdline")) // it may have ended meanwhile
		port := fmt.Sprintf("\x00--secure-port=%d\x00", layout.APIServerPort)
		return strings.HasPrefix(string(line), program+"\x00") && strings.Contains(string(line), port) && strings.Count(string(line), "--secure-port=") == 1 // no other test's
	})))
	args := strings.Split(strings.TrimRight(string(must[[]byte](t)(os.ReadFile(running+"/cmdline"))), "\x00"), "\x00")[1:]
	server := exec.Command(program, append(args, flags...)...) // of a flag that is given twice the last one counts
	server.Dir = must[string](t)(os.Readlink(running + "/cwd"))
	server.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	log := must[*os.File](t)(os.Create(filepath.Join(dir, "log")))
	server.Stdout, server.Stderr = log, log
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
		if t.Failed() {
			text, _ := os.ReadFile(log.Name())
			t.Logf("the other API server said:\n%s", text[max(0, len(text)-2000):])
		}
		_ = log.Close()
	})
	config := *world.Config
	config.Host = fmt.Sprintf("https://%s:%d", layout.HostAddress, port)
	config.CAData = ca
	there := must[client.Client](t)(client.New(&config, client.Options{Scheme: world.Scheme()}))
	eventually(t, podsDeadline, "the other API server answers", func(ctx context.Context) error {
		return there.List(ctx, &corev1.NodeList{})
	})
	return apiServer{url: config.Host, ca: string(ca), process: server.Process}
}
