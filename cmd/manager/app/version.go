package app

import (
	"fmt"
	"runtime"

	"github.com/drover-dev/drover/version"
)

// Version names the manager's release, or its commit, and the compiler.
func Version() string {
	return fmt.Sprintf("drover-manager %s %s", version.Version, runtime.Version())
}
