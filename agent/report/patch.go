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
		for name := range statusTypes {
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
			if changes[name], err = whole(statusTypes[name], value); err != nil {
				return nil, err
			}
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

// whole is a value of a merge patch that leaves nothing of what was there before: an object of the patch is merged into that, so
// it says null of whatever it lacks.
func whole(t reflect.Type, value json.RawMessage) (json.RawMessage, error) {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || reflect.PointerTo(t).Implements(reflect.TypeFor[json.Marshaler]()) {
		return value, nil
	}
	parts := map[string]json.RawMessage{}
	if err := json.Unmarshal(value, &parts); err != nil {
		return nil, fmt.Errorf("encode the status: %w", err)
	}
	for name, of := range typesIn(t) {
		part, there := parts[name]
		if !there {
			parts[name] = json.RawMessage("null")
			continue
		}
		var err error
		if parts[name], err = whole(of, part); err != nil {
			return nil, err
		}
	}
	data, err := json.Marshal(parts)
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

// sentFields are the fields of a status that a patch sets; those that it removes are gone for certain.
func sentFields(data []byte, status v1alpha1.NodeAgentStatus) (map[string]json.RawMessage, error) {
	var body struct {
		Status map[string]json.RawMessage `json:"status"`
	}
	if err := json.Unmarshal(data, &body); err != nil {
		return nil, fmt.Errorf("decode the patch: %w", err)
	}
	sent, err := fields(status)
	maps.DeleteFunc(sent, func(name string, _ json.RawMessage) bool { return body.Status[name] == nil })
	return sent, err
}

// statusTypes are those of all fields of a status.
var statusTypes = typesIn(reflect.TypeFor[v1alpha1.NodeAgentStatus]())

// typesIn are those of a type's fields, by their names.
func typesIn(t reflect.Type) map[string]reflect.Type {
	all := map[string]reflect.Type{}
	for _, field := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		all[name] = field.Type
	}
	return all
}

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
