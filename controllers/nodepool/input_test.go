package nodepool_test

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// mistake is something a user may get wrong in a pool, and what the refusal has to say.
type mistake struct {
	reason string
	edit   func(*v1alpha1.NodePool)
	want   string
}

// TestBadInput is refused when it is applied, with a sentence about the field.
func TestBadInput(t *testing.T) {
	cases := map[string]mistake{
		"negative replicas":       {"a pool cannot have fewer than no nodes", func(p *v1alpha1.NodePool) { p.Spec.Replicas = ptr.To[int32](-1) }, "spec.replicas"},
		"absurd replicas":         {"a typing mistake must not buy a million machines", func(p *v1alpha1.NodePool) { p.Spec.Replicas = ptr.To[int32](1_000_000) }, "spec.replicas"},
		"no time to start":        {"a machine needs some minutes", func(p *v1alpha1.NodePool) { p.Spec.NodeStartupTimeoutSeconds = ptr.To[int32](299) }, "spec.nodeStartupTimeoutSeconds"},
		"a week to start":         {"a token must not be good for ever", func(p *v1alpha1.NodePool) { p.Spec.NodeStartupTimeoutSeconds = ptr.To[int32](604800) }, "spec.nodeStartupTimeoutSeconds"},
		"version without v":       {"versions are spelled as Kubernetes spells them", func(p *v1alpha1.NodePool) { p.Spec.Template.Spec.Version = "1.36.3" }, "version"},
		"half a version":          {"a version has three numbers", func(p *v1alpha1.NodePool) { p.Spec.Template.Spec.Version = "v1.36" }, "version"},
		"template without a name": {"the reference names one object", func(p *v1alpha1.NodePool) { p.Spec.Template.Spec.InfrastructureRef.Name = "" }, "infrastructureRef.name"},
		"template's name":         {"names are spelled as Kubernetes spells them", func(p *v1alpha1.NodePool) { p.Spec.Template.Spec.InfrastructureRef.Name = "Small" }, "infrastructureRef.name"},
		"template's path":         {"a reference does not leave the namespace", func(p *v1alpha1.NodePool) { p.Spec.Template.Spec.InfrastructureRef.Name = "other/small" }, "infrastructureRef.name"},
		"template's version": {"a group has no version in it", func(p *v1alpha1.NodePool) {
			p.Spec.Template.Spec.InfrastructureRef.APIGroup = "fleet.drover.dev/v1alpha1"
		}, "infrastructureRef.apiGroup"},
		"template without a group": {"a kind is of a group", func(p *v1alpha1.NodePool) { p.Spec.Template.Spec.InfrastructureRef.APIGroup = "" }, "infrastructureRef.apiGroup"},
		"not a template":           {"the reference is to a template", func(p *v1alpha1.NodePool) { p.Spec.Template.Spec.InfrastructureRef.Kind = "LocalMachine" }, "infrastructureRef.kind"},
		"long name":                {"the pool's name is a label's value", func(p *v1alpha1.NodePool) { p.Name = strings.Repeat("a", 64) }, "at most 63"},
		"dotted name":              {"the pool's name begins the names of Nodes", func(p *v1alpha1.NodePool) { p.Name = "a.b" }, "at most 63"},

		"our own label":             {"labels of ours are not a user's", label("fleet.drover.dev/pool", "x"), "set by Drover"},
		"another's host name":       {"pods with local volumes find their Node by it", label("kubernetes.io/hostname", "database-0"), "for its kubelet to say"},
		"Cluster API's label":       {"Cluster API selects by its own", label("node.cluster.x-k8s.io/x", "x"), "set by Drover and Cluster API"},
		"long label":                {"Kubernetes would refuse it on every Node", label(longestName+"a", "x"), "1 to 63 letters"},
		"long label after a name":   {"so it would with a prefix", label("example.com/"+longestName+"a", "x"), "1 to 63 letters"},
		"long prefix":               {"a DNS name ends somewhere", label(longestPrefix+"a/x", "x"), "an optional DNS name"},
		"prefix with an empty part": {"it is no DNS name", label("example..com/x", "x"), "an optional DNS name"},
		"nothing after the prefix":  {"a label has a name", label("example.com/", "x"), "1 to 63 letters"},
		"nothing for a label":       {"a label has a name", label("", "x"), "1 to 63 letters"},
		"long label value":          {"it is bounded as names are", label("tier", longestName+"a"), "may not be more than 63"},
		"label value with a blank":  {"it has letters, digits and three marks", label("tier", "a b"), "should match"},

		"bad taint":      {"a taint has one of three effects", taint(v1alpha1.Taint{Key: "a", Effect: "Never"}), "effect"},
		"long taint":     {"Kubernetes would refuse it on every Node", taint(v1alpha1.Taint{Key: longestName + "a", Effect: "NoSchedule"}), "1 to 63 letters"},
		"taint's prefix": {"it is a DNS name", taint(v1alpha1.Taint{Key: "-/a", Effect: "NoSchedule"}), "an optional DNS name"},
		"taint's value":  {"it is bounded as names are", taint(v1alpha1.Taint{Key: "a", Value: v1alpha1.LabelValue(longestName + "a"), Effect: "NoSchedule"}), "may not be more than 63"},
		"two taints of one effect": {"a Node has one taint for a key and an effect", func(p *v1alpha1.NodePool) {
			p.Spec.Template.Spec.Taints = []v1alpha1.Taint{{Key: "a", Effect: "NoSchedule"}, {Key: "a", Value: "b", Effect: "NoSchedule"}}
		}, "Duplicate value"},
		"our own taint": {"taints of ours are not a user's", taint(v1alpha1.Taint{Key: "fleet.drover.dev/drain", Effect: "NoSchedule"}), "set by Drover"},
		"a Node's state": {"its controller and ours would undo each other's work for ever",
			taint(v1alpha1.Taint{Key: "node.kubernetes.io/unreachable", Effect: "NoExecute"}), "for Kubernetes to say"},
		"a cloud's taint": {"a cloud's controller takes it away", taint(v1alpha1.Taint{Key: "node.cloudprovider.kubernetes.io/uninitialized", Effect: "NoSchedule"}), "for Kubernetes to say"},
	}
	maps.Copy(cases, badSettings())
	maps.Copy(cases, badRollouts())
	maps.Copy(cases, badDrains())
	s := newSite(t)
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			pool := s.pool("workers", 1)
			tc.edit(pool)
			if err := s.Client.Create(t.Context(), pool); !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%s: got %v, want it refused for %q", tc.reason, err, tc.want)
			}
		})
	}
}

// The longest name of a label or a taint, and the longest DNS name before it.
var (
	longestName   = strings.Repeat("a", 63)
	longestPrefix = strings.Repeat("abc.", 63) + "a"
)

func label(key, value string) func(*v1alpha1.NodePool) {
	return func(p *v1alpha1.NodePool) {
		p.Spec.Template.Metadata.Labels = map[string]v1alpha1.LabelValue{key: v1alpha1.LabelValue(value)}
	}
}

func taint(one v1alpha1.Taint) func(*v1alpha1.NodePool) {
	return func(p *v1alpha1.NodePool) { p.Spec.Template.Spec.Taints = []v1alpha1.Taint{one} }
}

// TestGoodInput is let in, and by Kubernetes on a Node, too.
func TestGoodInput(t *testing.T) {
	labels := map[string]v1alpha1.LabelValue{
		longestPrefix + "/" + longestName: v1alpha1.LabelValue(longestName), "a": "", "A_b.c-d": "A_b.c-d",
		"node-role.kubernetes.io/web": "", "node-restriction.kubernetes.io/tier": "web", "topology.kubernetes.io/zone": "a",
	}
	taints := []v1alpha1.Taint{
		{Key: longestPrefix + "/" + longestName, Value: v1alpha1.LabelValue(longestName), Effect: "NoSchedule"},
		{Key: "node-role.kubernetes.io/web", Effect: "PreferNoSchedule"}, {Key: "a", Effect: "NoSchedule"}, {Key: "a", Effect: "NoExecute"},
	}
	kubelet := v1alpha1.KubeletSettings{
		SystemReserved: map[corev1.ResourceName]resource.Quantity{"cpu": resource.MustParse("0"), "memory": resource.MustParse("64Ti")},
		KubeReserved: map[corev1.ResourceName]resource.Quantity{
			"cpu": resource.MustParse("1024"), "memory": resource.MustParse("1.5Gi"), "ephemeral-storage": resource.MustParse("1Pi"), "pid": resource.MustParse("4194304"),
		},
		EvictionHard: map[string]v1alpha1.EvictionThreshold{
			"memory.available": "1.5Gi", "nodefs.available": "100%", "nodefs.inodesFree": "0%", "imagefs.available": "5.5%", "imagefs.inodesFree": "1",
			"containerfs.available": "1Ki", "containerfs.inodesFree": "99.9%", "pid.available": "10%",
		},
		ContainerLogMaxSize:  ptr.To(resource.MustParse("4Ki")),
		AllowedUnsafeSysctls: []string{"net.*", "net.core.somaxconn", "net/ipv4/conf/eth0.5/forwarding", "kernel.shm*", "kernel.shm_rmid_forced", "kernel.msgmax", "kernel.sem", "fs.mqueue.*"},
	}
	for i := len(labels); i < 64; i++ {
		labels[fmt.Sprintf("%s/%s%02d", longestPrefix, longestName[2:], i)] = "x"
	}
	for i := len(taints); i < 32; i++ {
		taints = append(taints, v1alpha1.Taint{Key: fmt.Sprintf("%s/%s%02d", longestPrefix, longestName[2:], i), Effect: "NoSchedule"})
	}
	s := newSite(t)
	pool := s.pool("workers", 0)
	pool.Spec.Template.Metadata.Labels, pool.Spec.Template.Spec.Taints = labels, taints
	pool.Spec.Template.Spec.Kubelet = kubelet
	pool.Spec.Template.Spec.Sysctls = map[string]v1alpha1.SysctlValue{"net.ipv4.ip_local_port_range": "1024 65535", "net/ipv4/conf/eth0.5/forwarding": "1"}
	s.create(pool)
	node := s.node("good-input")
	node.Labels = map[string]string{}
	for key, value := range labels {
		node.Labels[key] = string(value)
	}
	for _, one := range taints {
		node.Spec.Taints = append(node.Spec.Taints, corev1.Taint{Key: one.Key, Value: string(one.Value), Effect: one.Effect})
	}
	s.create(node)
}

// TestBadScale is refused when the scale subresource is written, too, as kubectl scale and autoscalers do.
func TestBadScale(t *testing.T) {
	s := newSite(t)
	pool := s.pool("workers", 0)
	s.create(pool)
	for _, replicas := range []int32{-1, 1_000_000} {
		scale := &autoscalingv1.Scale{ObjectMeta: metav1.ObjectMeta{Namespace: pool.Namespace, Name: pool.Name}, Spec: autoscalingv1.ScaleSpec{Replicas: replicas}}
		err := s.Client.SubResource("scale").Update(t.Context(), pool, client.WithSubResourceBody(scale))
		if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "replicas") {
			t.Errorf("%d replicas: got %v, want it refused", replicas, err)
		}
	}
}

func TestImmutableSpecs(t *testing.T) {
	s := newSite(t)
	b := bundle("immutable", "v1.1.1")
	s.create(b)
	b.Spec.KubernetesVersion = "v1.1.2"
	if err := s.Client.Update(t.Context(), b); !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "make a new NodeBundle") {
		t.Errorf("a bundle's spec stays what it is: %v", err)
	}
}

// TestLongestName makes a machine, whose name every other part can use.
func TestLongestName(t *testing.T) {
	s := newSite(t)
	s.startManager()
	s.create(s.pool(strings.Repeat("long-", 12)+"end", 1))
	s.eventually("the machine is made", func() error { return s.counts(1, 0) })
	if name := s.machines()[0].Name; len(name) > 63 || strings.Contains(name, "--") {
		t.Errorf("a Node's name has at most 63 characters: %s has %d", name, len(name))
	}
}
