package identity

import (
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/pem"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/clock"
)

// denial answers every request with no.
type denial struct {
	API
	requests []*certificatesv1.CertificateSigningRequest
	at       []time.Time
}

func (d *denial) CreateCSR(_ context.Context, csr *certificatesv1.CertificateSigningRequest) (*certificatesv1.CertificateSigningRequest, error) {
	d.requests, d.at = append(d.requests, csr), append(d.at, time.Now())
	answered := csr.DeepCopy()
	answered.Status.Conditions = []certificatesv1.CertificateSigningRequestCondition{{Type: certificatesv1.CertificateDenied, Status: corev1.ConditionTrue}}
	return answered, nil
}

// Requests stay for an hour, and someone may have to read them.
func TestADeniedRenewalIsTriedLessOftenWithTheSameKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		id := &Identity{Paths: Paths{StateDir: t.TempDir()}, Node: "n", NotBefore: time.Now().Add(-90 * time.Hour), NotAfter: time.Now().Add(10 * time.Hour)}
		api := &denial{}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			(&Renewer{API: api, Clock: clock.RealClock{}, Log: logr.Discard()}).Run(ctx, id)
		}()
		time.Sleep(3 * time.Hour)
		stop()
		<-done
		if n := len(api.requests); n < 10 || n > 16 {
			t.Fatalf("in three hours there were %d requests", n)
		}
		names := map[string]bool{}
		for i, csr := range api.requests {
			names[csr.Name] = true
			if i > 1 && api.at[i].Sub(api.at[i-1]) < api.at[i-1].Sub(api.at[i-2])*2/3 {
				t.Errorf("request %d came %s after the one before", i, api.at[i].Sub(api.at[i-1]))
			}
		}
		if len(names) != len(api.requests) {
			t.Error("a request that was denied is asked for again")
		}
		if first, last := publicKey(t, api.requests[0]), publicKey(t, api.requests[len(api.requests)-1]); !first.Equal(last) {
			t.Error("each request has a key of its own")
		}
	})
}

func publicKey(t *testing.T, csr *certificatesv1.CertificateSigningRequest) *ecdsa.PublicKey {
	t.Helper()
	block, _ := pem.Decode(csr.Spec.Request)
	request, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	key, _ := request.PublicKey.(*ecdsa.PublicKey)
	return key
}
