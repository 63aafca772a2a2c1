package generation

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// revised is the document's generation with another revision, as a machine runs it.
func revised(name string) *Generation {
	g := First(document()).Next(&v1alpha1.NodeAgent{ObjectMeta: metav1.ObjectMeta{Generation: 4, UID: "u", Labels: map[string]string{v1alpha1.MachineUIDLabel: "m"}}})
	g.Spec = document().Spec
	g.Spec.Revision = name
	return g.At("10.0.0.1", 1500)
}

func opened(t *testing.T, dir string) (*Store, State) {
	t.Helper()
	s, state, err := Open(dir, "node-1")
	if err != nil {
		t.Fatal(err)
	}
	return s, state
}

func write(t *testing.T, s *Store, states ...State) {
	t.Helper()
	for _, state := range states {
		if err := s.Write(state); err != nil {
			t.Fatal(err)
		}
	}
}

func TestARestartBeginsWithWhatWasWritten(t *testing.T) {
	dir := t.TempDir()
	s, state := opened(t, dir)
	if diff := cmp.Diff(State{}, state); diff != "" {
		t.Errorf("a new machine has %s", diff)
	}
	want := State{
		Good: revised("r1"), Candidate: revised("r2"), Attempts: 2, Previous: "r0",
		Failed: &Failure{ID: "x", Revision: "r3", Reason: "Exited", Message: "kubelet ended", Component: "kubelet", Denied: true, Time: metav1.Unix(1, 0),
			Exit: &v1alpha1.ComponentExit{Signal: "SIGKILL", LogTail: "the end"}},
	}
	write(t, s, State{Good: revised("r0")}, want)
	_, got := opened(t, dir)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	files, _ := filepath.Glob(filepath.Join(Dir(dir), "*.json"))
	if len(files) != 2 {
		t.Errorf("%v are there, want those that something leads to", files)
	}
	data, err := os.ReadFile(JournalPath(dir))
	if err != nil || strings.Contains(string(data), "0123456789abcdef") {
		t.Errorf("the join token is on disk a second time, or nothing is: %v", err)
	}
}

func TestTheJournalStaysShort(t *testing.T) {
	dir := t.TempDir()
	s, _ := opened(t, dir)
	for n := range 3 * keptEntries {
		write(t, s, State{Good: revised("r1"), Candidate: revised("r2"), Attempts: n})
	}
	data, err := os.ReadFile(JournalPath(dir))
	if n := strings.Count(string(data), "\n"); err != nil || n != keptEntries {
		t.Errorf("it has %d entries, want %d: %v", n, keptEntries, err)
	}
}

// As at each start of an agent: a full disk must not keep it from looking after its node.
func TestWhatIsThereIsNotWrittenAgain(t *testing.T) {
	dir := t.TempDir()
	state := State{Good: revised("r1"), Failed: &Failure{ID: "x", Time: metav1.NewTime(time.Unix(1, 0))}}
	s, _ := opened(t, dir)
	write(t, s, state)
	write(t, s, state)
	again, read := opened(t, dir)
	write(t, again, read)
	if data, err := os.ReadFile(JournalPath(dir)); err != nil || strings.Count(string(data), "\n") != 1 {
		t.Errorf("the journal was written anew: %v\n%s", err, data)
	}
	if err := appendTo(JournalPath(dir), "waste"); err != nil {
		t.Fatal(err)
	}
	again, read = opened(t, dir)
	write(t, again, read)
	if data, err := os.ReadFile(JournalPath(dir)); err != nil || strings.Contains(string(data), "waste") {
		t.Errorf("what is of no use was left at its end: %v", err)
	}
}

// Whatever became of its end, it never leads to what did not prove itself, but as a candidate.
func TestAJournalThatIsCutOffAnywhereLeadsToWhatWasGood(t *testing.T) {
	dir := t.TempDir()
	s, _ := opened(t, dir)
	good, candidate := revised("r1"), revised("r2")
	write(t, s, State{Good: good}, State{Good: good, Candidate: candidate, Attempts: 1})
	whole, err := os.ReadFile(JournalPath(dir))
	if err != nil {
		t.Fatal(err)
	}
	for n := range len(whole) {
		if err := os.WriteFile(JournalPath(dir), whole[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		s, state := opened(t, dir)
		if state.Good == nil || state.Good.ID() != good.ID() || state.Candidate != nil && state.Candidate.ID() != candidate.ID() {
			t.Fatalf("cut off after %d bytes it has %+v", n, state)
		}
		write(t, s, State{Good: good})
		if _, again := opened(t, dir); again.Good == nil || again.Candidate != nil {
			t.Fatalf("cut off after %d bytes, and gone on with, it has %+v", n, again)
		}
		write(t, s, State{Good: good, Candidate: candidate, Attempts: 1}) // whose file must be there for the next
	}
}

// The file of what was good before is gone by then.
func TestAJournalThatIsCutOffLeadsToWhatHasProvedItselfSince(t *testing.T) {
	dir := t.TempDir()
	s, _ := opened(t, dir)
	good := revised("r2")
	write(t, s, State{Good: revised("r1")}, State{Good: revised("r1"), Candidate: good, Attempts: 1}, State{Good: good, Previous: "r1"})
	whole, err := os.ReadFile(JournalPath(dir))
	if err != nil {
		t.Fatal(err)
	}
	for n := range len(whole) {
		if err := os.WriteFile(JournalPath(dir), whole[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		if _, state := opened(t, dir); state.Good == nil || state.Good.ID() != good.ID() || state.Candidate != nil {
			t.Fatalf("cut off after %d of %d bytes it has %+v", n, len(whole), state)
		}
	}
}

func TestWhatIsOfNoUseIsPassedOver(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(dir string) error
		want  bool
	}{
		"a journal that is gone":     {func(dir string) error { return os.Remove(JournalPath(dir)) }, true},
		"a journal of a later agent": {func(dir string) error { return os.WriteFile(JournalPath(dir), []byte(`{"schema":7}`), 0o600) }, true},
		"a journal with a later agent's end": {func(dir string) error {
			return errors.Join(flip(JournalPath(dir), revised("r1").ID(), "gone"), appendTo(JournalPath(dir), `{"schema":7}`))
		}, true},
		"a name that somebody has edited": {func(dir string) error {
			return errors.Join(os.Remove(JournalPath(dir)), appendTo(filepath.Join(Dir(dir), goodName), "\n"))
		}, true},
		"a generation that is gone":     {func(dir string) error { return os.Remove(filepath.Join(Dir(dir), revised("r1").ID()+".json")) }, false},
		"a generation half written":     {func(dir string) error { return os.Truncate(filepath.Join(Dir(dir), revised("r1").ID()+".json"), 40) }, false},
		"a generation that was changed": {func(dir string) error { return flip(filepath.Join(Dir(dir), revised("r1").ID()+".json"), "r1", "rX") }, false},
		"another node's": {func(dir string) error {
			return flip(filepath.Join(Dir(dir), revised("r1").ID()+".json"), "node-1", "node-2")
		}, false},
		"both the journal and the name": {func(dir string) error {
			return errors.Join(os.Remove(JournalPath(dir)), os.Remove(filepath.Join(Dir(dir), goodName)))
		}, false},
		"a journal that ends with waste": {func(dir string) error { return appendTo(JournalPath(dir), "\x00\x00\n") }, true},
	} {
		dir := t.TempDir()
		s, _ := opened(t, dir)
		write(t, s, State{Good: revised("r1")})
		if err := c.spoil(dir); err != nil {
			t.Fatal(err)
		}
		if _, state := opened(t, dir); (state.Good != nil) != c.want {
			t.Errorf("%s: it has %+v", name, state)
		}
	}
}

// An agent that is updated, or the one before that comes back, has other fields to encode.
func TestAGenerationOfAnAgentWithOtherFieldsIsOfUse(t *testing.T) {
	dir := t.TempDir()
	s, _ := opened(t, dir)
	write(t, s, State{Good: revised("r1")})
	ours := revised("r1").ID()
	data, err := os.ReadFile(s.path(ours))
	if err != nil {
		t.Fatal(err)
	}
	data = append([]byte(`{"later":true,`), data[1:]...)
	theirs := digest(data)
	if err := errors.Join(os.WriteFile(s.path(theirs), data, 0o600), os.Remove(s.path(ours)), flip(JournalPath(dir), ours, theirs)); err != nil {
		t.Fatal(err)
	}
	s, state := opened(t, dir)
	if state.Good == nil || state.Good.Spec.Revision != "r1" {
		t.Fatalf("it has %+v", state)
	}
	write(t, s, state)
	if _, again := opened(t, dir); again.Good == nil || again.Good.ID() != ours {
		t.Errorf("then it has %+v", again)
	}
}

// What such a node runs must not be taken for a new machine's, whose preflight may keep it from going on.
func TestWhatAnAgentWithoutProbationLeftIsGood(t *testing.T) {
	dir := t.TempDir()
	data := `{"nodeName":"node-1","providerID":"drover-local://default/node-1","spec":{"revision":"r1","cluster":{"server":"https://10.88.0.1:6443"}},` +
		`"observedGeneration":4,"machineUID":"m","nodeIP":"10.0.0.1","mtu":1500}`
	legacy := filepath.Join(Dir(dir), legacyName)
	if err := errors.Join(os.MkdirAll(Dir(dir), 0o755), os.WriteFile(legacy, []byte(data), 0o600)); err != nil {
		t.Fatal(err)
	}
	s, state := opened(t, dir)
	g := state.Good
	if g == nil || state.Candidate != nil || g.Spec.Revision != "r1" || g.ObservedGeneration != 4 || g.MachineUID != "m" || g.NodeIP != "10.0.0.1" || g.MTU != 1500 {
		t.Fatalf("it has %+v", state)
	}
	write(t, s, state)
	if _, err := os.Stat(legacy); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its file is still there: %v", err)
	}
	if _, again := opened(t, dir); again.Good == nil || again.Good.ID() != g.ID() {
		t.Errorf("then it has %+v", again)
	}
	for _, waste := range []string{data[:40], strings.Replace(data, "node-1", "node-2", 1)} {
		dir := t.TempDir()
		if err := errors.Join(os.MkdirAll(Dir(dir), 0o755), os.WriteFile(filepath.Join(Dir(dir), legacyName), []byte(waste), 0o600)); err != nil {
			t.Fatal(err)
		}
		if _, state := opened(t, dir); state.Kept() != nil {
			t.Errorf("%s: it has %+v", waste, state)
		}
	}
}

func TestAnotherNodesGenerationsAreOfNoUse(t *testing.T) {
	dir := t.TempDir()
	s, _ := opened(t, dir)
	other := revised("r1")
	other.NodeName = "node-2"
	write(t, s, State{Good: other})
	if _, state := opened(t, dir); state.Good != nil {
		t.Errorf("it has %+v", state)
	}
}

func TestWhatCannotBeReadIsNotForgotten(t *testing.T) {
	for _, name := range []string{journalName, goodName, legacyName} {
		dir := t.TempDir()
		if err := os.MkdirAll(filepath.Join(Dir(dir), name), 0o755); err != nil {
			t.Fatal(err)
		}
		if _, _, err := Open(dir, "node-1"); err == nil {
			t.Errorf("with a %s that cannot be read a machine counts as a new one", name)
		}
	}
}

func TestAStateThatCannotBeWrittenLeavesTheOneBefore(t *testing.T) {
	dir := t.TempDir()
	s, _ := opened(t, dir)
	write(t, s, State{Good: revised("r1")})
	if err := errors.Join(os.Remove(JournalPath(dir)), os.Mkdir(JournalPath(dir), 0o755)); err != nil {
		t.Fatal(err)
	}
	if err := s.Write(State{Good: revised("r1"), Candidate: revised("r2")}); err == nil {
		t.Fatal("it says that it was written")
	}
	if err := os.Remove(JournalPath(dir)); err != nil {
		t.Fatal(err)
	}
	if _, state := opened(t, dir); state.Good == nil || state.Candidate != nil {
		t.Errorf("it has %+v", state)
	}
}

func TestThePhaseTellsHowFarTheWantedOneIs(t *testing.T) {
	r1, r2 := revised("r1"), revised("r2")
	failed := &Failure{ID: r2.ID(), Denied: true, Time: metav1.NewTime(time.Unix(1, 0))}
	for _, c := range []struct {
		state State
		up    bool
		want  v1alpha1.NodeAgentPhase
	}{
		{State{}, false, v1alpha1.PhaseStaging},
		{State{Good: r1}, true, v1alpha1.PhaseStaging},
		{State{Good: r1, Candidate: r2}, false, v1alpha1.PhaseActivating},
		{State{Good: r1, Candidate: r2}, true, v1alpha1.PhaseProbation},
		{State{Good: r2}, true, v1alpha1.PhaseCommitted},
		{State{Good: r1, Failed: failed}, true, v1alpha1.PhaseRolledBack},
		{State{Good: r1, Failed: &Failure{ID: r2.ID()}}, true, v1alpha1.PhaseStaging},
	} {
		if got := c.state.Phase(r2, c.up); got != c.want {
			t.Errorf("%+v: %s, want %s", c.state, got, c.want)
		}
	}
}

func flip(path, from, to string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return os.WriteFile(path, []byte(strings.Replace(string(data), from, to, 1)), 0o600)
}

func appendTo(path, text string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(data, text...), 0o600)
}
