package generation

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/internal/atomicfile"
)

const (
	// schema is the version of what is on disk.
	schema = 1
	// keptEntries is how many entries of the journal are kept: the last one counts, the others are for whoever looks.
	keptEntries = 32
	// goodName is the file that names the generation that proved itself last, for when the journal is lost.
	goodName    = "good"
	journalName = "journal"
	// legacyName is the file of an agent that kept one generation and nothing of what became of it.
	legacyName = "current.json"
)

// Dir is where the generations are, below the agent's state directory: each in a file named after what it asks for, which is
// never changed; the journal of what became of them, replaced as a whole at each step; and the name of the one that is good.
func Dir(stateDir string) string { return filepath.Join(stateDir, "generations") }

// JournalPath is the journal's.
func JournalPath(stateDir string) string { return filepath.Join(Dir(stateDir), journalName) }

// Store keeps a machine's State on its disk.
type Store struct {
	dir     string
	node    string
	entries []json.RawMessage
	last    []byte // the last entry without its time, nil where the journal does not end with it
}

// entry is one step in the journal.
type entry struct {
	Schema    int       `json:"schema"`
	Time      time.Time `json:"time"`
	Good      *ref      `json:"good,omitempty"`
	Candidate *ref      `json:"candidate,omitempty"`
	Attempts  int       `json:"attempts,omitempty"`
	Previous  string    `json:"previous,omitempty"`
	Failed    *Failure  `json:"failed,omitempty"`
	// FailedFacts is nothing to an agent that knows it not, which tries them again.
	FailedFacts *Failure `json:"failedFacts,omitempty"`
}

// timeless is what tells an entry from one that says the same.
func (e entry) timeless() ([]byte, error) {
	e.Time = time.Time{}
	return e.encode()
}

func (e entry) encode() ([]byte, error) {
	line, err := json.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("encode an entry of the journal: %w", err)
	}
	return line, nil
}

// ref names a generation, with what may change of one while it runs.
type ref struct {
	ID                 string    `json:"id"`
	ObservedGeneration int64     `json:"observedGeneration,omitempty"`
	NodeAgentUID       types.UID `json:"nodeAgentUID,omitempty"`
	MachineUID         string    `json:"machineUID,omitempty"`
	NodeIP             string    `json:"nodeIP,omitempty"`
	MTU                int       `json:"mtu,omitempty"`
}

// content is what a generation asks for.
type content struct {
	NodeName   string                 `json:"nodeName"`
	ProviderID string                 `json:"providerID,omitempty"`
	Taints     []v1alpha1.Taint       `json:"taints,omitempty"`
	Spec       v1alpha1.NodeAgentSpec `json:"spec"`
}

// Open reads what an earlier agent of the node left. Of a journal that ends in the middle of an entry the entries before count,
// and where they lead to no good generation its name does; what is another node's, or not what its name says, is of no use. It
// fails where something is there that cannot be read: to begin anew would forget what runs.
func Open(stateDir, node string) (*Store, State, error) {
	s := &Store{dir: Dir(stateDir), node: node}
	last, err := s.readJournal()
	if err != nil {
		return nil, State{}, err
	}
	state := State{Attempts: last.Attempts, Previous: last.Previous, Failed: last.Failed, FailedFacts: last.FailedFacts}
	if state.Good, err = s.load(last.Good); err == nil {
		state.Candidate, err = s.load(last.Candidate)
	}
	if err == nil && state.Good == nil {
		err = s.recall(&state)
	}
	return s, state, err
}

// readJournal is the journal's last entry, the zero one where it has none.
func (s *Store) readJournal() (last entry, err error) {
	data, err := os.ReadFile(filepath.Join(s.dir, journalName))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return entry{}, fmt.Errorf("read the journal of generations: %w", err)
	}
	for line := range bytes.Lines(data) {
		var e entry
		if json.Unmarshal(line, &e) != nil || e.Schema != schema {
			s.last = nil
			break
		}
		last = e
		s.entries = append(s.entries, bytes.TrimSpace(line))
		if s.last, err = e.timeless(); err != nil {
			return entry{}, err
		}
	}
	return last, nil
}

// recall finds the good generation of a state whose journal leads to none: by its name, which proves what the journal may
// still call a candidate.
func (s *Store) recall(state *State) error {
	name, err := os.ReadFile(filepath.Join(s.dir, goodName))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("read which generation is good: %w", err)
	}
	id := string(bytes.TrimSpace(name))
	if state.Candidate != nil && state.Candidate.ID() == id {
		state.Good, state.Candidate, state.Attempts = state.Candidate, nil, 0
		return nil
	}
	if state.Good, err = s.load(&ref{ID: id}); err == nil && state.Kept() == nil {
		state.Good, err = s.legacy()
	}
	return err
}

// legacy is what an agent that knew no probation had its node run, nil where there was none. To the node it is as good as any:
// what comes next has it to go back to. The first entry of the journal has its file removed.
func (s *Store) legacy() (*Generation, error) {
	data, err := os.ReadFile(filepath.Join(s.dir, legacyName))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the generation of an earlier agent: %w", err)
	}
	g := &Generation{}
	if useful := json.Unmarshal(data, g) == nil && g.NodeName == s.node; useful {
		return g, nil
	}
	return nil, nil
}

// load reads a generation; nil where what is there is of no use.
func (s *Store) load(r *ref) (*Generation, error) {
	if r == nil {
		return nil, nil
	}
	data, err := os.ReadFile(s.path(r.ID))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read a generation: %w", err)
	}
	// By what is there, not by what this agent would make of it: an earlier or later one knows other fields.
	var c content
	if useful := digest(data) == r.ID && json.Unmarshal(data, &c) == nil && c.NodeName == s.node; !useful {
		return nil, nil
	}
	g := &Generation{ObservedGeneration: r.ObservedGeneration, NodeAgentUID: r.NodeAgentUID, MachineUID: r.MachineUID, NodeIP: r.NodeIP, MTU: r.MTU}
	g.NodeName, g.ProviderID, g.Taints, g.Spec = c.NodeName, c.ProviderID, c.Taints, c.Spec
	return g, nil
}

func (s *Store) path(id string) string { return filepath.Join(s.dir, filepath.Base(id)+".json") }

// Write makes a state the one that a restart begins with. The generations come first, then the journal, then
// the name of the good one. What is there already is not written again, so that it needs no room on the disk.
func (s *Store) Write(state State) error {
	good, err := s.put(state.Good)
	if err != nil {
		return err
	}
	candidate, err := s.put(state.Candidate)
	if err != nil {
		return err
	}
	e := entry{
		Schema: schema, Time: time.Now().UTC().Truncate(time.Millisecond), Good: good, Candidate: candidate,
		Attempts: state.Attempts, Previous: state.Previous, Failed: state.Failed, FailedFacts: state.FailedFacts,
	}
	says, err := e.timeless()
	if err != nil {
		return err
	}
	if !bytes.Equal(says, s.last) {
		if err := s.enter(e); err != nil {
			return err
		}
		s.last = says
	}
	return s.settle(good, candidate)
}

// enter adds an entry to the journal, which is replaced as a whole.
func (s *Store) enter(e entry) error {
	line, err := e.encode()
	if err != nil {
		return err
	}
	entries := append(slices.Clone(s.entries), line)
	entries = entries[max(0, len(entries)-keptEntries):]
	var journal bytes.Buffer
	for _, e := range entries {
		journal.Write(e)
		journal.WriteByte('\n')
	}
	if err := atomicfile.Write(filepath.Join(s.dir, journalName), journal.Bytes(), 0o600); err != nil {
		return err
	}
	s.entries = entries
	return nil
}

// put writes a generation, unless it is there, and returns what names it; nil for none.
func (s *Store) put(g *Generation) (*ref, error) {
	if g == nil {
		return nil, nil
	}
	data := g.encode()
	r := &ref{ID: digest(data), ObservedGeneration: g.ObservedGeneration, NodeAgentUID: g.NodeAgentUID, MachineUID: g.MachineUID, NodeIP: g.NodeIP, MTU: g.MTU}
	_, err := atomicfile.WriteIfChanged(s.path(r.ID), data, 0o600)
	return r, err
}

// settle takes down which generation is good, and removes those that nothing leads to any more.
func (s *Store) settle(good, candidate *ref) error {
	keep := map[string]bool{}
	if candidate != nil {
		keep[candidate.ID] = true
	}
	if good != nil {
		keep[good.ID] = true
		if _, err := atomicfile.WriteIfChanged(filepath.Join(s.dir, goodName), []byte(good.ID), 0o600); err != nil {
			return err
		}
	}
	files, err := filepath.Glob(filepath.Join(s.dir, "*.json"))
	for _, file := range files {
		if !keep[strings.TrimSuffix(filepath.Base(file), ".json")] {
			err = errors.Join(err, os.Remove(file))
		}
	}
	return err
}
