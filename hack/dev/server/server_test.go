package server

import (
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/drover-dev/drover/hack/dev/install"
	"github.com/drover-dev/drover/hack/dev/layout"
)

func TestRender(t *testing.T) {
	key := "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXk\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n"
	text, err := render(values{Name: "debian-1", Address: "10.88.0.251", Port: 22, User: "debian", Key: key, HostKey: "ssh-ed25519 AAAA", Version: "v1.2.3"})
	if err != nil {
		t.Fatal(err)
	}
	objects, err := install.Parse(text)
	if err != nil {
		t.Fatalf("The sample is no manifest: %v\n%s", err, text)
	}
	got := map[string]string{}
	for _, o := range objects {
		for _, path := range [][]string{
			{"stringData", "ssh-privatekey"}, {"spec", "address"}, {"spec", "user"}, {"spec", "keySecretRef", "name"}, {"spec", "template", "spec", "version"},
		} {
			if value, found, err := unstructured.NestedString(o.Object, path...); err == nil && found {
				got[o.GetKind()+" "+path[len(path)-1]] = value
			}
		}
		if keys, found, err := unstructured.NestedStringSlice(o.Object, "spec", "hostKeys"); err == nil && found && len(keys) == 1 {
			got["host key"] = keys[0]
		}
	}
	for name, want := range map[string]string{
		"Secret ssh-privatekey": key,
		"Host address":          "10.88.0.251",
		"Host user":             "debian",
		"Host name":             "host-key",
		"host key":              "ssh-ed25519 AAAA",
		"NodePool version":      "v1.2.3",
	} {
		if got[name] != want {
			t.Errorf("%s is %q, want %q", name, got[name], want)
		}
	}
}

func TestPoolVersionIsTheDemos(t *testing.T) {
	l, err := layout.New("../../..")
	if err != nil {
		t.Fatal(err)
	}
	version, err := poolVersion(l)
	if err != nil || version == "" || version[0] != 'v' {
		t.Errorf("poolVersion = %q, %v, want a version", version, err)
	}
}
