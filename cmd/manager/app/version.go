package app

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// version is set when a release is linked: -ldflags "-X github.com/drover-dev/drover/cmd/manager/app.version=v1.2.3".
var version string

// Version names the manager's release, or its commit, and the compiler.
func Version() string {
	return fmt.Sprintf("drover-manager %s %s", release(), runtime.Version())
}

func release() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, setting := range info.Settings {
			if setting.Key == "vcs.revision" {
				return setting.Value
			}
		}
	}
	return "unreleased"
}
