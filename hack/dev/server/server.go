// Package server starts a virtual machine beside a running development world, in place of a server that somebody owns, and
// writes the sample that makes it a node.
package server

import (
	"bytes"
	"context"
	_ "embed" // the sample
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"text/template"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/drover-dev/drover/hack/dev/install"
	"github.com/drover-dev/drover/hack/dev/layout"
	"github.com/drover-dev/drover/hack/dev/world"
	"github.com/drover-dev/drover/hack/vm/machine"
)

// The machine, on the world's bridge.
const (
	name = "debian-1"
	user = "debian"
)

// address is none that a local machine may have.
var address = netip.MustParseAddr("10.88.0.251")

// Run starts the machine and writes the sample. The world runs.
func Run(ctx context.Context, w *world.World) error {
	machines := machine.Of(w.Layout)
	err := w.Progress.Step("Debian at "+address.String(), func(say func(string)) error {
		_, err := machines.Up(ctx, machine.Spec{
			Name: name, Address: address, Bridge: layout.Bridge, Memory: machine.DefaultMemory, CPUs: machine.DefaultCPUs,
		}, say)
		return err
	})
	if err != nil {
		return err
	}
	file, err := writeSample(w.Layout, machines)
	if err != nil {
		return err
	}
	fmt.Printf("\n%s is a stock Debian 12. To look around on it:\n\n  %s ssh --user %s %s\n\nTo make it a node of the demo's cluster:\n\n  export KUBECONFIG=%s PATH=%s:$PATH\n  kubectl apply -f %s\n\nTo end it and the demo: make down\n",
		name, relative(w.Layout.Bin("drover-vm")), user, name, w.Layout.Kubeconfig(), w.Layout.Bin(), relative(file))
	return nil
}

// relative is the path as one would type it here.
func relative(path string) string {
	dir, err := os.Getwd()
	if err != nil {
		return path
	}
	short, err := filepath.Rel(dir, path)
	if err != nil {
		return path
	}
	return short
}

//go:embed host.yaml
var sample string

// values are what the sample does not know by itself.
type values struct {
	Name, Address, User, Key, HostKey, Version string
	Port                                       int
}

func writeSample(l layout.Layout, machines machine.Machines) (string, error) {
	version, err := poolVersion(l)
	if err != nil {
		return "", err
	}
	hostKey, err := machines.Image().HostKey()
	if err != nil {
		return "", err
	}
	key, err := os.ReadFile(machines.Image().Key())
	if err != nil {
		return "", fmt.Errorf("read the machine's key: %w", err)
	}
	text, err := render(values{Name: name, Address: address.String(), Port: machine.Port, User: user, Key: string(key), HostKey: hostKey, Version: version})
	if err != nil {
		return "", fmt.Errorf("render the sample of a host: %w", err)
	}
	file := filepath.Join(l.Samples(), "host.yaml")
	if err := os.MkdirAll(l.Samples(), 0o755); err != nil {
		return "", fmt.Errorf("write the sample of a host: %w", err)
	}
	// It holds a private key.
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return "", fmt.Errorf("write the sample of a host: %w", err)
	}
	return file, os.Chmod(file, 0o600)
}

// poolVersion is the Kubernetes version of the demo's pool, for which there is a bundle.
func poolVersion(l layout.Layout) (string, error) {
	file := filepath.Join(l.Config("samples"), "nodepool.yaml")
	raw, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("read the demo's pool: %w", err)
	}
	objects, err := install.Parse(raw)
	if err != nil {
		return "", fmt.Errorf("read the demo's pool from %s: %w", file, err)
	}
	for _, o := range objects {
		if version, found, err := unstructured.NestedString(o.Object, "spec", "template", "spec", "version"); err == nil && found {
			return version, nil
		}
	}
	return "", fmt.Errorf("%s names no version of Kubernetes", file)
}

func render(v values) ([]byte, error) {
	t, err := template.New("host.yaml").Funcs(template.FuncMap{"indent": indent}).Parse(sample)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	err = t.Execute(&out, v)
	return out.Bytes(), err
}

// indent is the text as a block of YAML's, whose first line is indented already.
func indent(spaces int, text string) string {
	return string(bytes.ReplaceAll(bytes.TrimSpace([]byte(text)), []byte("\n"), append([]byte("\n"), bytes.Repeat([]byte(" "), spaces)...)))
}
