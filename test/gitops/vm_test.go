package gitops

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	lua "github.com/yuin/gopher-lua"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	luajson "layeh.com/gopher-json"
)

// longest is how long Argo CD lets a script run.
const longest = time.Second

// run runs a script as Argo CD's VM does (util/lua of argo-cd): the object is the global obj, there are the base, package and
// table libraries, the time for who requires it of os, and no others; and what the script returns is turned into JSON.
func run(script string, object *unstructured.Unstructured) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), longest)
	defer cancel()
	vm := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer vm.Close()
	for name, open := range map[string]lua.LGFunction{lua.LoadLibName: lua.OpenPackage, lua.BaseLibName: lua.OpenBase, lua.TabLibName: lua.OpenTable} {
		if err := vm.CallByParam(lua.P{Fn: vm.NewFunction(open), Protect: true}, lua.LString(name)); err != nil {
			return nil, fmt.Errorf("open Lua's library %q: %w", name, err)
		}
	}
	vm.PreloadModule(lua.OsLibName, openTime)
	vm.SetContext(ctx)
	vm.SetGlobal("obj", value(vm, object.Object))
	if err := vm.DoString(script); err != nil {
		return nil, err
	}
	result := vm.Get(-1)
	if result.Type() != lua.LTTable {
		return nil, fmt.Errorf("the script returned %s; Argo CD wants a table", result.Type())
	}
	return luajson.Encode(result)
}

// openTime is what Argo CD has of the library os.
func openTime(vm *lua.LState) int {
	lua.OpenOs(vm)
	all := vm.CheckTable(vm.GetTop())
	vm.SetGlobal(lua.OsLibName, lua.LNil)
	safe := vm.NewTable()
	for _, name := range []string{"date", "time"} {
		safe.RawSetString(name, all.RawGetString(name))
	}
	vm.Push(safe)
	return 1
}

// value is what Lua has for a value of JSON.
func value(vm *lua.LState, from any) lua.LValue {
	switch v := from.(type) {
	case bool:
		return lua.LBool(v)
	case int64:
		return lua.LNumber(v)
	case float64:
		return lua.LNumber(v)
	case string:
		return lua.LString(v)
	case []any:
		list := vm.CreateTable(len(v), 0)
		for _, item := range v {
			list.Append(value(vm, item))
		}
		return list
	case map[string]any:
		table := vm.CreateTable(0, len(v))
		for key, item := range v {
			table.RawSetString(key, value(vm, item))
		}
		return table
	default:
		return lua.LNil
	}
}

// health is what a health script returns.
type health struct {
	Status  string `json:"status"`
	Message string `json:"message"`
}

func healthOf(script string, object *unstructured.Unstructured) (health, error) {
	result := health{}
	text, err := run(script, object)
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
	text, err := run(a.Discovery, object)
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
		text, err := run(definition.Action, object)
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
