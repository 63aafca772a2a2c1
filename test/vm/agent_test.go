package vm

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/drover-dev/drover/api/node"
	"github.com/drover-dev/drover/api/v1alpha1"
)

const program = "/root/drover-agent"

func TestPreflightKnowsAStockDebian(t *testing.T) {
	put(t, filepath.Join(root, ".drover", "bin", "drover-agent"), program)
	report := node.HostReport{}
	if err := json.Unmarshal([]byte(on(t, program+" preflight --output json")), &report); err != nil {
		t.Fatal(err)
	}
	if blocking := report.Blocking(); len(blocking) > 0 {
		t.Errorf("a stock Debian is refused: %v", blocking)
	}
	if got := report.Facts.CgroupVersion; got != 2 {
		t.Errorf("cgroup version %d, want 2", got)
	}
	if got := on(t, "test -e /var/lib/drover && echo changed || echo untouched"); got != "untouched" {
		t.Errorf("the preflight left the machine %s", got)
	}
}

func TestResetGivesBackTheMachineThatThereWas(t *testing.T) {
	put(t, filepath.Join(root, ".drover", "bin", "drover-agent"), program)
	before := on(t, inventory)

	// An agent that cannot reach its cluster has nevertheless prepared the machine for its components.
	document := node.Bootstrap{TypeMeta: metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: node.BootstrapKind},
		NodeName: name, Token: "abcdef.0123456789abcdef"}
	document.Spec.Version = "v1.36.3"
	document.Spec.Cluster = v1alpha1.ClusterSettings{Server: "https://10.89.7.1:6443", DNSDomain: "cluster.local",
		PodCIDRs: []string{"10.244.0.0/16"}, ServiceCIDRs: []string{"10.96.0.0/16"}}
	putJSON(t, document, "/tmp/bootstrap.json")
	on(t, program+" install --bootstrap /tmp/bootstrap.json")
	eventually(t, "systemctl is-active --quiet drover-agent && echo it runs", "it runs")
	eventually(t, "cat /run/drover/boot.json", `"reason"`)
	if got := on(t, "stat -c %a /etc/drover/bootstrap.json"); got != "600" {
		t.Errorf("the bootstrap document has mode %s, want 600", got)
	}
	on(t, "systemctl restart drover-agent")
	eventually(t, "systemctl is-active --quiet drover-agent && echo it runs", "it runs")

	if got := on(t, program+" reset 2>&1"); !strings.Contains(got, "Nothing of Drover is left") {
		t.Errorf("reset ended with: %s", got)
	}
	if left := difference(before, on(t, inventory)); len(left) > 0 {
		t.Errorf("the machine is not what it was before:\n%s", strings.Join(left, "\n"))
	}
}
