package main

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/drover-dev/drover/hack/dev/layout"
)

func TestOnlyTheTestsNamespacesGo(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	client := fake.NewClientset(
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "default"}},
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "pods-1234", Labels: map[string]string{testNamespace: "pods"}}},
	)
	if err := (&fleet{client: client}).removeNamespaces(ctx); err != nil {
		t.Fatal(err)
	}
	left, err := client.CoreV1().Namespaces().List(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, namespace := range left.Items {
		names = append(names, namespace.Name)
	}
	if diff := cmp.Diff([]string{"default"}, names); diff != "" {
		t.Errorf("namespaces (-want +got):\n%s", diff)
	}
}

func TestWithoutAWorldItSaysHowToStartOne(t *testing.T) {
	l, err := layout.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := connect(t.Context(), l); !errors.Is(err, errNoFleet) {
		t.Errorf("connect = %v, want %v", err, errNoFleet)
	}
}
