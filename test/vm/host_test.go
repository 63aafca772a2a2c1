package vm

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// kubectl runs kubectl as the demo's administrator, in the machine's namespace, and returns what it prints.
func (s *Server) kubectl(ctx context.Context, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(s.root, ".drover", "bin", "kubectl"), append([]string{"--namespace", s.namespace}, args...)...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+filepath.Join(s.root, ".drover", "kubeconfig"))
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return strings.TrimSpace(stdout.String()), nil
}

func (s *Server) mustKubectl(t *testing.T, args ...string) string {
	t.Helper()
	out, err := s.kubectl(t.Context(), args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// awaitKubectl asks until kubectl prints what is wanted, or nothing if that is wanted.
func (s *Server) awaitKubectl(t *testing.T, limit time.Duration, want string, args ...string) {
	t.Helper()
	eventually(t, limit, "kubectl "+strings.Join(args, " "), func(ctx context.Context) error {
		out, err := s.kubectl(ctx, args...)
		if err == nil && (!strings.Contains(out, want) || want == "" && out != "") {
			err = fmt.Errorf("it prints %q, not %q", out, want)
		}
		return err
	})
}

// awaitHost waits until the machine's Host is in a state.
func (s *Server) awaitHost(t *testing.T, limit time.Duration, state string) {
	t.Helper()
	s.awaitKubectl(t, limit, state, "get", "host", s.Name, "--output",
		`jsonpath={.status.state} {.status.conditions[?(@.type=="Ready")].reason}: {.status.conditions[?(@.type=="Ready")].message}`)
}

// applySample applies what make vm writes, for this machine, with so many nodes of a version of Kubernetes, until the test has ended.
func (s *Server) applySample(t *testing.T, replicas int, version string) {
	t.Helper()
	text := strings.NewReplacer("replicas: 1", fmt.Sprintf("replicas: %d", replicas), "version: "+s.version, "version: "+version).Replace(s.sample)
	sample := filepath.Join(t.TempDir(), "host.yaml")
	if err := os.WriteFile(sample, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s.mustKubectl(t, "apply", "--filename", sample)
	t.Cleanup(func() {
		// The pool first: a Host is not released without the Secret of its keys.
		for _, args := range [][]string{
			deletePods,
			{"delete", "nodepool", "servers", "--ignore-not-found", "--timeout=50s"},
			{"delete", "--ignore-not-found", "--timeout=50s", "--filename", sample},
		} {
			if _, err := s.kubectl(context.WithoutCancel(t.Context()), args...); err != nil {
				t.Error(err)
			}
		}
	})
}

// deletePods deletes those of workloads and faults.
var deletePods = []string{"delete", "service/web", "pod/web", "pod/shell", "pod/here", "pod/greedy", "pod/orderly", "--grace-period=1", "--ignore-not-found"}

func (s *Server) awaitPool(t *testing.T) {
	t.Helper()
	s.awaitKubectl(t, 8*time.Minute, "True", "get", "nodepool", "servers", "--output", `jsonpath={.status.conditions[?(@.type=="Ready")].status}`)
}

// nodeName is what the machine is called as a node.
func (s *Server) nodeName(t *testing.T) string {
	t.Helper()
	return s.mustKubectl(t, "get", "hostmachines", "--output", "jsonpath={.items[0].metadata.name}")
}

func testAHostBecomesANodeAndIsGivenBack(t *testing.T, debian *Server) {
	debian.applyBundle(t, upgradeFrom)
	debian.applySample(t, 1, upgradeFrom)
	debian.awaitHost(t, 3*time.Minute, "Claimed")
	debian.awaitPool(t)
	name := debian.nodeName(t)
	if got, want := debian.mustKubectl(t, "get", "node", name, "--output", "jsonpath={.spec.providerID}"), "drover-host://default/"+name; got != want {
		t.Errorf("the Node's provider ID is %q, want %q", got, want)
	}
	if got, want := debian.mustKubectl(t, "get", "node", name, "--output", `jsonpath={.status.addresses[?(@.type=="InternalIP")].address}`), debian.Address; got != want {
		t.Errorf("the Node's address is %q, want %q", got, want)
	}
	if got := debian.run(t, "cat /var/lib/drover-host/lock"); !strings.Contains(got, name) {
		t.Errorf("the lock file does not name the claim: %s", got)
	}

	for _, step := range []struct {
		name string
		run  func(t *testing.T, debian *Server, name string)
	}{{"workloads", workloads}, {"upgrades", upgrades}, {"faults", faults}} {
		if !t.Run(step.name, func(t *testing.T) { step.run(t, debian, name) }) {
			t.FailNow()
		}
	}
	debian.mustKubectl(t, deletePods...)
	debian.mustKubectl(t, "scale", "nodepool", "servers", "--replicas=0")
	debian.awaitHost(t, 5*time.Minute, "Available")
	debian.awaitKubectl(t, time.Minute, "", "get", "hostmachines", "--output", "name")
	if _, err := debian.kubectl(t.Context(), "get", "node", name); err == nil {
		t.Errorf("Node %s is still there", name)
	}
	debian.isStock(t)
}

// busybox is the demo's own, as no registry is in reach.
const busybox = "10.88.0.1:5443/images/busybox:dev"

// pod runs a pod on a node until the test has ended, and waits until it runs.
func pod(t *testing.T, debian *Server, name, node, image string, more ...string) {
	t.Helper()
	debian.mustKubectl(t, append([]string{"run", name, "--image", image, "--overrides", fmt.Sprintf(`{"spec":{"nodeName":%q}}`, node)}, more...)...)
	debian.awaitKubectl(t, 3*time.Minute, "Running", "get", "pod", name, "--output", "jsonpath={.status.phase}")
}

// workloads tries what one does with pods on a server, and Services both ways with a local machine.
func workloads(t *testing.T, debian *Server, name string) {
	t.Helper()
	image := debian.mustKubectl(t, "get", "deployment", "hello", "--output", "jsonpath={.spec.template.spec.containers[0].image}")
	pod(t, debian, "web", name, image)
	pod(t, debian, "shell", name, busybox, "--command", "--", "/bin/sh", "-c", "echo hello from $(hostname); exec sleep 3600")
	debian.awaitKubectl(t, time.Minute, "hello from shell", "logs", "shell")
	if got := debian.mustKubectl(t, "exec", "shell", "--", "/bin/sh", "-c", "echo $((6 * 7))"); got != "42" {
		t.Errorf("exec printed %q", got)
	}
	// The agent's own limit is not the containers': programs that ask for it close as many files.
	if got := debian.mustKubectl(t, "exec", "shell", "--", "/bin/sh", "-c", "ulimit -Sn"); got != "1024" {
		t.Errorf("a container's soft limit of open files is %s, want the kernel's 1024", got)
	}
	forward(t, debian, "web", "Hello from web")
	service := debian.mustKubectl(t, "get", "service", "hello", "--output", "jsonpath={.spec.clusterIP}")
	debian.awaitKubectl(t, time.Minute, "Hello from hello", "exec", "web", "--", "/hello", "get", "http://"+service)
	local := debian.mustKubectl(t, "get", "machines", "--selector=fleet.drover.dev/pool=workers", "--output", "jsonpath={.items[0].metadata.name}")
	pod(t, debian, "here", local, image)
	debian.mustKubectl(t, "expose", "pod", "web", "--port=80", "--target-port=8080")
	reachable(t, debian)

	// A limit binds: who takes more than it is killed. containerd does not always hear in time that it was for its memory.
	debian.mustKubectl(t, "run", "greedy", "--image", busybox, "--restart=Never", "--overrides", fmt.Sprintf(
		`{"spec":{"nodeName":%q,"containers":[{"name":"greedy","image":%q,"command":["tail","/dev/zero"],"resources":{"limits":{"memory":"32Mi"}}}]}}`, name, busybox))
	debian.awaitKubectl(t, 3*time.Minute, "137", "get", "pod", "greedy", "--output", "jsonpath={.status.containerStatuses[0].state.terminated.exitCode}")
}

// reachable asks the server's pod from the local machine, by its Service.
func reachable(t *testing.T, debian *Server) {
	t.Helper()
	service := debian.mustKubectl(t, "get", "service", "web", "--output", "jsonpath={.spec.clusterIP}")
	debian.awaitKubectl(t, 3*time.Minute, "Hello from web", "exec", "here", "--", "/hello", "get", "http://"+service)
}

// forward reads what a pod serves by a forwarded port.
func forward(t *testing.T, debian *Server, pod, want string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(debian.root, ".drover", "bin", "kubectl"), "port-forward", "pod/"+pod, "0:8080", "--address=127.0.0.1")
	cmd.Env = append(os.Environ(), "KUBECONFIG="+filepath.Join(debian.root, ".drover", "kubeconfig"))
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() { cancel(); _ = cmd.Wait() }() // it is ended by us, and says so
	line, _ := bufio.NewReader(out).ReadString('\n')
	_, address, _ := strings.Cut(line, "Forwarding from ")
	address, _, _ = strings.Cut(address, " ")
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address, nil)
	if err != nil {
		t.Fatalf("kubectl port-forward prints %q: %v", line, err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if body, err := io.ReadAll(response.Body); err != nil || !strings.Contains(string(body), want) {
		t.Errorf("the forwarded port answers %q, %v", body, err)
	}
}

// orderly is a pod that notes on the server that it was asked to end.
const orderly = `{"spec":{"nodeName":%q,"terminationGracePeriodSeconds":10,"volumes":[{"name":"host","hostPath":{"path":"/var/tmp"}}],
"containers":[{"name":"orderly","image":%q,"volumeMounts":[{"name":"host","mountPath":"/host"}],
"command":["/bin/sh","-c","trap 'echo ended > /host/orderly; exit' TERM; while true; do sleep 0.2; done"]}]}}`

// faults ends each part, restarts the agent and networkd, which no pod notices, and reboots the server, before which the
// kubelet ends the pods in order: for good those that no controller makes anew.
func faults(t *testing.T, debian *Server, name string) {
	t.Helper()
	container := func() string {
		return debian.mustKubectl(t, "get", "pod", "web", "--output", "jsonpath={.status.containerStatuses[0].containerID}")
	}
	before := container()
	debian.run(t, "systemctl restart drover-agent")
	debian.awaitAnswer(t, "systemctl show --property=ActiveState drover-agent", "ActiveState=active")
	for _, component := range []string{"kubelet", "containerd", "kube-proxy", "drover-agent"} {
		former := debian.run(t, "pidof "+component)
		debian.run(t, "kill -9 $(pidof "+component+")")
		eventually(t, 2*time.Minute, component+" is started again", func(ctx context.Context) error {
			now, err := debian.asRoot(ctx, "pidof "+component)
			if err == nil && now == former {
				err = fmt.Errorf("%s still is process %s", component, now)
			}
			return err
		})
	}
	debian.awaitKubectl(t, 3*time.Minute, "True", "get", "node", name, "--output", `jsonpath={.status.conditions[?(@.type=="Ready")].status}`)
	if now := container(); now != before {
		t.Errorf("the pod's container was %s and is %s", before, now)
	}

	for _, component := range []string{"kubelet", "containerd", "kube-proxy"} {
		// A kubelet that began while containerd was away ends once more.
		debian.awaitAnswer(t, "cat /proc/$(pidof "+component+")/cgroup", "0::/drover.slice/drover-node.service/"+component)
	}
	// The other machine joins and leaves meanwhile, and the route to its pods comes and goes.
	show := fmt.Sprintf("ip route show | grep -vwF -e 'via %s' -e 'via %s'", first.Address, second.Address)
	routes := debian.run(t, show)
	debian.run(t, "systemctl restart systemd-networkd && /lib/systemd/systemd-networkd-wait-online --timeout=30")
	if now := debian.run(t, show); now != routes {
		t.Errorf("after a restart of networkd the routes are\n%s\nand were\n%s", now, routes)
	}

	debian.mustKubectl(t, "run", "orderly", "--image", busybox, "--overrides", fmt.Sprintf(orderly, name, busybox))
	debian.awaitKubectl(t, time.Minute, "Running", "get", "pod", "orderly", "--output", "jsonpath={.status.phase}")
	boot, err := debian.bootID(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, _ = debian.asRoot(t.Context(), "systemctl reboot") // the connection ends with the machine
	eventually(t, 6*time.Minute, "boot anew", func(ctx context.Context) error {
		id, err := debian.bootID(ctx)
		if err == nil && id == boot {
			err = fmt.Errorf("the boot still is %s", id)
		}
		return err
	})
	debian.awaitKubectl(t, 4*time.Minute, bootIDOf(t, debian), "get", "node", name, "--output", "jsonpath={.status.nodeInfo.bootID}")
	debian.awaitKubectl(t, 4*time.Minute, "True", "get", "node", name, "--output", `jsonpath={.status.conditions[?(@.type=="Ready")].status}`)
	debian.awaitKubectl(t, 2*time.Minute, "drover-host://default/"+name, "get", "node", name, "--output", "jsonpath={.spec.providerID}")
	if got := debian.run(t, "cat /var/tmp/orderly"); got != "ended" {
		t.Errorf("the shutdown did not ask a pod to end, but killed it: it noted %q", got)
	}
	// Where the API server did not hear in time that it has ended, it runs again, and notes its second end.
	debian.mustKubectl(t, "delete", "pod", "web", "orderly", "--grace-period=1")
	debian.run(t, "rm /var/tmp/orderly")
	pod(t, debian, "web", name, debian.mustKubectl(t, "get", "pod", "here", "--output", "jsonpath={.spec.containers[0].image}"))
	reachable(t, debian)
}

func bootIDOf(t *testing.T, debian *Server) string {
	t.Helper()
	id, err := debian.bootID(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(id)
}

// applyHost applies a Host of the machine, with its Secret, until the test has ended.
func applyHost(t *testing.T, debian *Server, name, spec string) {
	t.Helper()
	key, err := os.ReadFile(debian.Key)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(spec, "address:") {
		spec += ", address: " + debian.Address
	}
	if !strings.HasPrefix(spec, "hostKeys:") {
		spec += fmt.Sprintf(", hostKeys: [%q]", debian.HostKey)
	}
	file := filepath.Join(t.TempDir(), "host.yaml")
	text := fmt.Sprintf("apiVersion: v1\nkind: Secret\nmetadata: {name: ways}\nstringData: {password: %q, key: %q}\n---\n"+
		"apiVersion: v1\nkind: Secret\nmetadata: {name: wrong}\nstringData: {password: wrong}\n---\n"+
		"apiVersion: fleet.drover.dev/v1alpha1\nkind: Host\nmetadata: {name: %s}\nspec: {keySecretRef: {name: ways}, %s}\n", debian.Password, key, name, strings.TrimPrefix(spec, ", "))
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	debian.mustKubectl(t, "apply", "--filename", file)
	t.Cleanup(func() {
		if _, err := debian.kubectl(context.WithoutCancel(t.Context()), "delete", "--timeout=30s", "--filename", file); err != nil {
			t.Error(err)
		}
	})
}

// testWaysIntoAServer tries each way into the machine, and what is said of those that do not lead there.
func testWaysIntoAServer(t *testing.T, debian *Server) {
	for _, tc := range []struct{ name, spec, want string }{
		{"sudo-password", `user: operator, privilege: Sudo, sudoPasswordSecretRef: {name: ways}`, "Available"},
		{"wrong-password", `user: operator, privilege: Sudo, sudoPasswordSecretRef: {name: wrong}`, "SudoPasswordWrong"},
		{"no-password", `user: operator, privilege: Sudo`, "SudoDenied"},
		{"no-sudo", `user: guest, privilege: Sudo`, "SudoDenied"},
		{"nobody", `user: nobody, privilege: Sudo`, "AuthenticationFailed"},
		{"another-key", `hostKeys: ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGnvpTmRs0NLHRHTSmqcvMBSbtq3ZqaxiAoLWmAHMRGu"]`, "HostKeyMismatch"},
		{"jump-host", fmt.Sprintf(`address: 127.0.0.1, nodeAddress: %s, jumpHost: {address: %[1]s, keySecretRef: {name: ways}, hostKeys: [%q]}`, debian.Address, debian.HostKey), "Available"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			applyHost(t, debian, tc.name, tc.spec)
			debian.awaitKubectl(t, time.Minute, tc.want, "get", "host", tc.name, "--output", `jsonpath={.status.conditions[?(@.type=="Ready")].reason}`)
		})
	}
}
