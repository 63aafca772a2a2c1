package world

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
)

const held = "The pool is being deleted; machines still to be drained and deleted: 1; servers-0: Host a is not clean: there is no Secret key."

// poolOfAServer is a pool that somebody holds, as its manager does while it has machines.
func poolOfAServer(conditions ...any) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "fleet.drover.dev/v1alpha1", "kind": "NodePool",
		"metadata": map[string]any{"namespace": "default", "name": "servers", "finalizers": []any{"fleet.drover.dev/nodepool"}},
		"status":   map[string]any{"conditions": conditions},
	}}
}

func TestAPoolThatDoesNotGoSaysWhy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := fake.NewClientBuilder().WithScheme(runtime.NewScheme()).WithObjects(poolOfAServer(
			map[string]any{"type": "Available", "status": "False", "message": "0 of 0 machines are available"},
			map[string]any{"type": "Ready", "status": "False", "message": held},
		)).Build()
		var notes []string
		start, noted := time.Now(), time.Duration(0)
		err := deletePools(t.Context(), c, func(string) {}, func(note string) { notes, noted = append(notes, note), time.Since(start) })
		if len(notes) != 1 || notes[0] != "default/servers: "+held || noted.Round(time.Second) != poolsPatience {
			t.Errorf("while it waits it notes %q, the last after %s", notes, noted)
		}
		if err == nil || !strings.HasSuffix(err.Error(), held) || time.Since(start).Round(time.Second) != poolsTimeout {
			t.Errorf("after %s it ends with %v", time.Since(start), err)
		}
	})
}

func TestAPoolThatGoesIsNotQuoted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pool := poolOfAServer(map[string]any{"type": "Ready", "status": "False", "message": held})
		c := fake.NewClientBuilder().WithScheme(runtime.NewScheme()).WithObjects(pool).Build()
		start := time.Now()
		goes := func(string) {
			if time.Since(start) > poolsPatience-time.Second {
				if err := c.Patch(t.Context(), pool, client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`))); err != nil {
					t.Error(err)
				}
			}
		}
		if err := deletePools(t.Context(), c, goes, func(note string) { t.Errorf("it notes %q", note) }); err != nil {
			t.Error(err)
		}
	})
}

func TestAnInterruptIsNoPoolsFault(t *testing.T) {
	c := fake.NewClientBuilder().WithScheme(runtime.NewScheme()).WithObjects(poolOfAServer()).Build()
	ctx, cancel := context.WithCancel(t.Context())
	err := deletePools(ctx, c, func(string) { cancel() }, func(string) {})
	if err == nil || err.Error() != context.Canceled.Error() {
		t.Errorf("an interrupted wait ends with %v", err)
	}
}
