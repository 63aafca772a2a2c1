package network

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/nftables"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/internal/atomicfile"
)

// What others change of the rules and of the CNI configuration is put back by the next run, or left where the pool says so;
// what the node is to have anew is made all the same.
func TestWhatOthersChangeIsLeftWhereThePolicySaysSo(t *testing.T) {
	for policy, repairs := range map[v1alpha1.DriftPolicy]bool{"": true, v1alpha1.DriftRepair: true, v1alpha1.DriftReport: false, v1alpha1.DriftIgnore: false} {
		t.Run("policy "+string(policy), func(t *testing.T) {
			inNamespace(t)
			m := manager(t)
			c := config()
			c.Drift = v1alpha1.DriftSettings{Files: policy, Rules: policy, Sysctls: policy}
			m.Configure(c)
			m.SetNodes(three())
			apply(t, m)
			path := filepath.Join(m.CNIDir, ConflistName)
			m.CheckCNI(func(checked string, want []byte, mode os.FileMode) {
				if checked != path || !atomicfile.Holds(path, want, mode) {
					t.Errorf("%s is to hold %q", checked, want)
				}
			})
			conn, err := nftables.New()
			noError(t, err)
			conn.FlushTable(&nftables.Table{Name: Table, Family: nftables.TableFamilyINet})
			noError(t, conn.Flush())
			noError(t, os.Remove(path))
			apply(t, m)
			_, err = os.Stat(path)
			found, faultsErr := m.faults()
			noError(t, faultsErr)
			if back := err == nil; back != repairs {
				t.Errorf("the CNI configuration was put back: %t, want %t", back, repairs)
			}
			if told := len(found) > 0; told != (policy == v1alpha1.DriftReport) {
				t.Errorf("of the rules is told %v", found)
			}
			noError(t, os.RemoveAll(path))
			c.Of = "another generation"
			m.Configure(c)
			apply(t, m)
			if _, err := os.Stat(path); err != nil {
				t.Errorf("what another generation has was not written: %v", err)
			}
			noError(t, os.Remove(path))
			mtu := int32(1300)
			c.Settings.MTU = &mtu
			m.Configure(c)
			apply(t, m)
			if _, err := os.Stat(path); err != nil {
				t.Errorf("what is another one now was not written: %v", err)
			}
		})
	}
}

func noError(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
