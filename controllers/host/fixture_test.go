package host

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/crypto/ssh"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	testingclock "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/host/remote"
	"github.com/drover-dev/drover/controllers/infra"
	"github.com/drover-dev/drover/test/apiserver"
	"github.com/drover-dev/drover/test/racks"
	"github.com/drover-dev/drover/test/sshd"
)

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	os.Exit(apiserver.Run(m))
}

// agentScript stands in for the agent, which would make a node of the host that the tests run on; the real one runs in
// test/vm. Beside the manager's own directory it leaves what says that it is installed, and a reset takes that away.
const agentScript = `#!/bin/sh
top=$(dirname "$0")/..
hang() { while [ -e "$top/$1-hangs" ]; do sleep 0.1; done; }
case "$1 $2" in
preflight*) hang preflight; [ ! -e "$top/meanwhile" ] || . "$top/meanwhile"
now=$(($(date +%s) + $(cat "$top/ahead" 2>/dev/null || echo 0)))
cat <<END
{"agentVersion":"test","facts":{"time":"$(date -u -d "@$now" +%Y-%m-%dT%H:%M:%S.000000Z)","architecture":"amd64","os":"Debian GNU/Linux 12 (bookworm)","kernelRelease":"6.1.0","cpus":4,"memoryBytes":8589934592,"cgroupVersion":2,"machineID":"$(cat "$top/machine-id" 2>/dev/null || echo "$MACHINE_ID")"},"findings":[$(cat "$top/findings" 2>/dev/null)]}
END
;;
"install --bootstrap") hang install; [ ! -e "$top/broken" ] || { echo "no space left on device" >&2; exit 1; }; cp -p "$3" "$top/installed" ;;
"reset --verify") [ ! -e "$top/installed" ] || { echo "left on this machine: installed" >&2; exit 1; } ;;
"reset ") hang reset; [ -e "$top/stuck" ] || rm -f "$top/installed" ;;
*) echo "unknown: $*" >&2; exit 64 ;;
esac
`

// site is a namespace with the provider's two reconcilers, which the tests call themselves. Tests that have one run beside
// each other.
type site struct {
	*apiserver.Server
	t         *testing.T
	namespace string
	work      string
	servers   *racks.Rack
	events    *events.FakeRecorder
	hosts     *Reconciler
	machines  *infra.Reconciler[*v1alpha1.HostMachine]
	clock     *testingclock.FakePassiveClock
	// agents are what managers have; the servers say that they are of amd64.
	agents agentFiles
	limits remote.Limits
	steps  steps
}

// noise is what has as many bytes when it is packed.
func noise(size int) string {
	bytes := make([]byte, size)
	_, _ = rand.Read(bytes)
	return string(bytes)
}

// script writes an agent.
func script(t *testing.T, text string) agentFile {
	t.Helper()
	path := filepath.Join(t.TempDir(), "drover-agent")
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	file, err := readAgent(path)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func newSite(t *testing.T) *site {
	t.Helper()
	t.Parallel()
	server := apiserver.Shared(t)
	s := &site{Server: server, t: t, namespace: server.Namespace(t), work: t.TempDir(), events: events.NewFakeRecorder(1000),
		clock: testingclock.NewFakePassiveClock(time.Now())}
	s.agents = agentFiles{"amd64": script(t, agentScript)}
	s.servers = racks.New(t, s.namespace)
	s.create(s.servers.KeySecret())
	cluster := &clusterv1.Cluster{ObjectMeta: s.meta("drover"), Spec: clusterv1.ClusterSpec{
		ControlPlaneEndpoint: clusterv1.APIEndpoint{Host: "10.0.0.1", Port: 6443},
		InfrastructureRef:    clusterv1.ContractVersionedObjectReference{APIGroup: v1alpha1.GroupVersion.Group, Kind: "AdoptedCluster", Name: "drover"},
	}}
	s.create(cluster)
	cluster.Status.Initialization.InfrastructureProvisioned = ptr.To(true)
	if err := s.Client.Status().Update(t.Context(), cluster); err != nil {
		t.Fatal(err)
	}
	s.hosts, s.machines = s.manager()
	return s
}

// manager is another manager's share: it remembers nothing of the first one's.
func (s *site) manager() (*Reconciler, *infra.Reconciler[*v1alpha1.HostMachine]) {
	s.t.Helper()
	servers := &Servers{Client: s.Client, APIReader: s.Client, Recorder: s.events, WorkDir: s.work + "/drover-host", agents: s.agents, limits: s.limits, steps: s.steps}
	return &Reconciler{Servers: servers}, &infra.Reconciler[*v1alpha1.HostMachine]{Client: s.Client, APIReader: s.Client, Recorder: s.events, Provider: &Provider{Servers: servers, Clock: s.clock}}
}

func (s *site) meta(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: s.namespace, Name: name}
}

func (s *site) create(o client.Object) {
	s.t.Helper()
	if err := s.Client.Create(s.t.Context(), o); err != nil {
		s.t.Fatal(err)
	}
}

// box is a server whose commands see a directory of their own where the manager works.
type box struct {
	*racks.Server
	dir string
	key ssh.Signer
}

// box starts a server and applies its Host.
func (s *site) box(name string, edits ...func(*v1alpha1.Host)) *box {
	s.t.Helper()
	b := &box{dir: s.t.TempDir(), key: sshd.NewKey(s.t)}
	b.is(s.t, "x86_64")
	s.boot(b, name, "")
	host := b.Host()
	for _, edit := range edits {
		edit(host)
	}
	s.create(host)
	// Its port will be another test's, whose Host is in the same API server.
	s.t.Cleanup(func() {
		ctx, gone := context.WithoutCancel(s.t.Context()), &v1alpha1.Host{ObjectMeta: s.meta(name)}
		err := s.Client.Patch(ctx, gone, client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`)))
		if err := errors.Join(client.IgnoreNotFound(err), client.IgnoreNotFound(s.Client.Delete(ctx, gone))); err != nil {
			s.t.Error(err)
		}
	})
	return b
}

// boot starts the box's server, at an address of its own if one is named.
func (s *site) boot(b *box, name, address string) {
	s.t.Helper()
	b.Server = s.servers.Start(s.t, name, sshd.Options{Address: address, HostKeys: []ssh.Signer{b.key},
		Env: []string{"PATH=" + s.work + ":" + os.Getenv("PATH"), "MACHINE_ID=" + s.namespace + "-" + name}}, racks.Mount{From: b.dir, To: s.work})
}

// has says whether the server has that file, beside the manager's own directory.
func (b *box) has(file string) bool {
	_, err := os.Stat(filepath.Join(b.dir, file))
	return err == nil
}

func (b *box) put(t *testing.T, file, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(b.dir, file), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// is makes the server's uname say that it is of that architecture.
func (b *box) is(t *testing.T, uname string) {
	t.Helper()
	b.program(t, "uname", "echo "+uname)
}

// program puts one onto the server's PATH, before all others.
func (b *box) program(t *testing.T, name, script string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(b.dir, name), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
}

// machine makes a HostMachine as a pool and Cluster API would: with its Machine and its bootstrap Secret.
func (s *site) machine(name string, edits ...func(*v1alpha1.HostMachine)) {
	s.t.Helper()
	owner := &clusterv1.Machine{ObjectMeta: s.meta(name), Spec: clusterv1.MachineSpec{ClusterName: "drover",
		Bootstrap:         clusterv1.Bootstrap{DataSecretName: ptr.To(name + "-bootstrap")},
		InfrastructureRef: clusterv1.ContractVersionedObjectReference{APIGroup: v1alpha1.GroupVersion.Group, Kind: claimerKind, Name: name},
	}}
	s.create(owner)
	s.create(&corev1.Secret{ObjectMeta: s.meta(name + "-bootstrap"), Data: map[string][]byte{
		v1alpha1.BootstrapSecretKey:       []byte(fmt.Sprintf(`{"nodeName":%q,"token":"abcdef.secretsecretsecr"}`, name)),
		v1alpha1.BootstrapSecretFormatKey: []byte(v1alpha1.BootstrapFormat),
	}})
	m := &v1alpha1.HostMachine{ObjectMeta: s.meta(name)}
	m.OwnerReferences = []metav1.OwnerReference{{APIVersion: clusterv1.GroupVersion.String(), Kind: "Machine", Name: name, UID: owner.UID}}
	for _, edit := range edits {
		edit(m)
	}
	s.create(m)
}

func (s *site) request(name string) ctrl.Request {
	return ctrl.Request{NamespacedName: client.ObjectKey{Namespace: s.namespace, Name: name}}
}

// look reconciles a Host and returns it, nil if it is gone.
func (s *site) look(name string) *v1alpha1.Host {
	s.t.Helper()
	if _, err := s.hosts.Reconcile(s.t.Context(), s.request(name)); err != nil {
		s.t.Fatal(err)
	}
	return s.host(name)
}

func (s *site) host(name string) *v1alpha1.Host {
	s.t.Helper()
	h := &v1alpha1.Host{}
	if err := s.Client.Get(s.t.Context(), client.ObjectKey{Namespace: s.namespace, Name: name}, h); err != nil {
		if apierrors.IsNotFound(err) {
			return nil
		}
		s.t.Fatal(err)
	}
	return h
}

// make reconciles a HostMachine and returns it, nil if it is gone.
func (s *site) make(name string) *v1alpha1.HostMachine {
	s.t.Helper()
	if _, err := s.machines.Reconcile(s.t.Context(), s.request(name)); err != nil {
		s.t.Fatal(err)
	}
	return s.hostMachine(name)
}

// hostMachine is the HostMachine as it is now, nil if it is gone.
func (s *site) hostMachine(name string) *v1alpha1.HostMachine {
	s.t.Helper()
	m := &v1alpha1.HostMachine{}
	if err := s.Client.Get(s.t.Context(), client.ObjectKey{Namespace: s.namespace, Name: name}, m); err != nil {
		if apierrors.IsNotFound(err) {
			return nil
		}
		s.t.Fatal(err)
	}
	return m
}

// serve makes a machine of a Host that was not looked at yet.
func (s *site) serve(host, machine string) {
	s.t.Helper()
	s.look(host)
	s.machine(machine)
	s.make(machine)
}

// remove deletes a HostMachine whose Machine is gone, as after a drain.
func (s *site) remove(name string) {
	s.t.Helper()
	for _, o := range []client.Object{&clusterv1.Machine{ObjectMeta: s.meta(name)}, &v1alpha1.HostMachine{ObjectMeta: s.meta(name)}} {
		if err := s.Client.Delete(context.WithoutCancel(s.t.Context()), o); err != nil {
			s.t.Fatal(err)
		}
	}
}

func reasonOf(conditions []metav1.Condition, conditionType string) string {
	if c := meta.FindStatusCondition(conditions, conditionType); c != nil {
		return string(c.Status) + " " + c.Reason
	}
	return ""
}

func ready(conditions []metav1.Condition) string {
	return reasonOf(conditions, v1alpha1.ReadyCondition)
}

// told are the events since it was last asked for.
func (s *site) told() []string {
	var told []string
	for len(s.events.Events) > 0 {
		told = append(told, <-s.events.Events)
	}
	return told
}
