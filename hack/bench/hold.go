package main

import (
	"context"
	"fmt"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	waiting "k8s.io/apimachinery/pkg/util/wait"
)

// hold starts a raw node and keeps it until the run is interrupted, so that other programs can be run against both
// kinds of node: a conformance test that fails on each of them does not fail because of Drover.
func (b *bench) hold(ctx context.Context) error {
	var raw *node
	if err := b.Progress.Step("A raw node", func(func(string)) error {
		model, err := b.newDrover(ctx, "model")
		if err != nil {
			return err
		}
		if raw, err = b.newRawNode(ctx, "raw-0"); err != nil {
			return err
		}
		if err := b.approveServing(ctx, raw.name); err != nil {
			return err
		}
		return model.remove(ctx)
	}); err != nil {
		return err
	}
	fmt.Printf("\nNode %s is Ready; the kubeconfig is %s. Interrupt this program to end both.\n", raw.name, b.Layout.Kubeconfig())
	<-ctx.Done()
	return raw.remove(context.WithoutCancel(ctx))
}

// approveServing approves the certificate that a raw kubelet serves logs with, as an administrator would by hand.
func (b *bench) approveServing(ctx context.Context, name string) error {
	err := waiting.PollUntilContextTimeout(ctx, pollEvery, patience, true, func(ctx context.Context) (bool, error) {
		requests := &certificatesv1.CertificateSigningRequestList{}
		if err := b.client.List(ctx, requests); err != nil {
			return false, err
		}
		for i := range requests.Items {
			r := &requests.Items[i]
			if r.Spec.Username != "system:node:"+name || r.Spec.SignerName != certificatesv1.KubeletServingSignerName {
				continue
			}
			r.Status.Conditions = append(r.Status.Conditions, certificatesv1.CertificateSigningRequestCondition{
				Type: certificatesv1.CertificateApproved, Status: corev1.ConditionTrue, Reason: "RawNode", Message: "approved for the benchmark's raw node",
			})
			return true, b.client.SubResource("approval").Update(ctx, r)
		}
		return false, nil
	})
	if err != nil {
		return fmt.Errorf("approve the serving certificate of %s: %w", name, err)
	}
	return nil
}
