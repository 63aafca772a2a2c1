package manyhosts

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/test/apiserver"
	"github.com/drover-dev/drover/test/racks"
	"github.com/drover-dev/drover/test/sshd"
)

const version = "v1.36.3"

// site is an API server, a manager and servers.
type site struct {
	*apiserver.Server
	b         *testing.B
	dir       string
	namespace string
	servers   *racks.Rack
	boxes     []*box
	manager   *exec.Cmd
}

// memory is the directory of this process's files, in memory: it is not the disk that is measured.
func memory() string { return fmt.Sprintf("/dev/shm/drover-manyhosts-%d", os.Getpid()) }

// newSite starts one.
func newSite(b *testing.B, boxes int) *site {
	b.Helper()
	if err := os.MkdirAll(memory(), 0o700); err != nil {
		b.Fatal(err)
	}
	dir, err := os.MkdirTemp(memory(), "")
	if err != nil {
		b.Fatal(err)
	}
	s := &site{Server: apiserver.Start(b), b: b, dir: dir}
	s.namespace = s.Namespace(b)
	s.servers = racks.New(b, s.namespace)
	for i := range boxes {
		s.boxes = append(s.boxes, s.newBox(fmt.Sprintf("rack-%03d", i)))
	}
	s.startManager()
	return s
}

// close ends the manager and the servers, and frees what the servers have in memory.
func (s *site) close() {
	_ = s.manager.Process.Signal(syscall.SIGTERM)
	_ = s.manager.Wait()
	for _, b := range s.boxes {
		b.Stop()
	}
	_ = os.RemoveAll(s.dir)
}

// startManager starts the manager that was built, with an agent that is as large as the real one.
func (s *site) startManager() {
	s.b.Helper()
	bin := os.Getenv("KUBEBUILDER_ASSETS")
	genuine, err := os.Stat(filepath.Join(bin, "drover-agent"))
	if err != nil {
		s.b.Fatalf("look for the agent that `make build` makes: %v", err)
	}
	agent := filepath.Join(s.dir, "drover-agent")
	if out, err := exec.CommandContext(s.b.Context(), "go", "build", "-ldflags=-s -w", "-o", agent, "./agent").CombinedOutput(); err != nil {
		s.b.Fatalf("build the stand-in for the agent: %v: %s", err, out)
	}
	if err := os.Truncate(agent, genuine.Size()); err != nil {
		s.b.Fatal(err)
	}
	kubeconfig, err := s.KubeconfigFile()
	if err != nil {
		s.b.Fatal(err)
	}
	log, err := os.Create(filepath.Join(s.dir, "manager.log"))
	if err != nil {
		s.b.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	s.manager = exec.Command(filepath.Join(bin, "drover-manager"), "--kubeconfig="+kubeconfig, "--agent-binary="+agent,
		"--metrics-bind-address=0", "--health-probe-bind-address=0", "--api-server-url=https://10.88.0.1:6443",
		"--cluster-dns=10.96.0.10", "--service-cidrs=10.96.0.0/16", "--pod-cidrs=10.244.0.0/16")
	s.manager.Stdout, s.manager.Stderr = log, log
	s.manager.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.manager.Start(); err != nil {
		s.b.Fatal(err)
	}
}

// explain logs the end of what the manager said.
func (s *site) explain() {
	text, err := os.ReadFile(filepath.Join(s.dir, "manager.log"))
	if err == nil {
		s.b.Logf("the manager's log ends with:\n%s", text[max(0, len(text)-4000):])
	}
}

// box is a server whose commands have a /var/lib and a /run of their own.
type box struct {
	*racks.Server
	slow bool
}

func (s *site) newBox(name string) *box {
	s.b.Helper()
	dir := filepath.Join(s.dir, name)
	var mounts []racks.Mount
	for from, to := range map[string]string{"lib": "/var/lib", "run": "/run"} {
		mount := racks.Mount{From: filepath.Join(dir, from), To: to}
		if err := os.MkdirAll(mount.From, 0o755); err != nil {
			s.b.Fatal(err)
		}
		mounts = append(mounts, mount)
	}
	return &box{Server: s.servers.Start(s.b, name, sshd.Options{Dir: dir}, mounts...)}
}

func (s *site) meta(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: s.namespace, Name: name}
}

func (s *site) create(objects ...client.Object) {
	s.b.Helper()
	for _, o := range objects {
		if err := s.Client.Create(s.b.Context(), o); err != nil {
			s.b.Fatal(err)
		}
	}
}

// applyHosts applies the servers' key and a Host for each.
func (s *site) applyHosts() {
	s.b.Helper()
	s.create(s.servers.KeySecret())
	for _, b := range s.boxes {
		s.create(b.Host())
	}
}

// applyPool applies a bundle, a template and a pool.
func (s *site) applyPool(replicas int32) {
	s.b.Helper()
	bundle := &v1alpha1.NodeBundle{ObjectMeta: metav1.ObjectMeta{Name: "kubernetes"}}
	bundle.Spec.KubernetesVersion = version
	bundle.Spec.Artifacts = []v1alpha1.Artifact{{
		Architecture: "amd64", Image: "10.88.0.1:5443/bundles/kubernetes@sha256:" + strings.Repeat("ab", 32),
	}}
	pool := &v1alpha1.NodePool{ObjectMeta: s.meta("servers")}
	pool.Spec.Replicas = ptr.To(replicas)
	pool.Spec.Template.Spec.Version = version
	pool.Spec.Template.Spec.InfrastructureRef = v1alpha1.InfrastructureReference{
		APIGroup: v1alpha1.GroupVersion.Group, Kind: "HostMachineTemplate", Name: "servers",
	}
	template := &v1alpha1.HostMachineTemplate{ObjectMeta: s.meta("servers")}
	template.Spec.Template.Spec.ProvisioningTimeoutSeconds = ptr.To[int32](1800)
	s.create(bundle, template, pool)
}
