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

// agentPath is where the tests put the agent on the machine.
const agentPath = "/root/drover-agent"

// putAgent copies the agent to the machine, until the test has ended.
func putAgent(t *testing.T, debian *Server) {
	t.Helper()
	debian.put(t, filepath.Join(debian.root, ".drover", "bin", "drover-agent"), agentPath)
	debian.atEnd(t, "rm -f "+agentPath)
}

func testPreflightKnowsAStockDebian(t *testing.T, debian *Server) {
	putAgent(t, debian)
	report := node.HostReport{}
	if err := json.Unmarshal([]byte(debian.run(t, agentPath+" preflight --output json")), &report); err != nil {
		t.Fatal(err)
	}
	if blocking := report.Blocking(); len(blocking) > 0 {
		t.Errorf("a stock Debian is refused: %v", blocking)
	}
	if got := report.Facts.CgroupVersion; got != 2 {
		t.Errorf("cgroup version %d, want 2", got)
	}
	if got := debian.run(t, "test -e /var/lib/drover && echo changed || echo untouched"); got != "untouched" {
		t.Errorf("the preflight left the machine %s", got)
	}
}

func testResetGivesBackTheMachineThatThereWas(t *testing.T, debian *Server) {
	putAgent(t, debian)

	// An agent that cannot reach its cluster has nevertheless prepared the machine for its components.
	document := node.Bootstrap{TypeMeta: metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: node.BootstrapKind},
		NodeName: debian.Name, Token: "abcdef.0123456789abcdef"}
	document.Spec.Version = "v1.36.3"
	document.Spec.Cluster = v1alpha1.ClusterSettings{Server: "https://10.88.0.1:6444", DNSDomain: "cluster.local",
		PodCIDRs: []string{"10.244.0.0/16"}, ServiceCIDRs: []string{"10.96.0.0/16"}}
	debian.putJSON(t, document, "/run/bootstrap.json")
	debian.run(t, agentPath+" install --bootstrap /run/bootstrap.json && rm /run/bootstrap.json")
	debian.awaitAnswer(t, "systemctl show --property=ActiveState drover-agent", "ActiveState=active")
	debian.awaitAnswer(t, "cat /run/drover/boot.json", `"reason"`)
	if got := debian.run(t, "stat -c %a /etc/drover/bootstrap.json"); got != "600" {
		t.Errorf("the bootstrap document has mode %s, want 600", got)
	}
	debian.run(t, "systemctl restart drover-agent")
	debian.awaitAnswer(t, "systemctl show --property=ActiveState drover-agent", "ActiveState=active")

	if got := debian.run(t, agentPath+" reset 2>&1"); !strings.Contains(got, "Nothing of Drover is left") {
		t.Errorf("reset ended with: %s", got)
	}
	debian.run(t, "rm "+agentPath)
	debian.isStock(t)
}
