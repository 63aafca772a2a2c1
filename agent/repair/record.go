package repair

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/internal/atomicfile"
)

// schema is of the file. An agent that does not know it does nothing that could have been done already.
const schema = 1

// record is the last request that was looked at. It is replaced as a whole.
type record struct {
	Schema      int                 `json:"schema"`
	Rung        v1alpha1.RepairRung `json:"rung"`
	RequestedAt metav1.Time         `json:"requestedAt"`
	// Boot is the one in which it was begun, and BegunAt when.
	Boot    string      `json:"boot,omitempty"`
	BegunAt metav1.Time `json:"begunAt"`
	// State is what became of it, with a message and a time.
	State   v1alpha1.RepairState `json:"state"`
	Message string               `json:"message,omitempty"`
	Time    metav1.Time          `json:"time"`
}

// read is the zero record where there is none.
func read(path string) (record, error) {
	var r record
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return record{}, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &r)
	}
	if err == nil && r.Schema != schema {
		err = fmt.Errorf("%s has the schema %d, and this agent knows %d", path, r.Schema, schema)
	}
	if err != nil {
		return record{}, fmt.Errorf("read what was repaired last: %w", err)
	}
	return r, nil
}

func (r record) write(path string) error {
	r.Schema = schema
	data, err := json.Marshal(r)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(path), 0o700)
	}
	if err == nil {
		err = atomicfile.Write(path, append(data, '\n'), 0o600)
	}
	if err != nil {
		return fmt.Errorf("note what is repaired: %w", err)
	}
	return nil
}

// begins says that a request is later than the one that was looked at last.
func (r record) begins(request *v1alpha1.RepairRequest) bool {
	return request != nil && request.RequestedAt.After(r.RequestedAt.Time)
}

// after is the record as an agent that starts in a boot finds it.
func (r record) after(boot string, now metav1.Time) record {
	switch {
	case r.State != v1alpha1.RepairBegun:
	case r.Rung == v1alpha1.RepairReboot && r.Boot != boot:
		r.State, r.Message, r.Time = v1alpha1.RepairDone, "The machine was rebooted", now
	default:
		r.State, r.Message, r.Time = v1alpha1.RepairInterrupted, "The agent ended while it was at it, and does not do it again", now
	}
	return r
}

// answer is what is told of it; nil for nothing.
func (r record) answer() *v1alpha1.RepairAnswer {
	if r.State == "" {
		return nil
	}
	return &v1alpha1.RepairAnswer{Rung: r.Rung, RequestedAt: r.RequestedAt, State: r.State, Message: v1alpha1.BoundMessage(r.Message), Time: r.Time}
}
