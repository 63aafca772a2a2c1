package host

import (
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestHalfABootstrapDocumentInstallsNothing(t *testing.T) {
	const document = `{"token": "abcdef.0123456789abcdef"}`
	for name, c := range map[string]struct {
		comes     string
		installed bool
	}{
		"whole": {document, true},
		"half":  {document[:10], false},
		"none":  {"", false},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			agent := "#!/bin/sh\n[ \"$(stat -c %a \"$3\")\" = 600 ] && mkdir \"${0%/*}/networkd.conf.d\" && cp \"$3\" \"${0%/*}/installed\"\n"
			if err := os.WriteFile(filepath.Join(dir, "drover-agent"), []byte(agent), 0o700); err != nil {
				t.Fatal(err)
			}
			script := exec.CommandContext(t.Context(), "sh", "-c", fmt.Sprintf(installScript, dir, sha256.Sum256([]byte(document)), "digest"))
			script.Stdin = strings.NewReader(c.comes)
			out, err := script.CombinedOutput()
			if (err == nil) != c.installed || !c.installed && !strings.Contains(string(out), "half of the bootstrap document") {
				t.Errorf("it ended with %v: %s", err, out)
			}
			if got, _ := os.ReadFile(filepath.Join(dir, "installed")); (string(got) == document) != c.installed {
				t.Errorf("the agent was given %q", got)
			}
			if made, err := os.Stat(filepath.Join(dir, "networkd.conf.d")); c.installed && (err != nil || made.Mode().Perm() != 0o755) {
				t.Errorf("what the agent makes for others is %v (%v)", made, err)
			}
			if _, err := os.Stat(filepath.Join(dir, "bootstrap.json")); err == nil {
				t.Error("the document, which is secret, is still there")
			}
		})
	}
}
