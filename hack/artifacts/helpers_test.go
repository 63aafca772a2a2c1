package main

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, path, content string) string {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(t, os.WriteFile(path, []byte(content), 0o755))
	return path
}

func sum(content string) string {
	digest := sha256.Sum256([]byte(content))
	return hex.EncodeToString(digest[:])
}

// testBundle is a bundle of stand-in programs; the kubelet and kube-proxy are one file when linked.
func testBundle(t *testing.T, linked bool) *bundle {
	t.Helper()
	dir := t.TempDir()
	b := &bundle{programs: fromDirectories(dir, dir), architecture: "amd64", pause: write(t, filepath.Join(dir, "pause"), "pause"),
		versions: map[string]string{"kubelet": "v1.36.3", "kube-proxy": "v1.36.3", "containerd": "v2.4.2", "runc": "v1.5.2", "cni": "v1.9.1", "pause": "3.10.2"}}
	for path, source := range b.programs {
		if !linked || path != "bin/kube-proxy" {
			write(t, source, strings.Repeat(path, 10_000))
		}
	}
	if linked {
		must(t, os.Symlink("kubelet", filepath.Join(dir, "kube-proxy")))
	}
	return b
}
