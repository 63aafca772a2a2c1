package host

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/host/remote"
	"github.com/drover-dev/drover/test/sshd"
)

// mostCommands is far more than any step of a server's life takes.
const mostCommands = 30

// through repeats a step, and has the server go away at one command later each time, until the step is through without.
// Between the tries, the conditions that the step returns must say what is wrong.
func (b *box) through(t *testing.T, what string, when sshd.Moment, step func() []metav1.Condition) {
	t.Helper()
	for n := 1; n <= mostCommands; n++ {
		happened := b.DropAtCommand(n, when)
		conditions := step()
		if !happened() {
			if n == 1 {
				t.Fatalf("%s ran no command, so nothing was tried", what)
			}
			return
		}
		c := meta.FindStatusCondition(conditions, v1alpha1.ReadyCondition)
		if c == nil {
			continue // the last command's fault changed nothing, and the object is gone
		}
		if c.Status == metav1.ConditionFalse && (c.Reason != remote.Unreachable || !strings.Contains(c.Message, b.Address)) {
			t.Errorf("%s, cut at command %d, is %s: %s", what, n, c.Reason, c.Message)
		}
	}
	t.Fatalf("%s does not come to an end", what)
}

func TestAServerMayGoAwayAtEveryStep(t *testing.T) {
	for name, when := range map[string]sshd.Moment{"before": sshd.BeforeCommand, "during": sshd.DuringCommand, "after": sshd.AfterCommand, "crash": sshd.Crash} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			b := s.box("a")
			b.through(t, "the preflight", when, func() []metav1.Condition { return s.lookAgain(b).Status.Conditions })
			if h := s.host("a"); h.Status.State != v1alpha1.HostAvailable {
				t.Fatalf("after the preflight the Host is %s: %+v", h.Status.State, h.Status.Conditions)
			}
			b.wantNothing(t)

			s.machine("m")
			b.through(t, "the installation", when, func() []metav1.Condition {
				m := s.make("m")
				if claim, err := claimOf(s.host("a")); err != nil || claim == nil || claim.UID != string(m.UID) {
					t.Errorf("the claim is %+v, %v", claim, err)
				}
				return m.Status.Conditions
			})
			if m := s.make("m"); ready(m.Status.Conditions) != "True Provisioned" || !b.has("installed") || !b.has("drover-host/lock") || b.has("drover-host/bootstrap.json") {
				t.Fatalf("after the installation the machine is %+v", m.Status.Conditions)
			}

			s.remove("m")
			s.make("m")
			b.through(t, "the release", when, func() []metav1.Condition {
				h := s.lookAgain(b)
				if b.has("installed") && unavailable(h) == "" {
					t.Error("a server may be claimed on which something is installed")
				}
				return h.Status.Conditions
			})
			s.look("a")
			if h := s.look("a"); h.Status.State != v1alpha1.HostAvailable {
				t.Errorf("after the release the Host is %s: %+v", h.Status.State, h.Status.Conditions)
			}
			if m := s.make("m"); m != nil {
				t.Errorf("the HostMachine stays: %+v", m.Status.Conditions)
			}
			b.wantNothing(t)
		})
	}
}

// lookAgain is look, for a server that may be away: then that is what it is, and it is tried soon.
func (s *site) lookAgain(b *box) *v1alpha1.Host {
	s.t.Helper()
	h := s.look(b.Name)
	if strings.HasPrefix(ready(h.Status.Conditions), "False "+remote.Unreachable) && (h.Status.State != v1alpha1.HostUnreachable || interval(h.Status.State) != troubleInterval) {
		s.t.Errorf("a server that went away is %s, and tried again after %s", h.Status.State, interval(h.Status.State))
	}
	return h
}

// The machine goes when its installation came so far, and nobody was told how far.
func TestAMachineMayGoAtEveryStepOfItsInstallation(t *testing.T) {
	s := newSite(t)
	b := s.box("a")
	for n := 1; n <= mostCommands; n++ {
		if h := s.look("a"); h.Status.State != v1alpha1.HostAvailable {
			t.Fatalf("the Host is %s: %+v", h.Status.State, h.Status.Conditions)
		}
		name := fmt.Sprintf("m%d", n)
		s.machine(name)
		happened := b.DropAtCommand(n, sshd.AfterCommand)
		s.make(name)
		b.DropAtCommand(0, sshd.AfterCommand)
		s.remove(name)
		s.make(name)
		s.look("a")
		if m := s.make(name); m != nil {
			t.Errorf("cut at command %d, the HostMachine stays: %+v", n, m.Status.Conditions)
		}
		b.wantNothing(t)
		if !happened() {
			return
		}
	}
	t.Fatal("the installation does not come to an end")
}

// wantNothing says what is on the server that should not be.
func (b *box) wantNothing(t *testing.T) {
	t.Helper()
	entries, err := os.ReadDir(b.dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if !slices.Equal(names, []string{"uname"}) {
		t.Errorf("on a server that is nobody's there is %q", names)
	}
}

func TestAServerThatHangsInMidTransfer(t *testing.T) {
	s := newSite(t)
	const half = 1 << 20
	s.agents = agentFiles{"amd64": script(t, agentScript+"exit\n"+noise(2*half))}
	s.limits.Silence = 2 * time.Second
	s.hosts, s.machines = s.manager()
	b := s.box("a")
	hangs := func(what string, conditions []metav1.Condition) {
		t.Helper()
		c := meta.FindStatusCondition(conditions, v1alpha1.ReadyCondition)
		if c == nil || c.Reason != remote.Timeout || !strings.Contains(c.Message, "for 2s") {
			t.Errorf("%s of a server that hangs is %+v", what, c)
		}
	}

	b.HangAfter(half)
	h := s.look("a")
	hangs("the preflight", h.Status.Conditions)
	if h.Status.State != v1alpha1.HostUnreachable || unavailable(h) == "" {
		t.Errorf("a server that hangs is %s", h.Status.State)
	}
	b.Heal()
	if h = s.look("a"); h.Status.State != v1alpha1.HostAvailable {
		t.Fatalf("the server is %s: %+v", h.Status.State, h.Status.Conditions)
	}

	s.machine("m")
	b.HangAfter(half)
	hangs("the installation", s.make("m").Status.Conditions)
	b.Heal()
	if m := s.make("m"); ready(m.Status.Conditions) != "True Provisioned" {
		t.Fatalf("the machine is %+v", m.Status.Conditions)
	}

	s.remove("m")
	s.make("m")
	b.HangAfter(5000) // the login takes about 3000
	hangs("the release", s.look("a").Status.Conditions)
	b.Heal()
	s.look("a")
	if h = s.look("a"); h.Status.State != v1alpha1.HostAvailable {
		t.Errorf("the server is %s: %+v", h.Status.State, h.Status.Conditions)
	}
	b.wantNothing(t)
}
