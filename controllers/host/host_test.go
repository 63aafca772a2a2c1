package host

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/drover-dev/drover/api/node"
	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/test/sshd"
)

func TestAServerIsClaimedMadeANodeAndGivenBack(t *testing.T) {
	s := newSite(t)
	b := s.box("rack-1")
	h := s.look("rack-1")
	if got, want := ready(h.Status.Conditions), "True Available"; got != want || h.Status.State != v1alpha1.HostAvailable {
		t.Fatalf("a free server is %s (%s), want %s: %+v", got, h.Status.State, want, h.Status.Conditions)
	}
	if h.Status.Facts.OS == "" || ptr.Deref(h.Status.Facts.CPUs, 0) != 4 || h.Status.Facts.Memory.String() != "8Gi" {
		t.Errorf("the facts are %+v", h.Status.Facts)
	}
	if b.has("drover-host") || b.has("drover-host.visit") {
		t.Error("the preflight left the manager's directory on a server that is nobody's")
	}

	s.machine("m")
	m := s.make("m")
	if got, want := ready(m.Status.Conditions), "True Provisioned"; got != want || !ptr.Deref(m.Status.Initialization.Provisioned, false) || m.Status.Host != "rack-1" {
		t.Fatalf("the machine is %s, want %s: %+v", got, want, m.Status)
	}
	if got, want := m.Spec.ProviderID, "drover-host://"+s.namespace+"/m"; got != want {
		t.Errorf("provider ID %q, want %q", got, want)
	}
	info, err := os.Stat(filepath.Join(b.dir, "installed"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the bootstrap document was installed with %v, %v", info, err)
	}
	if b.has("drover-host/bootstrap.json") {
		t.Error("the bootstrap document stays in the manager's directory")
	}
	for _, command := range b.Commands() {
		if strings.Contains(command, "secretsecret") {
			t.Errorf("the token stands in argv: %s", command)
		}
	}
	if h = s.look("rack-1"); ready(h.Status.Conditions) != "True Claimed" || h.Status.Claim == nil || h.Status.Claim.UID != string(m.UID) {
		t.Errorf("the claimed server is %s: %+v", ready(h.Status.Conditions), h.Status.Claim)
	}

	s.remove("m")
	if m = s.make("m"); m == nil || ready(m.Status.Conditions) != "False Cleaning" {
		t.Fatalf("a machine that is removed waits for its server to be cleaned: %+v", m)
	}
	h = s.look("rack-1")
	if _, claimed := h.Annotations[v1alpha1.ClaimAnnotation]; claimed || b.has("installed") || b.has("drover-host") {
		t.Errorf("after the release: claimed %v, installed %v, directory %v", claimed, b.has("installed"), b.has("drover-host"))
	}
	if h.Status.State != v1alpha1.HostPending || ready(h.Status.Conditions) != "Unknown Pending" || h.Status.Claim != nil {
		t.Errorf("a clean server that nobody has is %s (%s), claimed by %+v, until it is looked at", h.Status.State, ready(h.Status.Conditions), h.Status.Claim)
	}
	if m = s.make("m"); m != nil {
		t.Errorf("the machine is still there: %+v", m.Status)
	}
	if h = s.look("rack-1"); ready(h.Status.Conditions) != "True Available" {
		t.Errorf("the server is %s after its release", ready(h.Status.Conditions))
	}
	if told := s.told(); len(told) > 0 {
		t.Errorf("of a server in no trouble there are the events %q", told)
	}
}

// A reset may take minutes, and whoever looks meanwhile is to see what the server is at.
func TestAServerThatIsBeingCleanedIsSaidToBe(t *testing.T) {
	s := newSite(t)
	b := s.box("a")
	s.serve("a", "m")
	s.look("a")
	s.remove("m")
	s.make("m")
	b.put(t, "reset-hangs", "")
	var looked sync.WaitGroup
	looked.Go(func() {
		if _, err := s.hosts.Reconcile(t.Context(), s.request("a")); err != nil {
			t.Error(err)
		}
	})
	deadline := time.Now().Add(30 * time.Second)
	h := s.host("a")
	for h.Status.State != v1alpha1.HostCleaning && time.Now().Before(deadline) {
		h = s.host("a")
	}
	clean := reasonOf(h.Status.Conditions, v1alpha1.HostCleanCondition)
	if h.Status.State != v1alpha1.HostCleaning || ready(h.Status.Conditions) != "False Cleaning" || clean != "False Cleaning" || !b.has("installed") {
		t.Errorf("while the reset runs, the server is %s, %s, clean %s, and installed %t", h.Status.State, ready(h.Status.Conditions), clean, b.has("installed"))
	}
	if m := s.make("m"); m == nil || ready(m.Status.Conditions) != "False Cleaning" {
		t.Errorf("while the reset runs, its machine is %+v", m)
	}
	if err := os.Remove(filepath.Join(b.dir, "reset-hangs")); err != nil {
		t.Error(err)
	}
	looked.Wait()
	if h = s.host("a"); h.Status.State != v1alpha1.HostPending || h.Status.Claim != nil || b.has("installed") {
		t.Errorf("after the reset, the server is %s, claimed by %+v, installed %t", h.Status.State, h.Status.Claim, b.has("installed"))
	}
}

func TestNoServerIsClaimedTwice(t *testing.T) {
	s := newSite(t)
	const servers, wanted = 3, 6
	for _, name := range []string{"a", "b", "c"} {
		s.box(name)
		s.look(name)
	}
	_, second := s.manager()
	var wg sync.WaitGroup
	for _, name := range []string{"m0", "m1", "m2", "m3", "m4", "m5"} {
		s.machine(name)
		for _, manager := range []interface {
			Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error)
		}{s.machines, second} {
			wg.Go(func() {
				for range wanted {
					_, _ = manager.Reconcile(t.Context(), s.request(name)) // conflicts between the two are what is tried
				}
			})
		}
	}
	wg.Wait()
	claimers := map[string]string{}
	for _, name := range []string{"a", "b", "c"} {
		claim, err := claimOf(s.host(name))
		if err != nil || claim == nil {
			t.Fatalf("Host %s has the claim %v, %v", name, claim, err)
		}
		if other, twice := claimers[claim.Name]; twice {
			t.Errorf("HostMachine %s has both Host %s and %s", claim.Name, other, name)
		}
		claimers[claim.Name] = name
	}
	for _, name := range []string{"m0", "m1", "m2", "m3", "m4", "m5"} {
		if _, has := claimers[name]; has {
			continue
		}
		m := s.make(name)
		if got := ready(m.Status.Conditions); got != "False NoHost" {
			t.Errorf("HostMachine %s without a Host is %s", name, got)
		}
	}
	if len(claimers) != servers {
		t.Errorf("%d Hosts are claimed, want %d", len(claimers), servers)
	}
}

func TestOneLoginDoesForAMachineUntilItJoins(t *testing.T) {
	s := newSite(t)
	b := s.box("a")
	s.look("a")
	before := b.Connections()
	s.machine("m")
	s.make("m")
	s.make("m") // asks for the boot report again
	if h := s.look("a"); ready(h.Status.Conditions) != "True Claimed" || h.Status.Claim == nil {
		t.Errorf("the claimed server is %s", ready(h.Status.Conditions))
	}
	if got := b.Connections() - before; got != 1 {
		t.Errorf("the manager logged in %d times, want once", got)
	}
	b.DropAll()
	s.make("m") // finds the connection lost
	s.make("m")
	if got := b.Connections() - before; got != 2 {
		t.Errorf("after the connection was lost the manager has logged in %d times, want twice", got)
	}
	s.look("a") // the claim is no news any more
	if got := b.Connections() - before; got != 3 {
		t.Errorf("to look at a claimed server the manager has logged in %d times in all, want 3", got)
	}
	s.remove("m")
	s.make("m")
	provider, ok := s.machines.Provider.(*Provider)
	if !ok || len(provider.connections.kept) > 0 {
		t.Errorf("connections to a server that is released are kept: %v", provider.connections.kept)
	}
}

func TestAServerThatGoesAwayBeforeItsMachineJoinsIsTold(t *testing.T) {
	s := newSite(t)
	b := s.box("a")
	s.look("a")
	s.machine("m")
	if m := s.make("m"); ready(m.Status.Conditions) != "True Provisioned" {
		t.Fatalf("the machine is %+v", m.Status.Conditions)
	}
	b.DropAfter(0)
	b.DropAll()
	m := s.make("m")
	if c := m.Status.Conditions[0]; ready(m.Status.Conditions) != "False Unreachable" || !strings.Contains(c.Message, b.Address) {
		t.Errorf("a machine whose server is away is %s: %s", ready(m.Status.Conditions), c.Message)
	}
	if !ptr.Deref(m.Status.Initialization.Provisioned, false) {
		t.Error("that it was provisioned is taken back")
	}
	b.Heal()
	if m := s.make("m"); ready(m.Status.Conditions) != "True Provisioned" {
		t.Errorf("once the server is back the machine is %+v", m.Status.Conditions)
	}
}

func TestAClaimSurvivesALostStatusAndANewManager(t *testing.T) {
	s := newSite(t)
	s.box("a")
	s.serve("a", "m")
	s.box("b")
	s.look("b")
	for _, o := range []*v1alpha1.Host{s.host("a")} {
		o.Status, o.Labels = v1alpha1.HostStatus{}, map[string]string{"moved": "yes"}
		if err := s.Client.Status().Update(t.Context(), o.DeepCopy()); err != nil {
			t.Fatal(err)
		}
	}
	m := s.make("m")
	m.Status = v1alpha1.HostMachineStatus{}
	if err := s.Client.Status().Update(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	s.hosts, s.machines = s.manager()
	if m = s.make("m"); m.Status.Host != "a" || ready(m.Status.Conditions) != "True Provisioned" {
		t.Errorf("the machine is on %q: %+v", m.Status.Host, m.Status.Conditions)
	}
	if claim, err := claimOf(s.host("b")); claim != nil || err != nil {
		t.Errorf("a second Host was claimed: %v, %v", claim, err)
	}
}

func TestServersThatAreNotTalkedTo(t *testing.T) {
	s := newSite(t)
	other := sshd.Line(sshd.NewKey(t).PublicKey())
	for name, test := range map[string]struct {
		reason string
		edit   func(*v1alpha1.Host)
		harm   func(*box)
		want   string
	}{
		"another-key":    {"a server with another key may be somebody else's", func(h *v1alpha1.Host) { h.Spec.HostKeys = []string{other} }, nil, "False HostKeyMismatch"},
		"refused":        {"a key that is refused is for a user to mend", nil, func(b *box) { b.RefuseAuth(true) }, "False AuthenticationFailed"},
		"gone":           {"a server that is away is told so", nil, func(b *box) { b.Stop() }, "False Unreachable"},
		"no-secret":      {"a Secret that is missing is named", func(h *v1alpha1.Host) { h.Spec.KeySecretRef.Name = "none" }, nil, "False KeySecretUnusable"},
		"another's-host": {"a server that another fleet holds is left alone", nil, func(b *box) { b.lockedByOthers(t) }, "False ForeignHost"},
		"unfit": {"what keeps a server from being a node is told", nil, func(b *box) {
			b.put(t, "findings", `{"name":"OtherRuntime","severity":"Blocking","message":"docker runs"}`)
		}, "False PreflightFailed"},
		"late":  {"certificates are not valid yet by a clock that is behind", nil, func(b *box) { b.put(t, "ahead", "-600") }, "False PreflightFailed"},
		"early": {"certificates end too soon by a clock that is ahead", nil, func(b *box) { b.put(t, "ahead", "600") }, "False PreflightFailed"},
	} {
		t.Run(name, func(t *testing.T) {
			name := strings.ReplaceAll(name, "'", "")
			edits := []func(*v1alpha1.Host){}
			if test.edit != nil {
				edits = append(edits, test.edit)
			}
			b := s.box(name, edits...)
			if test.harm != nil {
				test.harm(b)
			}
			h := s.look(name)
			if got := ready(h.Status.Conditions); got != test.want {
				t.Errorf("%s: the Host is %s, want %s: %+v", test.reason, got, test.want, h.Status.Conditions)
			}
			if unavailable(h) == "" {
				t.Errorf("%s: the Host may be claimed", test.reason)
			}
			if told := s.told(); len(told) != 1 || !strings.HasPrefix(told[0], "Warning "+strings.TrimPrefix(test.want, "False ")+" ") {
				t.Errorf("%s: the events are %q", test.reason, told)
			}
			if name == "another-key" && len(b.Commands()) > 0 {
				t.Errorf("%s: it was given %q", test.reason, b.Commands())
			}
		})
	}
	s.machine("m")
	m := s.make("m")
	message := m.Status.Conditions[0].Message
	for _, want := range []string{"of the 8 selected", "1 HostKeyMismatch", "1 AuthenticationFailed", "1 Unreachable", "3 PreflightFailed", "1 ForeignHost"} {
		if !strings.Contains(message, want) {
			t.Errorf("the machine says %q, which does not count %q", message, want)
		}
	}
}

// A Host is looked at anew each hour, and a machine may claim it meanwhile: what that put onto the server stays.
func TestALookTakesNothingFromAClaimThatIsMadeMeanwhile(t *testing.T) {
	s := newSite(t)
	b := s.box("rack-1")
	b.put(t, "meanwhile", `mkdir "$top/drover-host" && touch "$top/drover-host/lock" "$top/drover-host/drover-agent"`)
	s.look("rack-1")
	if !b.has("drover-host/lock") || !b.has("drover-host/drover-agent") {
		t.Errorf("after the look: lock file %v, agent %v", b.has("drover-host/lock"), b.has("drover-host/drover-agent"))
	}
	if b.has("drover-host.visit") {
		t.Error("the look left its own directory")
	}
}

// A server says of itself what it likes, and it may be anybody's: its Host has a status all the same.
func TestAServerThatSaysTooMuch(t *testing.T) {
	s := newSite(t)
	b := s.box("rack-1")
	long := strings.Repeat("é", 3000)
	report := node.HostReport{AgentVersion: long, Facts: node.HostFacts{MachineID: long, Architecture: long, OS: long, KernelRelease: long, SELinux: node.SELinuxMode(long),
		CPUs: -1, MemoryBytes: -1, SwapBytes: -1, CgroupVersion: 1 << 30,
		Disks:    []node.HostDisk{{Name: "sda", Bytes: -1}, {Name: "sda"}, {Name: ""}, {Name: long}},
		Runtimes: []node.HostRuntime{{Name: long}, {Name: ""}, {Name: "docker"}, {Name: "docker"}}},
		Findings: []node.HostFinding{{Name: long, Severity: node.FindingBlocking, Message: long}}}
	text, err := json.Marshal(report)
	if err != nil {
		t.Fatal(err)
	}
	b.put(t, "report", string(text))
	b.put(t, "meanwhile", `cat "$top/report"; exit 0`)
	h := s.look("rack-1")
	if got := ready(h.Status.Conditions); got != "False PreflightFailed" || len(h.Status.Facts.Disks) != 2 || len(h.Status.Facts.Runtimes) != 2 {
		t.Errorf("the Host is %s, with %d disks and the runtimes %d", got, len(h.Status.Facts.Disks), len(h.Status.Facts.Runtimes))
	}
}

func (b *box) lockedByOthers(t *testing.T) {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(b.dir, "drover-host"), 0o700); err != nil {
		t.Fatal(err)
	}
	b.put(t, "drover-host/lock", `{"cluster":"another","namespace":"x","machine":"y","uid":"z"}`)
}

func TestAServerThatOthersTookFirstIsNotSaidToBeCleaned(t *testing.T) {
	s := newSite(t)
	b := s.box("a")
	s.look("a")
	b.lockedByOthers(t)
	s.machine("m")
	s.make("m")
	s.remove("m")
	s.make("m")
	for _, look := range []string{"the release", "the next look"} {
		h := s.look("a")
		if got := reasonOf(h.Status.Conditions, v1alpha1.HostCleanCondition); h.Status.Claim != nil || got != "Unknown ForeignHost" {
			t.Errorf("after %s, the server of others is clean: %s, claimed by %+v", look, got, h.Status.Claim)
		}
	}
	if h := s.host("a"); ready(h.Status.Conditions) != "False ForeignHost" || !b.has("drover-host/lock") {
		t.Errorf("the server of others is %s, locked by them: %t", ready(h.Status.Conditions), b.has("drover-host/lock"))
	}
}

// Whoever tidies up on a server may take the lock file for litter. The agent runs on, and a release is to end it all the same.
func TestAServerWhoseLockFileIsGoneIsCleanedAllTheSame(t *testing.T) {
	s := newSite(t)
	b := s.box("a")
	s.serve("a", "m")
	if err := os.RemoveAll(filepath.Join(b.dir, "drover-host")); err != nil || !b.has("installed") {
		t.Fatalf("something is installed: %t, %v", b.has("installed"), err)
	}
	b.put(t, "stuck", "")
	s.remove("m")
	s.make("m")
	if h := s.look("a"); reasonOf(h.Status.Conditions, v1alpha1.HostCleanCondition) != "False CleanupFailed" || !b.has("drover-host/lock") {
		t.Errorf("a server with something left is %s, locked %t: %+v", h.Status.State, b.has("drover-host/lock"), h.Status.Conditions)
	}
	if err := os.Remove(filepath.Join(b.dir, "stuck")); err != nil {
		t.Fatal(err)
	}
	if err := s.Client.Delete(t.Context(), s.host("a")); err != nil {
		t.Fatal(err)
	}
	s.look("a")
	if h := s.look("a"); h != nil || b.has("installed") {
		t.Errorf("the Host is %+v, installed %t", h, b.has("installed"))
	}
	b.wantNothing(t)
}

func TestAServerThatCannotBeCleanedIsNotGivenToAnother(t *testing.T) {
	s := newSite(t)
	b := s.box("a")
	s.look("a")
	s.machine("m", func(m *v1alpha1.HostMachine) { m.Spec.UnreachableTimeoutSeconds = ptr.To[int32](0) })
	s.make("m")
	b.put(t, "stuck", "")
	s.remove("m")
	s.make("m")
	h := s.look("a")
	clean := reasonOf(h.Status.Conditions, v1alpha1.HostCleanCondition)
	if h.Status.State != v1alpha1.HostQuarantined || clean != "False CleanupFailed" || !strings.Contains(ptr.Deref(messageOf(h), ""), "left on this machine: installed") {
		t.Fatalf("the server is %s, %s: %+v", h.Status.State, clean, h.Status.Conditions)
	}
	if m := s.make("m"); m != nil {
		t.Errorf("the removal does not end after its time: %+v", m.Status.Conditions)
	}
	s.machine("n")
	if n := s.make("n"); ready(n.Status.Conditions) != "False NoHost" {
		t.Errorf("another machine is %s", ready(n.Status.Conditions))
	}
	// Somebody mends it; it is cleaned before it serves again.
	if err := os.Remove(filepath.Join(b.dir, "stuck")); err != nil {
		t.Fatal(err)
	}
	s.look("a")
	if h = s.look("a"); ready(h.Status.Conditions) != "True Available" || b.has("installed") {
		t.Errorf("the server is %s, installed %v", ready(h.Status.Conditions), b.has("installed"))
	}
}

func TestAServerThatIsAwayAtItsReleaseIsCleanedWhenItComesBack(t *testing.T) {
	s := newSite(t)
	b := s.box("a")
	s.look("a")
	s.machine("m", func(m *v1alpha1.HostMachine) { m.Spec.UnreachableTimeoutSeconds = ptr.To[int32](0) })
	s.make("m")
	b.DropAfter(0)
	s.remove("m")
	s.make("m")
	h := s.look("a")
	if h.Status.State != v1alpha1.HostUnreachable {
		t.Fatalf("the server is %s: %+v", h.Status.State, h.Status.Conditions)
	}
	if m := s.make("m"); m != nil {
		t.Fatalf("the removal waits for ever: %+v", m.Status.Conditions)
	}
	if !b.has("installed") {
		t.Fatal("nothing was installed, so the test shows nothing")
	}
	b.Heal()
	s.look("a")
	if h = s.look("a"); ready(h.Status.Conditions) != "True Available" || b.has("installed") {
		t.Errorf("the server is %s, installed %v", ready(h.Status.Conditions), b.has("installed"))
	}
}

// The time for a release begins with it: a machine that could not be made for as long has not used it up.
func TestAMachineThatWasNeverMadeWaitsForItsServerAllTheSame(t *testing.T) {
	s := newSite(t)
	b := s.box("a")
	s.look("a")
	b.put(t, "broken", "")
	s.machine("m")
	s.make("m")
	s.clock.SetTime(s.clock.Now().Add(20 * time.Minute))
	s.make("m")
	s.remove("m")
	b.Stop()
	s.make("m")
	s.look("a")
	if m := s.make("m"); m == nil {
		t.Error("the machine was let go at once, and its server could not be reached")
	}
	s.clock.SetTime(s.clock.Now().Add(11 * time.Minute))
	if m := s.make("m"); m != nil {
		t.Errorf("the machine is not let go when its time is over: %+v", m.Status.Conditions)
	}
}

func TestAServerThatNeverBecomesANodeIsGivenUp(t *testing.T) {
	s := newSite(t)
	a := s.box("a", func(h *v1alpha1.Host) { h.Spec.Cleanup = v1alpha1.HostCleanupManual })
	s.look("a")
	a.put(t, "broken", "")
	s.machine("m")
	m := s.make("m")
	if got := ready(m.Status.Conditions); got != "False CommandFailed" || !strings.Contains(m.Status.Conditions[0].Message, "make room") {
		t.Fatalf("a machine that cannot be installed is %s: %+v", got, m.Status.Conditions)
	}
	s.box("b")
	s.look("b")
	s.clock.SetTime(s.clock.Now().Add(time.Hour))
	s.make("m")
	if m = s.make("m"); m.Status.Host != "b" || ready(m.Status.Conditions) != "True Provisioned" {
		t.Errorf("the machine is on %q: %+v", m.Status.Host, m.Status.Conditions)
	}
	s.look("a")
	if h := s.look("a"); h.Status.State != v1alpha1.HostQuarantined || unavailable(h) != v1alpha1.ReasonQuarantined || !strings.Contains(ptr.Deref(messageOf(h), ""), "no space left") {
		t.Errorf("the server that was given up is %s: %+v", h.Status.State, h.Status.Conditions)
	}
}

func TestAClaimedHostStaysUntilItIsReleased(t *testing.T) {
	s := newSite(t)
	s.box("a")
	s.serve("a", "m")
	if err := s.Client.Delete(t.Context(), s.host("a")); err != nil {
		t.Fatal(err)
	}
	h := s.look("a")
	if h == nil || ready(h.Status.Conditions) != "False Deleting" {
		t.Fatalf("a claimed Host that is deleted is %+v", h)
	}
	s.remove("m")
	s.make("m")
	s.look("a")
	if h = s.look("a"); h != nil {
		t.Errorf("the Host is still there: %+v", h.Status)
	}
}

func TestAHostIsReleasedWhenItsClaimerVanished(t *testing.T) {
	s := newSite(t)
	b := s.box("a")
	s.look("a")
	s.machine("m")
	m := s.make("m")
	m.Finalizers = nil
	if err := s.Client.Update(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	s.remove("m")
	s.look("a")
	if h := s.look("a"); ready(h.Status.Conditions) != "True Available" || b.has("installed") {
		t.Errorf("the server is %s, installed %v", ready(h.Status.Conditions), b.has("installed"))
	}
}

func TestTrustOnFirstUseIsForTheFirstUse(t *testing.T) {
	s := newSite(t)
	b := s.box("a", func(h *v1alpha1.Host) { h.Spec.HostKeys, h.Spec.TrustOnFirstUse = nil, ptr.To(true) })
	h := s.look("a")
	if ready(h.Status.Conditions) != "True Available" || !slices.Contains(b.HostKeyLines(), h.Annotations[v1alpha1.HostKeyAnnotation]) {
		t.Fatalf("the server is %s, pinned %q", ready(h.Status.Conditions), h.Annotations[v1alpha1.HostKeyAnnotation])
	}
	b.ChangeHostKeys(sshd.NewKey(t))
	h.Status = v1alpha1.HostStatus{}
	if err := s.Client.Status().Update(t.Context(), h); err != nil {
		t.Fatal(err)
	}
	if h = s.look("a"); ready(h.Status.Conditions) != "False HostKeyMismatch" {
		t.Errorf("a server with another key is %s", ready(h.Status.Conditions))
	}
}

// The password goes to the server that is trusted, and a second one is none that is used first.
func TestTrustOnFirstUseIsForTheFirstUseEvenIfThatFails(t *testing.T) {
	s := newSite(t)
	s.create(&corev1.Secret{ObjectMeta: s.meta("sudo"), Data: map[string][]byte{passwordKey: []byte("wrong")}})
	b := s.box("a", func(h *v1alpha1.Host) {
		h.Spec.HostKeys, h.Spec.TrustOnFirstUse = nil, ptr.To(true)
		h.Spec.Privilege, h.Spec.SudoPasswordSecretRef = v1alpha1.HostPrivilegeSudo, &v1alpha1.SecretReference{Name: "sudo"}
	})
	b.program(t, "sudo", "echo 'Sorry, try again.' >&2; exit 1")
	if h := s.look("a"); ready(h.Status.Conditions) != "False SudoPasswordWrong" || h.Annotations[v1alpha1.HostKeyAnnotation] != h.Status.HostKey || h.Status.HostKey == "" {
		t.Errorf("the server is %s, pinned %q of %q", ready(h.Status.Conditions), h.Annotations[v1alpha1.HostKeyAnnotation], h.Status.HostKey)
	}
	b.ChangeHostKeys(sshd.NewKey(t))
	commands := len(b.Commands())
	if h := s.look("a"); ready(h.Status.Conditions) != "False HostKeyMismatch" || len(b.Commands()) != commands {
		t.Errorf("a server with another key is %s, and was given %q", ready(h.Status.Conditions), b.Commands()[commands:])
	}
}

func TestTwoHostsOfOneServer(t *testing.T) {
	s := newSite(t)
	b := s.box("a")
	twin := s.host("a")
	s.create(&v1alpha1.Host{ObjectMeta: s.meta("b"), Spec: twin.Spec})
	first, second := s.look("a"), s.look("b")
	got := []string{ready(first.Status.Conditions), ready(second.Status.Conditions)}
	slices.Sort(got)
	if want := []string{"False DuplicateAddress", "True Available"}; !slices.Equal(got, want) {
		t.Errorf("the two Hosts of %s are %v, want %v", b.Address, got, want)
	}
}

func TestRefusedHosts(t *testing.T) {
	s := newSite(t)
	valid := func() *v1alpha1.Host {
		return &v1alpha1.Host{ObjectMeta: s.meta("h"), Spec: v1alpha1.HostSpec{SSHAccess: v1alpha1.SSHAccess{Address: "192.0.2.1",
			KeySecretRef: v1alpha1.SecretReference{Name: "key"}, HostKeys: []string{"ssh-ed25519 AAAAC3Nz"}}}}
	}
	for name, test := range map[string]struct {
		edit func(*v1alpha1.HostSpec)
		want string
	}{
		"no host key":             {func(h *v1alpha1.HostSpec) { h.HostKeys = nil }, "hostKeys"},
		"a key and blind trust":   {func(h *v1alpha1.HostSpec) { h.TrustOnFirstUse = ptr.To(true) }, "trustOnFirstUse"},
		"a user without sudo":     {func(h *v1alpha1.HostSpec) { h.User = "debian" }, "privilege: Sudo"},
		"a password without sudo": {func(h *v1alpha1.HostSpec) { h.SudoPasswordSecretRef = &v1alpha1.SecretReference{Name: "p"} }, "privilege: Sudo"},
		"a jump host without key": {func(h *v1alpha1.HostSpec) {
			h.JumpHost = &v1alpha1.JumpHost{SSHAccess: v1alpha1.SSHAccess{Address: "192.0.2.2", KeySecretRef: v1alpha1.SecretReference{Name: "key"}}}
		}, "jump host"},
		"a name and no node address":       {func(h *v1alpha1.HostSpec) { h.Address = "rack-1.example.org" }, "nodeAddress"},
		"a proxy that is spoken to in TLS": {func(h *v1alpha1.HostSpec) { h.HTTPProxy = "https://proxy.example.org" }, "httpProxy"},
		"a node address that is a name":    {func(h *v1alpha1.HostSpec) { h.NodeAddress = "rack-1" }, "nodeAddress"},
	} {
		h := valid()
		test.edit(&h.Spec)
		if err := s.Client.Create(t.Context(), h); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want a refusal that names %q", name, err, test.want)
		}
	}
	proxied := valid()
	proxied.Spec.HTTPProxy = "http://fleet:pass%40word@proxy.example.org:3128"
	s.create(proxied)
	secret := &corev1.Secret{}
	if err := s.Client.Get(t.Context(), s.request("key").NamespacedName, secret); err != nil {
		t.Fatal(err)
	}
}

func messageOf(h *v1alpha1.Host) *string {
	for i := range h.Status.Conditions {
		if h.Status.Conditions[i].Type == v1alpha1.ReadyCondition {
			return &h.Status.Conditions[i].Message
		}
	}
	return nil
}

func TestAKeySecretThatIsGoneBeforeTheRelease(t *testing.T) {
	s := newSite(t)
	b := s.box("a")
	s.serve("a", "m")
	key := &corev1.Secret{}
	if err := s.Client.Get(t.Context(), s.request("key").NamespacedName, key); err != nil {
		t.Fatal(err)
	}
	if err := s.Client.Delete(t.Context(), key.DeepCopy()); err != nil {
		t.Fatal(err)
	}
	s.remove("m")
	s.make("m")
	h := s.look("a")
	if !strings.Contains(*messageOf(h), "There is no Secret key") || !strings.Contains(*messageOf(h), "remove the annotation "+v1alpha1.ClaimAnnotation) {
		t.Errorf("the Host says %q, want what is missing, and the way out", *messageOf(h))
	}
	m := s.make("m")
	if ready(m.Status.Conditions) != "False KeySecretUnusable" || !strings.Contains(m.Status.Conditions[0].Message, "There is no Secret key") ||
		!strings.Contains(m.Status.Conditions[0].Message, "goes without that after 10m0s") {
		t.Errorf("the machine says %+v", m.Status.Conditions)
	}
	// The Host is to go as well, and stays until it is clean.
	if err := s.Client.Delete(t.Context(), h); err != nil {
		t.Fatal(err)
	}
	if h = s.look("a"); h == nil || !strings.Contains(*messageOf(h), "remove the annotation") || !b.has("installed") {
		t.Errorf("the Host that is to go is %+v", h)
	}
	s.clock.SetTime(s.clock.Now().Add(11 * time.Minute))
	if m = s.make("m"); m != nil {
		t.Errorf("the removal does not end after its time: %+v", m.Status.Conditions)
	}
	// With the key back, it is cleaned, and goes.
	key.ResourceVersion, key.UID = "", ""
	s.create(key)
	s.look("a")
	if h = s.look("a"); h != nil || b.has("installed") {
		t.Errorf("the Host is %+v, installed %v", h, b.has("installed"))
	}
}
