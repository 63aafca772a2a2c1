package stop_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/caching"
	"github.com/drover-dev/drover/controllers/stop"
	"github.com/drover-dev/drover/test/apiserver"
)

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	os.Exit(apiserver.Run(m))
}

func configMap(namespace, name string, annotations map[string]string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Annotations: annotations}}
}

func because(reason string) map[string]string {
	return map[string]string{v1alpha1.StopAnnotation: reason}
}

// one is a reader that has at most one ConfigMap, or cannot be asked.
func one(object *corev1.ConfigMap, failure error) client.Reader {
	return interceptor.NewClient(nil, interceptor.Funcs{Get: func(_ context.Context, _ client.WithWatch, key client.ObjectKey, into client.Object, _ ...client.GetOption) error {
		if failure != nil || object == nil || key != client.ObjectKeyFromObject(object) {
			return failure
		}
		object.DeepCopyInto(into.(*corev1.ConfigMap)) //nolint:errcheck // nothing else is asked for
		return nil
	}})
}

func TestWhy(t *testing.T) {
	const words = "the annotation fleet.drover.dev/stop of ConfigMap own/drover-stop stops the fleet"
	for name, tc := range map[string]struct {
		annotations map[string]string
		want        string
	}{
		"not thrown":             {nil, ""},
		"another annotation":     {map[string]string{"fleet.drover.dev/halt": "a fire"}, ""},
		"a reason":               {because("a fire"), words + ": a fire"},
		"none":                   {because(""), words},
		"one that reads like no": {because("false"), words + ": false"},
		"lines":                  {because(" a\n fire\t"), words + ": a fire"},
		"a novel":                {because(strings.Repeat("ä", 1000)), words + ": " + strings.Repeat("ä", 148) + "…"},
	} {
		t.Run(name, func(t *testing.T) {
			s := &stop.Switch{Reader: one(configMap("own", v1alpha1.StopName, tc.annotations), nil), Namespace: "own"}
			if got, err := s.Why(t.Context()); err != nil || got != tc.want {
				t.Errorf("got %q, %v, want %q", got, err, tc.want)
			}
		})
	}
}

func TestWhatCannotBeReadIsNotTakenForNothing(t *testing.T) {
	failure := errors.New("etcdserver: request timed out")
	s := &stop.Switch{Reader: one(nil, failure), Namespace: "own"}
	if why, err := s.Why(t.Context()); !errors.Is(err, failure) || why != "" {
		t.Errorf("got %q, %v", why, err)
	}
	var none *stop.Switch
	if why, err := none.Why(t.Context()); err != nil || why != "" {
		t.Errorf("no switch is never thrown: got %q, %v", why, err)
	}
}

func TestChanged(t *testing.T) {
	changed := (&stop.Switch{Namespace: "own"}).Changed()
	off, on := configMap("own", v1alpha1.StopName, nil), configMap("own", v1alpha1.StopName, because("a fire"))
	other, elsewhere := configMap("own", "other", because("a fire")), configMap("default", v1alpha1.StopName, because("a fire"))
	data := on.DeepCopy()
	data.Data = map[string]string{"a": "b"}
	for name, tc := range map[string]struct {
		before, after *corev1.ConfigMap
		want          bool
	}{
		"made":                    {nil, off, false},
		"made and thrown":         {nil, on, true},
		"thrown":                  {off, on, true},
		"put back":                {on, off, true},
		"another reason":          {on, configMap("own", v1alpha1.StopName, because("two fires")), true},
		"something else in it":    {on, data, false},
		"deleted":                 {on, nil, true},
		"deleted, and not thrown": {off, nil, false},
		"another ConfigMap":       {nil, other, false},
		"another namespace":       {elsewhere, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			var got bool
			switch {
			case tc.before == nil:
				got = changed.Create(event.CreateEvent{Object: tc.after})
			case tc.after == nil:
				got = changed.Delete(event.DeleteEvent{Object: tc.before})
			default:
				got = changed.Update(event.UpdateEvent{ObjectOld: tc.before, ObjectNew: tc.after})
			}
			if got != tc.want {
				t.Errorf("wakes: %t, want %t", got, tc.want)
			}
		})
	}
}

// TestTheManagersCacheHasTheSwitch and nothing else of ConfigMaps, and who watches it is woken by it alone.
func TestTheManagersCacheHasTheSwitch(t *testing.T) {
	server := apiserver.Shared(t)
	own := server.Namespace(t)
	mgr, err := ctrl.NewManager(server.Config, ctrl.Options{
		Scheme: server.Scheme, Cache: caching.CacheOptions(own), Client: caching.ClientOptions(),
		Metrics: metricsserver.Options{BindAddress: "0"}, Controller: config.Controller{SkipNameValidation: ptr.To(true)},
	})
	if err != nil {
		t.Fatal(err)
	}
	s := &stop.Switch{Reader: mgr.GetCache(), Namespace: own}
	const patience = 30 * time.Second
	says := make(chan string, 16)
	wake := func(context.Context, client.Object) []reconcile.Request { return []reconcile.Request{{}} }
	err = ctrl.NewControllerManagedBy(mgr).Named("woken").
		Watches(&corev1.ConfigMap{}, handler.EnqueueRequestsFromMapFunc(wake), builder.WithPredicates(s.Changed())).
		Complete(reconcile.Func(func(ctx context.Context, _ ctrl.Request) (ctrl.Result, error) {
			why, err := s.Why(ctx)
			says <- fmt.Sprint(why, err)
			return ctrl.Result{}, err //nolint:wrapcheck // the test reads it
		}))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	apiserver.RunManager(ctx, t, mgr, cancel)

	next := func(what, want string) {
		t.Helper()
		select {
		case got := <-says:
			if got != want {
				t.Fatalf("%s: it says %q, want %q", what, got, want)
			}
		case <-time.After(patience):
			t.Fatalf("%s: nobody was woken", what)
		}
	}
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	thrown, other := configMap(own, v1alpha1.StopName, because("a fire")), configMap(own, "other", because("a fire"))
	do(server.Client.Create(t.Context(), other))
	do(server.Client.Create(t.Context(), thrown))
	next("it is thrown", "the annotation fleet.drover.dev/stop of ConfigMap "+own+"/drover-stop stops the fleet: a fire<nil>")
	thrown.Annotations = nil
	do(server.Client.Update(t.Context(), thrown))
	next("it is put back", "<nil>")
	do(server.Client.Delete(t.Context(), thrown))

	list := &corev1.ConfigMapList{}
	err = wait.PollUntilContextTimeout(t.Context(), 20*time.Millisecond, patience, true, func(ctx context.Context) (bool, error) {
		err := mgr.GetCache().List(ctx, list)
		return len(list.Items) == 0, err
	})
	if err != nil {
		t.Errorf("the cache has ConfigMaps that are nothing to the manager: %v, %+v", err, list.Items)
	}
}
