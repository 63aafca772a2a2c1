package e2e

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	fleetv1 "github.com/drover-dev/drover/api/v1alpha1"
)

func TestNodesCarryTheirPoolsLabelsAndProviderIDs(t *testing.T) {
	var pool fleetv1.NodePool
	if err := world.Get(t.Context(), client.ObjectKey{Namespace: "default", Name: "workers"}, &pool); err != nil {
		t.Fatal(err)
	}
	if pool.Spec.Template.Metadata.Labels["tier"] != "web" {
		t.Fatalf("the demo's pool has no label to look for: %v", pool.Spec.Template.Metadata.Labels)
	}
	for _, node := range must[[]corev1.Node](t)(world.nodes(t.Context(), pool.Name)) {
		if err := isOfPool(&node, &pool); err != nil {
			t.Error(err)
		}
		if node.Status.NodeInfo.KubeletVersion != pool.Spec.Template.Spec.Version || len(node.Spec.PodCIDRs) == 0 {
			t.Errorf("%s: kubelet version %q, pod ranges %v", node.Name, node.Status.NodeInfo.KubeletVersion, node.Spec.PodCIDRs)
		}
	}
}

// isOfPool wants a Node to have the labels of its pool's template, exactly its taints, and a provider ID of its own.
func isOfPool(node *corev1.Node, pool *fleetv1.NodePool) error {
	var wrong []error
	for key, value := range pool.Spec.Template.Metadata.Labels {
		if got, has := node.Labels[key]; !has || got != string(value) {
			wrong = append(wrong, fmt.Errorf("%s: label %s is %q, want %q", node.Name, key, got, value))
		}
	}
	var want []corev1.Taint
	for _, taint := range pool.Spec.Template.Spec.Taints {
		want = append(want, corev1.Taint{Key: taint.Key, Value: string(taint.Value), Effect: taint.Effect})
	}
	byKey := func(a, b corev1.Taint) int {
		return cmp.Or(strings.Compare(a.Key, b.Key), strings.Compare(string(a.Effect), string(b.Effect)))
	}
	if diff := gocmp.Diff(slices.SortedFunc(slices.Values(want), byKey), slices.SortedFunc(slices.Values(node.Spec.Taints), byKey)); diff != "" {
		wrong = append(wrong, fmt.Errorf("%s: taints (-want +got):\n%s", node.Name, diff))
	}
	if want := fleetv1.LocalProviderIDPrefix + pool.Namespace + "/" + node.Name; node.Spec.ProviderID != want {
		wrong = append(wrong, fmt.Errorf("%s: provider ID %q, want %q", node.Name, node.Spec.ProviderID, want))
	}
	return errors.Join(wrong...)
}

// The certificate must come from the cluster's CA, by way of the approver, and be good for this node and no other.
func TestKubeletsServeWithCertificatesOfTheCluster(t *testing.T) {
	authorities, ca := x509.NewCertPool(), must[*x509.Certificate](t)(clusterCA())
	authorities.AddCert(ca)
	for _, node := range must[[]corev1.Node](t)(world.nodes(t.Context(), "workers")) {
		ip := address(&node, corev1.NodeInternalIP)
		for _, name := range []string{node.Name, ip} {
			connection, err := tls.DialWithDialer(&net.Dialer{Timeout: podsDeadline}, "tcp", net.JoinHostPort(ip, "10250"), &tls.Config{RootCAs: authorities, ServerName: name})
			if err != nil {
				t.Errorf("%s as %s: %v", node.Name, name, err)
				continue
			}
			served := connection.ConnectionState().PeerCertificates[0]
			_ = connection.Close()
			type certificate struct{ Issuer, Subject, Names, Addresses, Usages string }
			want := certificate{ca.Subject.String(), "CN=system:node:" + node.Name + ",O=system:nodes", fmt.Sprint([]string{node.Name}), "[" + ip + "]", fmt.Sprint([]x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth})}
			got := certificate{served.Issuer.String(), served.Subject.String(), fmt.Sprint(served.DNSNames), fmt.Sprint(served.IPAddresses), fmt.Sprint(served.ExtKeyUsage)}
			if diff := gocmp.Diff(want, got); diff != "" {
				t.Errorf("%s: its certificate (-want +got):\n%s", node.Name, diff)
			}
		}
	}
}

// clusterCA is the certificate that kubeconfig trusts.
func clusterCA() (*x509.Certificate, error) {
	block, rest := pem.Decode(world.Config.CAData)
	if block == nil || len(bytes.TrimSpace(rest)) > 0 {
		return nil, fmt.Errorf("the kubeconfig has not exactly one CA: %s", world.Config.CAData)
	}
	return x509.ParseCertificate(block.Bytes)
}

// Labels and taints are for all Nodes at once, settings for one after the other, and all of it for machines made from then on.
func testAChangedTemplateIsForTheNodesThereAreAndForNewOnes(t *testing.T) {
	pool := world.newPool(t, "e2e-template", 1, func(pool *fleetv1.NodePool) {
		pool.Spec.Template.Metadata.Labels = map[string]fleetv1.LabelValue{"e2e-kept": "1", "e2e-dropped": ""}
		pool.Spec.Template.Spec.Taints = append(pool.Spec.Template.Spec.Taints, fleetv1.Taint{Key: "e2e-soft", Effect: corev1.TaintEffectPreferNoSchedule})
		pool.Spec.Template.Spec.Kubelet.MaxPods = ptr.To[int32](20)
	})
	world.awaitPool(t, pool.Name, 1)
	old := world.onlyMachine(t, pool)
	awaitNodes(t, pool)

	changed := pool.DeepCopy()
	changed.Spec.Template.Metadata.Labels = map[string]fleetv1.LabelValue{"e2e-kept": "2"}
	changed.Spec.Template.Spec.Taints = changed.Spec.Template.Spec.Taints[:1]
	changed.Spec.Template.Spec.Kubelet.MaxPods = ptr.To[int32](30)
	if err := world.Patch(t.Context(), changed, client.MergeFrom(pool)); err != nil {
		t.Fatal(err)
	}
	awaitNodes(t, changed)
	awaitUpdated(t, changed, 1, 1)

	world.scale(t, pool.Name, 2)
	world.awaitPool(t, pool.Name, 2)
	awaitNodes(t, changed)
	awaitUpdated(t, changed, 2, 2)
	pods := map[string]int64{}
	for _, node := range must[[]corev1.Node](t)(world.nodes(t.Context(), pool.Name)) {
		pods[node.Name] = node.Status.Capacity.Pods().Value()
		if _, has := node.Labels["e2e-dropped"]; has {
			t.Errorf("%s still has the label that the template dropped", node.Name)
		}
	}
	for _, machine := range must[[]clusterv1.Machine](t)(world.machines(t.Context(), pool.Name)) {
		isOld := machine.UID == old.UID
		if pods[machine.Name] != 30 || isOld == (machine.Labels[fleetv1.RevisionLabel] == changed.Status.Revision) {
			t.Errorf("%s, the one there before: %t, has room for %d pods and revision %s; the pool's is %s",
				machine.Name, isOld, pods[machine.Name], machine.Labels[fleetv1.RevisionLabel], changed.Status.Revision)
		}
		delete(pods, machine.Name)
	}
	if len(pods) > 0 {
		t.Errorf("Nodes of no Machine: %v", pods)
	}
}

// awaitNodes waits until the Nodes of a pool are as its template says.
func awaitNodes(t *testing.T, pool *fleetv1.NodePool) {
	t.Helper()
	eventually(t, podsDeadline, "the Nodes are as the template of "+pool.Name+" says", func(ctx context.Context) error {
		nodes, err := world.nodes(ctx, pool.Name)
		if err != nil || len(nodes) == 0 {
			return errors.Join(err, fmt.Errorf("%d ready nodes", len(nodes)))
		}
		for _, node := range nodes {
			err = errors.Join(err, isOfPool(&node, pool))
		}
		return err
	})
}

// awaitUpdated waits until a pool has so many machines, so many of which run its present template.
func awaitUpdated(t *testing.T, pool *fleetv1.NodePool, replicas, updated int32) {
	t.Helper()
	eventually(t, podsDeadline, fmt.Sprintf("%d of %d machines are updated", updated, replicas), func(ctx context.Context) error {
		err := world.Get(ctx, client.ObjectKeyFromObject(pool), pool)
		s := pool.Status
		good := s.ObservedGeneration == pool.Generation && ptr.Deref(s.Replicas, -1) == replicas && ptr.Deref(s.UpdatedReplicas, -1) == updated
		return errors.Join(err, unless(good, "its status is %+v", s))
	})
}
