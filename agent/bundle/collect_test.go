package bundle

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-logr/logr/testr"
	"github.com/google/go-cmp/cmp"
)

func TestCollectKeepsWhatIsKeptOrRuns(t *testing.T) {
	store := &Store{Root: t.TempDir(), Log: testr.New(t)}
	kept, running, named, unused := sum("kept"), sum("running"), sum("named"), sum("unused")
	for _, hex := range []string{kept, running, named, unused} {
		must(t, os.MkdirAll(filepath.Join(store.Root, hex, "bin"), 0o755))
	}
	must(t, os.WriteFile(filepath.Join(store.Root, "notes.txt"), nil, 0o644))
	component := filepath.Join(store.Root, running, "bin/kubelet")
	copyFile(t, os.Args[0], component)
	stop := []func(){start(t, exec.Command(component)), start(t, exec.Command("/bin/cat", "-", filepath.Join(store.Root, named, "bin")))}

	must(t, store.Collect(t.Context(), "registry.example/bundles/kubernetes@sha256:"+kept))
	if diff := cmp.Diff(sorted(kept, named, running), bundles(t, store.Root)); diff != "" {
		t.Errorf("while two are in use (-want +got):\n%s", diff)
	}

	for _, end := range stop {
		end()
	}
	must(t, store.Collect(t.Context(), "sha256:"+kept))
	if diff := cmp.Diff(sorted(kept), bundles(t, store.Root)); diff != "" {
		t.Errorf("after they ended (-want +got):\n%s", diff)
	}
	if _, err := os.Stat(filepath.Join(store.Root, "notes.txt")); err != nil {
		t.Error("Collect removed a file that is no bundle")
	}
}

// start runs a command until the function it returns is called, at the latest at the end of the test.
func start(t *testing.T, command *exec.Cmd) func() {
	t.Helper()
	input, err := command.StdinPipe()
	must(t, err)
	must(t, command.Start())
	ended := false
	end := func() {
		if !ended {
			ended = true
			_ = input.Close()
			_ = command.Wait()
		}
	}
	t.Cleanup(end)
	return end
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	content, err := os.ReadFile(from)
	must(t, err)
	must(t, os.WriteFile(to, content, 0o755))
}

func sorted(names ...string) []string {
	slices.Sort(names)
	return names
}

func bundles(t *testing.T, root string) []string {
	t.Helper()
	var found []string
	for _, name := range names(t, root) {
		if !strings.Contains(name, "/") && name != "notes.txt" {
			found = append(found, name)
		}
	}
	return found
}
