package component

import (
	"crypto/x509"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	fleetv1 "github.com/drover-dev/drover/api/v1alpha1"
)

// registryDir is where containerd looks for one directory a registry.
func (c *Config) registryDir() string { return c.Paths.config("certs.d") }

// registryFiles are hosts.toml and the CA bundles of the mirrors and of the registry that bundles come from, whose
// certificate the cluster's CA signed when it is the manager's artifact endpoint. See
// https://github.com/containerd/containerd/blob/main/docs/hosts.md.
func (c *Config) registryFiles() ([]File, error) {
	clusterCA := File{Path: filepath.Join(c.Paths.ConfigDir, "server-ca.crt"), Content: []byte(c.Spec.Cluster.ServerCA), Mode: 0o644}
	files := []File{clusterCA}
	own := artifactHosts(c.Spec.Artifacts)
	for _, mirror := range c.Spec.Runtime.RegistryMirrors {
		mirrorCA := ""
		if mirror.CABundle != "" {
			if !x509.NewCertPool().AppendCertsFromPEM([]byte(mirror.CABundle)) {
				return nil, fmt.Errorf("registry mirror of %s: caBundle holds no certificate in PEM form", mirror.Registry)
			}
			mirrorCA = filepath.Join(c.registryDir(), mirror.Registry, "ca.crt")
			files = append(files, File{Path: mirrorCA, Content: []byte(mirror.CABundle), Mode: 0o644})
		}
		var hosts strings.Builder
		if upstream := upstreamOf(mirror.Registry); upstream != "" {
			fmt.Fprintf(&hosts, "server = %q\n", upstream)
		}
		for _, endpoint := range mirror.Endpoints {
			parsed, err := url.Parse(endpoint)
			if err != nil {
				return nil, fmt.Errorf("registry mirror of %s: endpoint %q is no URL: %w", mirror.Registry, endpoint, err)
			}
			ca := mirrorCA
			if ca == "" && slices.Contains(own, parsed.Host) {
				ca = clusterCA.Path
			}
			writeHost(&hosts, endpoint, ca)
		}
		if slices.Contains(own, mirror.Registry) {
			writeHost(&hosts, upstreamOf(mirror.Registry), clusterCA.Path)
		}
		files = append(files, c.hostsFile(mirror.Registry, hosts.String()))
		own = slices.DeleteFunc(own, func(host string) bool { return host == mirror.Registry })
	}
	for _, host := range own {
		var hosts strings.Builder
		fmt.Fprintf(&hosts, "server = %q\n", upstreamOf(host))
		writeHost(&hosts, upstreamOf(host), clusterCA.Path)
		files = append(files, c.hostsFile(host, hosts.String()))
	}
	return files, nil
}

func (c *Config) hostsFile(registry, content string) File {
	return File{Path: filepath.Join(c.registryDir(), registry, "hosts.toml"), Content: []byte(content), Mode: 0o644}
}

// writeHost adds a host that may be asked for images. The CA comes on top of the machine's own roots.
func writeHost(b *strings.Builder, endpoint, ca string) {
	fmt.Fprintf(b, "\n[host.%q]\ncapabilities = [\"pull\", \"resolve\"]\n", endpoint)
	if ca != "" {
		fmt.Fprintf(b, "ca = [%q]\n", ca)
	}
}

// upstreamOf is the URL of the registry itself; _default stands for no one registry.
func upstreamOf(registry string) string {
	switch registry {
	case "_default":
		return ""
	case "docker.io":
		return "https://registry-1.docker.io"
	default:
		return "https://" + registry
	}
}

// artifactHosts are the registries that the bundle's images are in, each once.
func artifactHosts(artifacts []fleetv1.Artifact) []string {
	var hosts []string
	for _, artifact := range artifacts {
		if host, _, found := strings.Cut(artifact.Image, "/"); found && !slices.Contains(hosts, host) {
			hosts = append(hosts, host)
		}
	}
	return hosts
}
