package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed" // the scripts
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/hack/dev/progress"
	vm "github.com/drover-dev/drover/hack/vm/machine"
)

//go:embed rawserver.sh
var rawServerScript string

//go:embed rawserverclean.sh
var rawServerClean string

// rawServer is what the script of raw servers is given.
type rawServer struct {
	machines vm.Machines
	machine  *vm.Machine
	// name is its Node's.
	name string
	// bundle is the directory of the programs on the server.
	bundle string
	// archive is the file with all that is copied.
	archive, sha256 string
}

// newRawServer makes the archive, with the configuration of a node of Drover's that runs on the server.
func (b *bench) newRawServer(ctx context.Context, machines vm.Machines, m *vm.Machine, ours *v1alpha1.NodeAgent) (*rawServer, error) {
	digest, err := bundleOf(&ours.Spec)
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(benchDir(b.Layout), "server")
	s := &rawServer{machines: machines, machine: m, name: "raw-server", bundle: "/var/lib/drover/bundles/" + digest, archive: filepath.Join(dir, "node.tar.gz")}
	root := filepath.Join(dir, "root")
	if err := os.MkdirAll(filepath.Join(root, filepath.Dir(s.bundle)), 0o755); err != nil {
		return nil, fmt.Errorf("make the raw server's archive: %w", err)
	}
	if err := s.takeConfiguration(ctx, root, ours.Name); err != nil {
		return nil, err
	}
	if err := b.writeKubeconfigs(ctx, filepath.Join(root, "var", "lib", "drover"), ours.Spec.Cluster); err != nil {
		return nil, err
	}
	if err := command(ctx, "cp", "-a", filepath.Join(b.Layout.Bundles(), digest), filepath.Join(root, s.bundle)); err != nil {
		return nil, err
	}
	// Only directories that are not there before, or the archive would change the modes of those that are.
	if err := command(ctx, "tar", "-C", root, "-czf", s.archive, "etc/drover", "etc/cni", "var/lib/drover"); err != nil {
		return nil, err
	}
	s.sha256, err = digestOf(s.archive)
	return s, err
}

// bundleOf is the hexadecimal digest of the bundle of a node.
func bundleOf(spec *v1alpha1.NodeAgentSpec) (string, error) {
	for _, a := range spec.Artifacts {
		if _, digest, found := strings.Cut(a.Image, "@sha256:"); found && a.Architecture == "amd64" {
			return digest, nil
		}
	}
	return "", errors.New("the node's spec has no artifact of the virtual machine's architecture")
}

// providerID in a kubelet's configuration says whose the Node is. Drover removes one of its own that no Machine stands for.
var providerID = regexp.MustCompile(`(?m)^providerID:.*\n`)

// takeConfiguration copies what Drover rendered on the server, for a Node of another name.
func (s *rawServer) takeConfiguration(ctx context.Context, root, node string) error {
	var rendered bytes.Buffer
	if err := s.ssh(ctx, nil, &rendered, "tar -C / -cf - etc/drover/components etc/cni/net.d"); err != nil {
		return err
	}
	unpack := exec.CommandContext(ctx, "tar", "-C", root, "-xpf", "-")
	unpack.Stdin = &rendered
	if out, err := unpack.CombinedOutput(); err != nil {
		return fmt.Errorf("take the configuration of Drover's node: %w: %s", err, out)
	}
	return filepath.Walk(filepath.Join(root, "etc"), func(path string, info os.FileInfo, err error) error {
		if err != nil || !info.Mode().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		text = providerID.ReplaceAll(bytes.ReplaceAll(text, []byte(node), []byte(s.name)), nil)
		return os.WriteFile(path, text, info.Mode())
	})
}

// writeKubeconfigs writes what the kubelet asks for its certificate with, and kube-proxy's, which is an administrator's.
func (b *bench) writeKubeconfigs(ctx context.Context, dir string, cluster v1alpha1.ClusterSettings) error {
	token, err := b.rawToken(ctx)
	if err != nil {
		return err
	}
	bootstrap, err := tokenKubeconfig(cluster, token)
	if err != nil {
		return err
	}
	admin, err := os.ReadFile(b.Layout.Kubeconfig())
	if err != nil {
		return fmt.Errorf("read the kubeconfig for the raw server: %w", err)
	}
	return errors.Join(
		os.WriteFile(filepath.Join(dir, "raw-bootstrap.kubeconfig"), bootstrap, 0o600),
		os.WriteFile(filepath.Join(dir, "agent.kubeconfig"), admin, 0o600),
	)
}

// join runs the script, and returns how long it took from before the connection until the Node was Ready.
func (s *rawServer) join(ctx context.Context, b *bench) (time.Duration, error) {
	archive, err := os.Open(s.archive)
	if err != nil {
		return 0, fmt.Errorf("open the raw server's archive: %w", err)
	}
	defer func() { _ = archive.Close() }()
	start := time.Now()
	script := fmt.Sprintf("set -- %s %s %s %s\n%s", s.sha256, s.bundle, s.name, s.machine.Spec.Address, rawServerScript)
	if err := s.ssh(ctx, archive, io.Discard, script); err != nil {
		return 0, err
	}
	ended := time.Now()
	at, err := b.awaitWithin(ctx, serverPatience, "Node "+s.name+" to be Ready", &corev1.NodeList{}, isReady, named(s.name))
	if err != nil {
		return 0, err
	}
	fmt.Fprintf(&b.steps, "  by hand: the script took %s, and the Node was Ready %s after it\n", progress.Seconds(ended.Sub(start)), progress.Seconds(at.Sub(ended)))
	return at.Sub(start), nil
}

// remove takes everything back.
func (s *rawServer) remove(ctx context.Context, b *bench) error {
	return errors.Join(s.ssh(ctx, nil, io.Discard, rawServerClean), b.deleteNode(ctx, s.name))
}

func (s *rawServer) ssh(ctx context.Context, stdin io.Reader, stdout io.Writer, script string) error {
	ctx, cancel := context.WithTimeout(ctx, serverPatience)
	defer cancel()
	cmd := s.machines.SSH(ctx, s.machine, "root", script)
	var stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, stdout, &stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("run a script on the server by hand: %w: %s", err, strings.TrimSpace(stderr.String()))
	}
	return nil
}

func command(ctx context.Context, name string, args ...string) error {
	if out, err := exec.CommandContext(ctx, name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, strings.TrimSpace(string(out)))
	}
	return nil
}

func digestOf(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("hash %s: %w", path, err)
	}
	defer func() { _ = file.Close() }()
	sum := sha256.New()
	if _, err := io.Copy(sum, file); err != nil {
		return "", fmt.Errorf("hash %s: %w", path, err)
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}
