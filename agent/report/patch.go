package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// patch is the JSON merge patch from one status to another, nil when they are equal. A list is replaced as a whole.
// Without a status to start from it sets every field of the new one and removes every other: nobody knows what the
// object has of an earlier agent.
func patch(from *v1alpha1.NodeAgentStatus, to v1alpha1.NodeAgentStatus) ([]byte, error) {
	have := map[string]json.RawMessage{}
	if from != nil {
		var err error
		if have, err = fields(*from); err != nil {
			return nil, err
		}
	} else {
		for _, name := range names {
			have[name] = nil
		}
	}
	want, err := fields(to)
	if err != nil {
		return nil, err
	}
	changes := map[string]json.RawMessage{}
	for name, value := range want {
		if !bytes.Equal(have[name], value) {
			changes[name] = value
		}
	}
	for name := range have {
		if _, kept := want[name]; !kept {
			changes[name] = json.RawMessage("null")
		}
	}
	if len(changes) == 0 {
		return nil, nil
	}
	data, err := json.Marshal(map[string]any{"status": changes})
	if err != nil {
		return nil, fmt.Errorf("encode the status: %w", err)
	}
	return data, nil
}

// names are those of all fields of a status.
var names = func() []string {
	var all []string
	for _, field := range reflect.VisibleFields(reflect.TypeFor[v1alpha1.NodeAgentStatus]()) {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		all = append(all, name)
	}
	return all
}()

func fields(status v1alpha1.NodeAgentStatus) (map[string]json.RawMessage, error) {
	data, err := json.Marshal(status)
	if err != nil {
		return nil, fmt.Errorf("encode the status: %w", err)
	}
	out := map[string]json.RawMessage{}
	if err := json.Unmarshal(data, &out); err != nil {
		return nil, fmt.Errorf("encode the status: %w", err)
	}
	return out, nil
}
