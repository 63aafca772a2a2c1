package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"strings"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// patch is the JSON merge patch from one status to another, nil when they are equal. A list is replaced as a whole.
// Without a status to start from it sets every field of the new one and removes every other: nobody knows what the
// object has of an earlier agent. A field that the API server is known to store otherwise is no difference.
func patch(from *v1alpha1.NodeAgentStatus, to v1alpha1.NodeAgentStatus, altered map[string]alteration) ([]byte, error) {
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
		if !bytes.Equal(have[name], value) && !altered[name].is(value, have[name]) {
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

// alteration is that the API server stores a field otherwise than it is sent, or not at all.
type alteration struct{ sent, stored json.RawMessage }

func (a alteration) is(sent, stored json.RawMessage) bool {
	return a.sent != nil && bytes.Equal(a.sent, sent) && bytes.Equal(a.stored, stored)
}

// sentFields are the fields that a patch sets; those that it removes are gone for certain.
func sentFields(data []byte) (map[string]json.RawMessage, error) {
	var body struct {
		Status map[string]json.RawMessage `json:"status"`
	}
	if err := json.Unmarshal(data, &body); err != nil {
		return nil, fmt.Errorf("decode the patch: %w", err)
	}
	maps.DeleteFunc(body.Status, func(_ string, value json.RawMessage) bool { return string(value) == "null" })
	return body.Status, nil
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
