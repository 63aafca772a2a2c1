package lookup

import (
	"context"
	"errors"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/drover-dev/drover/api/v1alpha1"
)

func TestARevisionIsReadLiveWhenTheCacheLagsBehind(t *testing.T) {
	machine := &clusterv1.Machine{ObjectMeta: metav1.ObjectMeta{Namespace: "n", Labels: map[string]string{v1alpha1.PoolLabel: "p", v1alpha1.RevisionLabel: "r"}}}
	name := RevisionName(machine)
	revision := &appsv1.ControllerRevision{ObjectMeta: metav1.ObjectMeta{Namespace: name.Namespace, Name: name.Name}}
	with, without := fake.NewClientBuilder().WithObjects(revision).Build(), fake.NewClientBuilder().Build()
	broken := fake.NewClientBuilder().WithInterceptorFuncs(interceptor.Funcs{
		Get: func(context.Context, client.WithWatch, client.ObjectKey, client.Object, ...client.GetOption) error {
			return errors.New("no answer")
		}}).Build()
	cases := []struct {
		reason       string
		cached, live client.Reader
		found        bool
		fails        string
	}{
		{"the cache has it", with, broken, true, ""},
		{"the cache has it not yet", without, with, true, ""},
		{"nobody has it", without, without, false, ""},
		{"nobody knows", without, broken, false, "no answer"},
		{"a cache that does not answer is not asked around", broken, with, false, "no answer"},
	}
	for _, c := range cases {
		got, err := RevisionOf(t.Context(), c.cached, c.live, RevisionName(machine))
		if (got != nil) != c.found || (err != nil) != (c.fails != "") || err != nil && !strings.Contains(err.Error(), c.fails) {
			t.Errorf("%s: got %v, %v", c.reason, got, err)
		}
	}
}
