package supervise

import (
	"testing"

	"k8s.io/utils/ptr"
)

func TestAnUpgradeOfTheAgentRestartsNothing(t *testing.T) {
	p := Process{
		Name: "kubelet", Version: "v1.36.3", Path: "/bin/kubelet", Args: []string{"--config=x"}, Env: []string{"LANG=C.UTF-8"},
		LogFile: "/var/log/drover/kubelet.log", DependsOn: []string{"containerd"}, ConfigDigest: "abc", OOMScoreAdj: ptr.To(-999),
	}
	const recorded = "f65170adee00cfb14e7375a9b2c8380def914d1cd1881b6a82d8e5833befdabc"
	if got := p.Digest(); got != recorded {
		t.Errorf("the digest is %s, and earlier agents recorded %s", got, recorded)
	}
}
