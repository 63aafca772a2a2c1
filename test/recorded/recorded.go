// Package recorded keeps objects as a real API server showed them while our controllers were at work, for whoever has to
// read them: the health checks of Argo CD and Flux. They lie in config/argocd/<group>/<kind>/testdata, and are none that
// somebody wrote by hand: a test that brings an object into a state says which file has it, and fails when the controllers
// give another one today. `go test PACKAGE -record` writes the files anew.
package recorded

import (
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

var record = flag.Bool("record", false, "write the recorded objects of config/argocd instead of comparing with them")

// What differs from run to run, and says nothing.
var (
	uid   = regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`)
	clock = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`)
	// offset is that of a server's clock, of seconds on a machine with a lot to do.
	offset = regexp.MustCompile(`"clockOffsetMilliseconds":-?\d+`)
)

const (
	sameUID   = "00000000-0000-0000-0000-000000000000"
	sameClock = "2026-01-01T00:00:00Z"

	sameOffset = `"clockOffsetMilliseconds":0`
)

// Is fails the test unless the object is, on the API server now, what the file of that state has. names are what is to be
// written in the place of names that differ from run to run: old, new, old, new and so on, as they are
// in the object's JSON.
func Is(t testing.TB, c client.Reader, kind schema.GroupVersionKind, key client.ObjectKey, state string, names ...string) {
	t.Helper()
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(kind)
	if err := c.Get(t.Context(), key, object); err != nil {
		t.Fatal(err)
	}
	text, err := render(object, names)
	if err != nil {
		t.Fatal(err)
	}
	if err := keep(root(t), kind, state, text); err != nil {
		t.Error(err)
	}
}

// render is the object without what differs from run to run. Names are replaced before there are lines, which break by length.
func render(object *unstructured.Unstructured, names []string) (string, error) {
	object.SetManagedFields(nil)
	object.SetResourceVersion("")
	text, err := object.MarshalJSON()
	if err != nil {
		return "", err
	}
	same := strings.NewReplacer(names...).Replace(string(text))
	same = offset.ReplaceAllString(clock.ReplaceAllString(uid.ReplaceAllString(same, sameUID), sameClock), sameOffset)
	lines, err := yaml.JSONToYAML([]byte(same))
	return string(lines), err
}

func keep(root string, kind schema.GroupVersionKind, state, text string) error {
	path := filepath.Join(root, "config", "argocd", kind.Group, kind.Kind, "testdata", state+".yaml")
	if *record {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		return os.WriteFile(path, []byte(text), 0o644) //nolint:gosec // it is committed
	}
	want, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(text, "\n")); diff != "" {
		return &changedError{path: path, diff: diff}
	}
	return nil
}

// changedError is a file that has not what the controllers give today.
type changedError struct{ path, diff string }

func (e *changedError) Error() string {
	return e.path + " is not what the controllers give today (go test with -record writes it anew; then look at test/gitops). -file +now:\n" + e.diff
}

// root is the directory of the go.mod above the test's package, where go test starts it.
func root(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
	}
	t.Fatal("there is no go.mod above the test")
	return ""
}
