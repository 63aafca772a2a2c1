package audit

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/drover-dev/drover/test/apicount"
)

// Policy is a policy that logs the writes of the user and nothing else.
func Policy(user string) string {
	return fmt.Sprintf(`apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - level: Metadata
    users: [%q]
    verbs: [create, update, patch, delete, deletecollection]
  - level: None
`, user)
}

// Flags make kube-apiserver write the log, each event at once.
func Flags(policy, log string) []string {
	return []string{"--audit-policy-file=" + policy, "--audit-log-path=" + log, "--audit-log-mode=blocking"}
}

// Log is a log that is written to.
type Log struct{ path string }

// Open returns the log at path, which need not be there yet.
func Open(path string) *Log { return &Log{path: path} }

// Mark is the present end of the log.
func (l *Log) Mark() (int64, error) {
	info, err := os.Stat(l.path)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("look at the audit log: %w", err)
	}
	return info.Size(), nil
}

// Since counts what was written after the mark.
func (l *Log) Since(mark int64) (map[apicount.Key]int, error) {
	file, err := os.Open(l.path)
	if err != nil {
		return nil, fmt.Errorf("read the audit log: %w", err)
	}
	defer func() { _ = file.Close() }()
	if _, err := file.Seek(mark, io.SeekStart); err != nil {
		return nil, fmt.Errorf("read the audit log: %w", err)
	}
	return count(file)
}

// event is the part of an audit event that is counted by.
type event struct {
	Stage     string `json:"stage"`
	Verb      string `json:"verb"`
	ObjectRef struct {
		Resource    string `json:"resource"`
		APIGroup    string `json:"apiGroup"`
		Subresource string `json:"subresource"`
	} `json:"objectRef"`
}

func count(log io.Reader) (map[apicount.Key]int, error) {
	counts := map[apicount.Key]int{}
	lines := bufio.NewScanner(log)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return nil, fmt.Errorf("read the audit log: %w", err)
		}
		if e.Stage == "ResponseComplete" && slices.Contains([]string{"create", "update", "patch", "delete", "deletecollection"}, e.Verb) {
			counts[e.key()]++
		}
	}
	return counts, lines.Err()
}

func (e *event) key() apicount.Key {
	resource := e.ObjectRef.Resource
	if e.ObjectRef.APIGroup != "" {
		resource += "." + e.ObjectRef.APIGroup
	}
	if e.ObjectRef.Subresource != "" {
		resource += "/" + e.ObjectRef.Subresource
	}
	return apicount.Key{Resource: resource, Verb: e.Verb}
}
