package v1alpha1_test

import (
	"reflect"
	"testing"

	"github.com/drover-dev/drover/api/v1alpha1"
)

func TestFactsHaveOneHashUntilOneOfThemChanges(t *testing.T) {
	full := func() v1alpha1.ClusterSettings {
		return v1alpha1.ClusterSettings{
			Server: "https://a:6443", ServerCA: "ca", ClientCA: "ca", DNSServers: []string{"10.0.0.10"}, DNSDomain: "cluster.local",
			ServiceCIDRs: []string{"10.0.0.0/16"}, PodCIDRs: []string{"10.1.0.0/16"},
		}
	}
	seen := map[string]string{full().Hash(): "none"}
	facts := reflect.TypeFor[v1alpha1.ClusterSettings]()
	for i := range facts.NumField() {
		changed := full()
		field := reflect.ValueOf(&changed).Elem().Field(i)
		if field.IsZero() {
			t.Fatalf("give %s a value in this test", facts.Field(i).Name)
		}
		field.SetZero()
		if other, ok := seen[changed.Hash()]; ok {
			t.Errorf("a change of %s is not told from a change of %s", facts.Field(i).Name, other)
		}
		seen[changed.Hash()] = facts.Field(i).Name
	}
	empty := full()
	empty.DNSServers = []string{}
	absent := full()
	absent.DNSServers = nil
	if empty.Hash() != absent.Hash() {
		t.Error("an empty list is told from none")
	}
}
