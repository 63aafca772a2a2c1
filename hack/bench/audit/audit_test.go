package audit

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/drover-dev/drover/test/apicount"
)

const earlier = `{"stage":"ResponseComplete","verb":"create","objectRef":{"resource":"secrets"}}
`

const later = `{"stage":"ResponseComplete","verb":"patch","objectRef":{"resource":"machines","apiGroup":"cluster.x-k8s.io","subresource":"status"}}
{"stage":"ResponseStarted","verb":"patch","objectRef":{"resource":"machines","apiGroup":"cluster.x-k8s.io"}}
{"stage":"ResponseComplete","verb":"get","objectRef":{"resource":"nodes"}}
{"stage":"ResponseComplete","verb":"patch","objectRef":{"resource":"machines","apiGroup":"cluster.x-k8s.io","subresource":"status"}}
{"stage":"ResponseComplete","verb":"delete","objectRef":{"resource":"nodes"}}
`

func TestSinceCountsWritesAfterTheMark(t *testing.T) {
	log := Open(filepath.Join(t.TempDir(), "audit.log"))
	if mark, err := log.Mark(); mark != 0 || err != nil {
		t.Errorf("a log that is not there yet ends at %d (%v), want 0", mark, err)
	}
	if err := os.WriteFile(log.path, []byte(earlier), 0o600); err != nil {
		t.Fatal(err)
	}
	mark, err := log.Mark()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(log.path, []byte(earlier+later), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := log.Since(mark)
	if err != nil {
		t.Fatal(err)
	}
	want := map[apicount.Key]int{
		{Resource: "machines.cluster.x-k8s.io/status", Verb: "patch"}: 2,
		{Resource: "nodes", Verb: "delete"}:                           1,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
