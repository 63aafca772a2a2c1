// Package luavm runs Argo CD's scripts as Argo CD does.
package luavm

import (
	"context"
	"fmt"
	"time"

	lua "github.com/yuin/gopher-lua"
	luajson "layeh.com/gopher-json"
)

// longest is how long Argo CD lets a script run.
const longest = time.Second

// Run runs a script as Argo CD's VM does (util/lua of argo-cd): the object is the global obj, there are the base, package and
// table libraries, the time for who requires it of os, and no others; and what the script returns is turned into JSON.
func Run(script string, object map[string]any) ([]byte, error) {
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
	vm.SetGlobal("obj", value(vm, object))
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
