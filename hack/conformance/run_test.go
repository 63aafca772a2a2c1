package main

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/drover-dev/drover/hack/dev/layout"
)

// ginkgo runs the tests in processes of its own, and waits for them.
const (
	standInGinkgo = `#!/bin/sh
trap : TERM
"$SUITE"
`
	standInSuite = `#!/bin/sh
trap 'echo interrupted >> "$SAID"; exit 1' TERM
echo started >> "$SAID"
while :; do sleep 0.1; done
`
)

func TestAnInterruptReachesTheTests(t *testing.T) {
	dir := t.TempDir()
	said := filepath.Join(dir, "said")
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o755); err != nil { //nolint:gosec // It is a program.
			t.Fatal(err)
		}
		return path
	}
	if err := os.MkdirAll(filepath.Join(dir, "hack/kube"), 0o755); err != nil {
		t.Fatal(err)
	}
	o := &runOptions{ginkgo: write("ginkgo", standInGinkgo), suite: write("suite", standInSuite), out: filepath.Join(dir, "out")}
	t.Setenv("SUITE", o.suite)
	t.Setenv("SAID", said)
	ctx, interrupt := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- o.execute(ctx, layout.Layout{Repository: dir}, io.Discard) }()
	await(t, said, "started\n")
	interrupt()
	select {
	case err := <-ended:
		if err == nil {
			t.Error("an interrupted run ended well")
		}
	case <-time.After(20 * time.Second):
		t.Error("ginkgo still waits for the tests")
	}
	await(t, said, "started\ninterrupted\n")
}

// await waits until a file has that content.
func await(t *testing.T, path, want string) {
	t.Helper()
	var got []byte
	err := wait.PollUntilContextTimeout(t.Context(), 20*time.Millisecond, 10*time.Second, true, func(context.Context) (bool, error) {
		got, _ = os.ReadFile(path) // It need not be there yet.
		return string(got) == want, nil
	})
	if err != nil {
		t.Fatalf("%s has %q, want %q", path, got, want)
	}
}
