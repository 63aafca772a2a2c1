package v1alpha1

import (
	"math"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
)

func namedPool(namespace, name, uid string) *NodePool {
	return &NodePool{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, UID: types.UID(uid)}}
}

func TestMachineName(t *testing.T) {
	cases := map[string]struct {
		reason  string
		pool    *NodePool
		ordinal int64
		want    string
	}{
		"short": {
			reason:  "a short name is kept whole",
			pool:    namedPool("default", "workers", "u1"),
			ordinal: 7,
			want:    "workers-6fc63-7",
		},
		"long": {
			reason:  "a long name is cut to 40 characters",
			pool:    namedPool("default", strings.Repeat("a", 63), "u1"),
			ordinal: 0,
			want:    strings.Repeat("a", 40) + "-6fc63-0",
		},
		"cut at a dash": {
			reason:  "a cut that ends in a dash loses it, so that no dashes are doubled",
			pool:    namedPool("default", strings.Repeat("a", 39)+"-b", "u1"),
			ordinal: 12,
			want:    strings.Repeat("a", 39) + "-6fc63-12",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := MachineName(tc.pool, tc.ordinal); got != tc.want {
				t.Errorf("%s: got %s, want %s", tc.reason, got, tc.want)
			}
		})
	}
}

func TestMachineNamesFitALabelAndDiffer(t *testing.T) {
	seen := map[string]string{}
	for _, pool := range []*NodePool{
		namedPool("a", strings.Repeat("x", 253), "u1"),
		namedPool("a", strings.Repeat("x", 253), "u2"),
		namedPool("b", strings.Repeat("x", 253), "u1"),
		namedPool("a", "x", "u1"),
		namedPool("b", "x", "u1"),
	} {
		for _, ordinal := range []int64{0, 1, 10, 9_999_999, 9_999_999_999_999_999} {
			name := MachineName(pool, ordinal)
			if problems := validation.IsDNS1123Label(name); len(problems) > 0 {
				t.Errorf("a Node's name must be a valid label: %s: %v", name, problems)
			}
			if other, taken := seen[name]; taken {
				t.Errorf("two pools share the name %s: %s/%s and %s", name, pool.Namespace, pool.UID, other)
			}
			seen[name] = pool.Namespace + "/" + string(pool.UID)
		}
	}
	if len(MachineName(namedPool("a", "x", "u"), math.MaxInt64)) > 63 {
		t.Error("even the last ordinal fits behind a short name")
	}
}

func TestRevisionName(t *testing.T) {
	if got, want := RevisionName("workers", "abc"), "workers-abc"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
