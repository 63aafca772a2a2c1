package tree_test

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/util/yaml"

	"github.com/drover-dev/drover/cmd/kubectl-drover/tree"
)

var update = flag.Bool("update", false, "write the golden files anew")

var now = time.Date(2026, time.January, 1, 12, 0, 0, 0, time.UTC)

func TestTree(t *testing.T) {
	tests := map[string]string{
		"healthy":  "Every line says what it is good to know of something healthy: addresses and versions.",
		"problems": "A pool, a machine and a component with a problem come before those without, with the reason.",
		"hosts":    "A server stands below the machine that it serves, and one that serves none beside the pools, with what is wrong.",
		"silent":   "What an agent said that is not heard of any more is what was, and its age is told.",
		"changing": "A node says what it runs where that is not what it is to run, has yet to prove itself, or was gone back to.",
		"deleting": "A machine that is drained says what it waits for, and a machine without an agent has no branch.",
		"paused":   "A paused pool is suspended, be anything left to do or not, and says how it goes on.",
		"nobodys":  "A machine that no pool counts is beside the pools, with why, and one whose pool is gone too.",
		"empty":    "No pools is a sentence, not an empty table.",
	}
	for name, reason := range tests {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			if err := tree.Render(&out, tree.Build(readFleet(t, name)), now); err != nil {
				t.Fatal(err)
			}
			golden := filepath.Join("testdata", name+".txt")
			if *update {
				if err := os.WriteFile(golden, out.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), out.String()); diff != "" {
				t.Errorf("%s\n(-want +got):\n%s", reason, diff)
			}
		})
	}
}

func TestRenderObeysNoAgent(t *testing.T) {
	var out bytes.Buffer
	if err := tree.Render(&out, []tree.Node{{Name: "a", Status: "Bad", Reason: "x\x1b]0;owned\a\x1b[2J\r\n✓ b  Ready\u202e"}}, now); err != nil {
		t.Fatal(err)
	}
	lines := bytes.Split(bytes.TrimSpace(out.Bytes()), []byte("\n"))
	if len(lines) != 2 || bytes.ContainsAny(out.Bytes(), "\x1b\a\r\u202e") {
		t.Errorf("an agent's message reaches the terminal as %q", out.String())
	}
}

func TestRenderSaysWhenItCannotWrite(t *testing.T) {
	if err := tree.Render(brokenPipe{}, tree.Build(readFleet(t, "healthy")), now); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Render = %v, want the writer's error", err)
	}
}

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, os.ErrClosed }

func readFleet(t *testing.T, name string) *tree.Fleet {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", name+".yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var f tree.Fleet
	if err := yaml.UnmarshalStrict(raw, &f); err != nil {
		t.Fatal(err)
	}
	return &f
}
