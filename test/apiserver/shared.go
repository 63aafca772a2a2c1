package apiserver

import (
	"fmt"
	"os"
	"sync"
	"testing"
)

// shared is the one control plane of a test binary, started by whichever test asks first.
var shared struct {
	sync.Mutex
	server  *Server
	err     error
	options []Option
}

// Run runs the tests of a package and then stops what Shared started: func TestMain(m *testing.M) {
// os.Exit(apiserver.Run(m)) }. The options are Shared's.
func Run(m *testing.M, options ...Option) int {
	shared.options = options
	code := m.Run()
	shared.Lock()
	defer shared.Unlock()
	if shared.server == nil {
		return code
	}
	if err := shared.server.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, "stop the tests' control plane:", err)
		return max(code, 1)
	}
	return code
}

// Shared is the test binary's one control plane, started by the first call. The package's TestMain must use Run.
func Shared(tb testing.TB) *Server {
	tb.Helper()
	shared.Lock()
	defer shared.Unlock()
	if shared.server == nil && shared.err == nil {
		shared.server, shared.err = Launch(shared.options...)
	}
	if shared.err != nil {
		tb.Fatal(shared.err)
	}
	return shared.server
}
