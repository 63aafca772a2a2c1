package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/mattn/go-isatty"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/hack/bench/audit"
	"github.com/drover-dev/drover/hack/dev/install"
	"github.com/drover-dev/drover/hack/dev/layout"
	"github.com/drover-dev/drover/hack/dev/progress"
	"github.com/drover-dev/drover/hack/dev/world"
)

// open takes hold of this checkout's world, which must not run.
func open(opts options) (b *bench, closeWorld func(), err error) {
	l, err := layout.New(opts.repository)
	if err != nil {
		return nil, nil, err
	}
	w, release, err := world.Open(l, progress.New(os.Stderr, isatty.IsTerminal(os.Stderr.Fd()), time.Now))
	if err != nil {
		return nil, nil, err
	}
	if w.State() != world.Absent {
		release()
		return nil, nil, errors.New("a world runs in this checkout, or was left half-way, and the benchmark needs its network and ports: run `make down` first")
	}
	self, err := os.Executable()
	if err != nil {
		release()
		return nil, nil, fmt.Errorf("find this program, which raw machines run: %w", err)
	}
	dir := benchDir(l)
	b = &bench{options: opts, World: w, writes: audit.Open(filepath.Join(dir, "audit.log"))}
	b.raws = newRawMachines(filepath.Join(dir, "machines"), self, l.Bundles())
	w.APIServerFlags = audit.Flags(filepath.Join(dir, "audit-policy.yaml"), filepath.Join(dir, "audit.log"))
	return b, release, nil
}

// start starts the cluster with what both kinds of node need.
func (b *bench) start(ctx context.Context) error {
	dir := benchDir(b.Layout)
	if err := errors.Join(os.RemoveAll(dir), os.MkdirAll(dir, 0o755)); err != nil {
		return fmt.Errorf("make the benchmark's folder: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "audit-policy.yaml"), []byte(audit.Policy(layout.ManagerUser)), 0o600); err != nil {
		return fmt.Errorf("write the audit policy: %w", err)
	}
	if err := b.Up(ctx); err != nil {
		return err
	}
	if err := b.connect(); err != nil {
		return err
	}
	digests, err := layout.ReadDigests(b.Layout)
	if err != nil {
		return err
	}
	if b.hello, err = digests.Image("images/hello"); err != nil {
		return err
	}
	objects, err := samples(b.Layout, digests, "nodebundle.yaml", "localmachinetemplate.yaml")
	if err != nil {
		return err
	}
	for _, o := range objects {
		if version, _, _ := unstructured.NestedString(o.Object, "spec", "kubernetesVersion"); version != "" {
			b.version = version
		}
	}
	access, err := rawAccess()
	if err != nil {
		return err
	}
	return install.Apply(ctx, b.client, append(objects, access...))
}

func (b *bench) connect() error {
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return err
	}
	config, err := b.Config()
	if err != nil {
		return err
	}
	if b.client, err = client.NewWithWatch(config, client.Options{Scheme: scheme}); err != nil {
		return fmt.Errorf("connect to the API server: %w", err)
	}
	return nil
}

// samples are files of config/samples with the digests of what was built.
func samples(l layout.Layout, digests layout.Digests, names ...string) ([]*unstructured.Unstructured, error) {
	var all []*unstructured.Unstructured
	for _, name := range names {
		text, err := os.ReadFile(filepath.Join(l.Config("samples"), name))
		if err != nil {
			return nil, fmt.Errorf("read the sample: %w", err)
		}
		rendered, err := digests.Render(string(text))
		if err != nil {
			return nil, err
		}
		objects, err := install.Parse([]byte(rendered))
		if err != nil {
			return nil, fmt.Errorf("read the sample %s: %w", name, err)
		}
		all = append(all, objects...)
	}
	return all, nil
}
