package network

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/userdata"
)

// hostPortTable and hostPortChain are where the portmap plugin has its rules, one for each port of a pod, with the pod's
// sandbox as its comment; see its portmap_nftables.go.
const (
	hostPortTable = "cni_hostport"
	hostPortChain = "hostports"
)

func (kernel) HostPorts() ([]string, error) {
	conn, err := nftables.New()
	if err != nil {
		return nil, fmt.Errorf("open nftables: %w", err)
	}
	var containers []string
	for _, family := range []nftables.TableFamily{nftables.TableFamilyIPv4, nftables.TableFamilyIPv6} {
		table := &nftables.Table{Name: hostPortTable, Family: family}
		rules, err := conn.GetRules(table, &nftables.Chain{Name: hostPortChain, Table: table}) // none where there is no such table
		if err != nil {
			return nil, fmt.Errorf("list the rules of the nftables table %s: %w", hostPortTable, err)
		}
		for _, rule := range rules {
			if container, ok := userdata.GetString(rule.UserData, userdata.TypeComment); ok {
				containers = append(containers, container)
			}
		}
	}
	return containers, nil
}

// confirmAfter is how long the rules of a host port must be gone. The plugin removes them a moment before a pod that ends is
// known to.
const confirmAfter = time.Second

// hostPortsLost are the pods whose ports of the node have led nowhere for a while, as text. It has those that it is not sure
// of looked at again.
func (m *Manager) hostPortsLost(now time.Time) ([]string, error) {
	pods, err := m.attachments()
	pods = slices.DeleteFunc(pods, func(a attachment) bool { return len(a.hostPorts) == 0 })
	var there []string
	if err == nil && len(pods) > 0 {
		there, err = m.Kernel.HostPorts()
	}
	if err != nil {
		return nil, err
	}
	m.read.Lock()
	defer m.read.Unlock()
	before := m.gone
	m.gone = map[string]time.Time{}
	var lost []string
	for _, a := range pods {
		if slices.Contains(there, a.container) {
			continue
		}
		since, seen := before[a.container]
		if !seen {
			since = now
		}
		m.gone[a.container] = since
		if now.Sub(since) >= confirmAfter {
			lost = append(lost, fmt.Sprintf("%s (%s)", a.pod, strings.Join(a.hostPorts, ", ")))
		} else {
			time.AfterFunc(confirmAfter, m.kick)
		}
	}
	return lost, nil
}
