package gitops

import (
	"encoding/json"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/drover-dev/drover/test/luavm"
)

// health is what a health script returns.
type health struct {
	Status  string `json:"status"`
	Message string `json:"message"`
}

// healthOf asks the script, but for what is being deleted: Argo CD has that for progressing whatever its script says.
func healthOf(script string, object *unstructured.Unstructured) (health, error) {
	if object.GetDeletionTimestamp() != nil {
		return health{progressing, "Pending deletion"}, nil
	}
	result := health{}
	text, err := luavm.Run(script, object.Object)
	if err != nil {
		return result, err
	}
	return result, json.Unmarshal(text, &result)
}

// actions is the value of argocd-cm for the actions of a kind.
type actions struct {
	Discovery   string `json:"discovery.lua"`
	Definitions []struct {
		Name   string `json:"name"`
		Action string `json:"action.lua"`
	} `json:"definitions"`
}

// enabled are the actions that a person is offered for the object, by name; false for those that are greyed out.
func (a actions) enabled(object *unstructured.Unstructured) (map[string]bool, error) {
	text, err := luavm.Run(a.Discovery, object.Object)
	if err != nil {
		return nil, err
	}
	found := map[string]struct{ Disabled bool }{}
	if err := json.Unmarshal(text, &found); err != nil {
		return nil, err
	}
	names := map[string]bool{}
	for name, action := range found {
		names[name] = !action.Disabled
	}
	return names, nil
}

// take is the object after an action.
func (a actions) take(name string, object *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	for _, definition := range a.Definitions {
		if definition.Name != name {
			continue
		}
		text, err := luavm.Run(definition.Action, object.Object)
		if err != nil {
			return nil, err
		}
		after := &unstructured.Unstructured{}
		if err := after.UnmarshalJSON(text); err != nil {
			return nil, err
		}
		mend(after.Object, object.Object)
		return after, nil
	}
	return nil, fmt.Errorf("there is no action %s", name)
}

// mend makes objects again of the empty ones that Lua, which has tables alone, took for lists. Argo CD does that, too.
func mend(after, before map[string]any) {
	for key, was := range before {
		old, isObject := was.(map[string]any)
		if !isObject {
			continue
		}
		switch is := after[key].(type) {
		case map[string]any:
			mend(is, old)
		case []any:
			if len(is) == 0 {
				after[key] = old
			}
		}
	}
}
