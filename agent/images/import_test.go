package images

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

const pauseName = "drover.dev/pause:test"

// writeArchive writes an OCI archive with one image of one layer, and returns the image's digest.
func writeArchive(t *testing.T, file, name string, layer []byte) string {
	t.Helper()
	blobs := map[string][]byte{}
	blob := func(mediaType string, data []byte) descriptor {
		digest := fmt.Sprintf("sha256:%x", sha256.Sum256(data))
		blobs[digest] = data
		return descriptor{MediaType: mediaType, Digest: digest, Size: int64(len(data))}
	}
	marshal := func(v any) []byte {
		data, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	layerBlob := blob("application/vnd.oci.image.layer.v1.tar", layer)
	config := blob("application/vnd.oci.image.config.v1+json", marshal(map[string]any{
		"architecture": runtime.GOARCH, "os": "linux", "config": map[string]any{"Entrypoint": []string{"/pause"}},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{layerBlob.Digest}},
	}))
	image := blob("application/vnd.oci.image.manifest.v1+json", marshal(map[string]any{
		"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": config, "layers": []descriptor{layerBlob},
	}))
	image.Annotations = map[string]string{refNameAnnotation: name}
	var out bytes.Buffer
	archive := tar.NewWriter(&out)
	add := func(path string, data []byte) {
		if err := archive.WriteHeader(&tar.Header{Name: path, Mode: 0o644, Size: int64(len(data)), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := archive.Write(data); err != nil {
			t.Fatal(err)
		}
	}
	add("oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`))
	add("index.json", marshal(map[string]any{"schemaVersion": 2, "manifests": []descriptor{image}}))
	for digest, data := range blobs {
		add("blobs/"+strings.Replace(digest, ":", "/", 1), data)
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return image.Digest
}

// startContainerd starts a containerd of the test's own and returns its socket.
func startContainerd(t *testing.T) string {
	t.Helper()
	binaries := os.Getenv("KUBEBUILDER_ASSETS")
	if binaries == "" {
		t.Fatal("KUBEBUILDER_ASSETS is not set: run make test, or set it to the directory that has containerd")
	}
	dir := t.TempDir()
	socket := filepath.Join(dir, "c.sock")
	config := fmt.Sprintf("version = 3\nroot = %q\nstate = %q\n[grpc]\naddress = %q\n[ttrpc]\naddress = %q\n[plugins.'io.containerd.cri.v1.runtime']\nrestrict_oom_score_adj = true\n[plugins.'io.containerd.cri.v1.runtime'.cni]\nconf_dir = %q\n",
		dir+"/root", dir+"/state", socket, socket+".ttrpc", dir+"/cni")
	if err := os.WriteFile(dir+"/config.toml", []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(dir + "/log")
	if err != nil {
		t.Fatal(err)
	}
	containerd := exec.Command(filepath.Join(binaries, "containerd"), "--config", dir+"/config.toml")
	containerd.Stdout, containerd.Stderr = log, log
	if err := containerd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := containerd.Process.Signal(os.Interrupt); err != nil {
			t.Error(err)
		}
		_ = containerd.Wait()
		if t.Failed() {
			data, err := os.ReadFile(log.Name())
			t.Logf("containerd's log (%v):\n%s", err, data)
		}
		if err := log.Close(); err != nil {
			t.Error(err)
		}
	})
	return socket
}

func TestImportedImageIsReadyForPods(t *testing.T) {
	socket, dir := startContainerd(t), t.TempDir()
	var layer bytes.Buffer
	if _, err := io.WriteString(&layer, strings.Repeat("\x00", 1024)); err != nil { // an empty tar
		t.Fatal(err)
	}
	first := writeArchive(t, filepath.Join(dir, "pause.tar"), pauseName, layer.Bytes())
	eventuallyImported(t, socket, dir)
	conn, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	})
	look := func() *runtimeapi.Image {
		answer, err := runtimeapi.NewImageServiceClient(conn).ImageStatus(t.Context(), &runtimeapi.ImageStatusRequest{Image: &runtimeapi.ImageSpec{Image: pauseName}})
		if err != nil {
			t.Fatal(err)
		}
		return answer.GetImage()
	}
	image := look()
	if image == nil || len(image.GetRepoTags()) != 1 || image.GetRepoTags()[0] != pauseName || !image.GetPinned() {
		t.Fatalf("the runtime knows %v, want %s, pinned", image, pauseName)
	}
	if err := ImportDir(t.Context(), socket, dir); err != nil {
		t.Errorf("importing again: %v", err)
	}
	if second := writeArchive(t, filepath.Join(dir, "pause.tar"), pauseName, append(layer.Bytes(), layer.Bytes()...)); second == first {
		t.Fatal("the other image is the same one")
	}
	if err := ImportDir(t.Context(), socket, dir); err != nil {
		t.Fatalf("importing another image of that name: %v", err)
	}
	deadline := time.Now().Add(10 * time.Second)
	for look().GetId() == image.GetId() {
		if time.Now().After(deadline) {
			t.Fatal("the name still stands for the first image")
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// eventuallyImported imports as a component's readiness does: again and again from the start of containerd on.
func eventuallyImported(t *testing.T, socket, dir string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for {
		err := ImportDir(ctx, socket, dir)
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("not imported in time: %v", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func TestArchivesThatCannotBeImported(t *testing.T) {
	cases := []struct{ reason, content, want string }{
		{"no tar at all", "hello", "image archive"},
		{"an archive without an index", strings.Repeat("\x00", 1024), "no index.json"},
	}
	for _, c := range cases {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "x.tar"), []byte(c.content), 0o600); err != nil {
			t.Fatal(err)
		}
		err := ImportDir(t.Context(), "/nowhere", dir)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want it to mention %q", c.reason, err, c.want)
		}
	}
	if err := ImportDir(t.Context(), "/nowhere", t.TempDir()); err != nil {
		t.Errorf("a bundle without images: %v", err)
	}
}
