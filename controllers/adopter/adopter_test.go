package adopter

import (
	"os"
	"testing"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/test/apiserver"
)

// How the adopter and Cluster API's reconcilers get along is tested in package engine.

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	os.Exit(apiserver.Run(m))
}

func TestAdopterLeavesAForeignClusterAlone(t *testing.T) {
	server := apiserver.Shared(t)
	namespace := server.Namespace(t)
	foreign := &clusterv1.Cluster{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: v1alpha1.AdoptedClusterName}}
	foreign.Spec.InfrastructureRef = reference("AdoptedCluster")
	if err := server.Client.Create(t.Context(), foreign); err != nil {
		t.Fatal(err)
	}
	r := &Reconciler{Client: server.Client}
	if err := r.ensureCluster(t.Context(), namespace); err == nil || err.Error() != errForeignCluster.Error() {
		t.Errorf("got %v, want %v", err, errForeignCluster)
	}
	if err := r.release(t.Context(), namespace); err != nil {
		t.Fatal(err)
	}
	if err := server.Client.Get(t.Context(), client.ObjectKeyFromObject(foreign), foreign); err != nil || !foreign.DeletionTimestamp.IsZero() {
		t.Errorf("the foreign Cluster was removed (%v)", err)
	}
}

func TestAdoptedObjectsSayWhichSpecTheyAreAbout(t *testing.T) {
	server := apiserver.Shared(t)
	namespace := server.Namespace(t)
	r := &Reconciler{Client: server.Client}
	for generation, f := range []facts{
		{endpoint: v1alpha1.APIEndpoint{Host: "10.88.0.1", Port: 6443}, version: "v1.36.3"},
		{endpoint: v1alpha1.APIEndpoint{Host: "10.88.0.2", Port: 6443}, version: "v1.36.4"},
	} {
		if err := r.adopt(t.Context(), namespace, f); err != nil {
			t.Fatal(err)
		}
		infrastructure, controlPlane := newAdoptedCluster(namespace), newAdoptedControlPlane(namespace)
		for _, object := range []client.Object{infrastructure, controlPlane} {
			if err := server.Client.Get(t.Context(), client.ObjectKeyFromObject(object), object); err != nil {
				t.Fatal(err)
			}
		}
		want := int64(generation + 1)
		if infrastructure.Status.ObservedGeneration != want || controlPlane.Status.ObservedGeneration != want {
			t.Errorf("the status of the infrastructure is about generation %d, of the control plane %d; want %d",
				infrastructure.Status.ObservedGeneration, controlPlane.Status.ObservedGeneration, want)
		}
	}
	if err := r.release(t.Context(), namespace); err != nil {
		t.Fatal(err)
	}
}

func TestParseEndpoint(t *testing.T) {
	for _, test := range []struct {
		reason, server string
		want           v1alpha1.APIEndpoint
		fails          bool
	}{
		{"host and port", "https://10.88.0.1:6443", v1alpha1.APIEndpoint{Host: "10.88.0.1", Port: 6443}, false},
		{"the scheme's port", "https://api.example.org", v1alpha1.APIEndpoint{Host: "api.example.org", Port: 443}, false},
		{"IPv6", "https://[fd00::1]:6443", v1alpha1.APIEndpoint{Host: "fd00::1", Port: 6443}, false},
		{"no host", "https://:6443", v1alpha1.APIEndpoint{}, true},
		{"no port of this world", "https://a:70000", v1alpha1.APIEndpoint{}, true},
	} {
		if got, err := parseEndpoint(test.server); got != test.want || (err != nil) != test.fails {
			t.Errorf("%s: got %v, %v, want %v", test.reason, got, err, test.want)
		}
	}
}
