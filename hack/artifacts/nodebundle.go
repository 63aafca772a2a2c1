package main

import (
	"cmp"
	"errors"
	"os"
	"path/filepath"
	"runtime"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	fleetv1 "github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/hack/dev/layout"
)

type bundleOptions struct {
	bin, kubernetes, out, samples, pauseVersion, architecture string
	// kubelet is another program for the kubelet, and version what its bundle is called.
	kubelet, version string
}

func newBundleCommand() *cobra.Command {
	o := bundleOptions{}
	command := &cobra.Command{
		Use:   "bundle",
		Short: "Make the node bundle of the kubelet and kube-proxy in --kubernetes, and the NodeBundle to apply",
		Args:  cobra.NoArgs,
		RunE:  func(*cobra.Command, []string) error { return describe(bundleRepository, o.run()) },
	}
	flags := command.Flags()
	flags.StringVar(&o.bin, "bin", ".drover/bin", "directory of the programs")
	flags.StringVar(&o.kubernetes, "kubernetes", "", "directory of the kubelet and kube-proxy (default: --bin)")
	flags.StringVar(&o.kubelet, "kubelet", "", "another program for the kubelet, such as one that does not work")
	flags.StringVar(&o.version, "version", "", "the Kubernetes version that its bundle says it has")
	flags.StringVar(&o.out, "out", ".drover/artifacts", "directory of image layouts to write into")
	flags.StringVar(&o.samples, "samples", ".drover/samples", "directory to write the NodeBundle into")
	flags.StringVar(&o.pauseVersion, "pause-version", "", "version of the pause program")
	flags.StringVar(&o.architecture, "arch", runtime.GOARCH, "architecture of the programs")
	_ = command.MarkFlagRequired("pause-version") // the flag exists
	command.MarkFlagsRequiredTogether("kubelet", "version")
	return command
}

func (o *bundleOptions) run() error {
	programs := fromDirectories(o.bin, cmp.Or(o.kubernetes, o.bin))
	versions, err := programs.versions()
	if err != nil {
		return err
	}
	versions["pause"] = o.pauseVersion
	if o.kubelet != "" {
		programs["bin/kubelet"], versions["kubelet"] = o.kubelet, o.version
	}
	b := bundle{programs: programs, versions: versions, pause: filepath.Join(o.bin, "pause"), architecture: o.architecture}
	digest, err := b.write(filepath.Join(o.out, bundleRepository))
	if err != nil {
		return err
	}
	object, err := b.nodeBundle(digest)
	if err != nil {
		return err
	}
	file := filepath.Join(o.samples, "nodebundle-"+versions["kubelet"]+".yaml")
	return errors.Join(os.MkdirAll(o.samples, 0o755), os.WriteFile(file, object, 0o644))
}

// nodeBundle is the object by which pools find the bundle, where the development world serves it.
func (b *bundle) nodeBundle(digest v1.Hash) ([]byte, error) {
	version := b.versions["kubelet"]
	return yaml.Marshal(fleetv1.NodeBundle{
		TypeMeta:   metav1.TypeMeta{APIVersion: fleetv1.GroupVersion.String(), Kind: "NodeBundle"},
		ObjectMeta: metav1.ObjectMeta{Name: version},
		Spec: fleetv1.NodeBundleSpec{KubernetesVersion: version, Artifacts: []fleetv1.Artifact{
			{Architecture: b.architecture, Image: layout.Artifacts + "/" + bundleRepository + "@" + digest.String()},
		}},
	})
}
