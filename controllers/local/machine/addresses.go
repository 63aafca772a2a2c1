package machine

import (
	"fmt"
	"net/netip"
	"path/filepath"
)

// Range is the addresses that machines on a bridge may get, both ends included. Zero ends are defaults.
type Range struct{ First, Last netip.Addr }

// The default range leaves the subnet's first addresses to gateways and servers, its last ones to load balancers.
const (
	defaultFirst = 10
	defaultLast  = 5
)

// resolve fills in the defaults and checks the range against the bridge's subnet.
func (r Range) resolve(bridge Bridge) (Range, error) {
	subnet := bridge.Address.Masked()
	broadcast := broadcastOf(subnet)
	if !r.First.IsValid() {
		r.First = step(subnet.Addr(), defaultFirst)
	}
	if !r.Last.IsValid() {
		r.Last = step(broadcast, -defaultLast)
	}
	if !subnet.Contains(r.First) || !subnet.Contains(r.Last) || r.First == subnet.Addr() || r.Last == broadcast {
		return r, unmakeable(fmt.Sprintf("The address range %s–%s is not within the subnet %s of the bridge %s: set spec.network.firstAddress and lastAddress in it.", r.First, r.Last, subnet, bridge.Name))
	}
	if r.Last.Less(r.First) {
		return r, unmakeable(fmt.Sprintf("The address range %s–%s is empty: set spec.network.firstAddress below lastAddress.", r.First, r.Last))
	}
	return r, nil
}

// pick returns the lowest address of the range that is free. taken has the addresses of all machines there are.
func pick(r Range, bridge Bridge, taken map[netip.Addr]string) (netip.Prefix, error) {
	r, err := r.resolve(bridge)
	if err != nil {
		return netip.Prefix{}, err
	}
	for a := r.First; !r.Last.Less(a); a = a.Next() {
		if _, used := taken[a]; !used && a != bridge.Address.Addr() {
			return netip.PrefixFrom(a, bridge.Address.Bits()), nil
		}
	}
	return netip.Prefix{}, &Problem{NoAddress: true,
		Message: fmt.Sprintf("Every address of %s–%s on the bridge %s is taken: delete a machine or give the template a wider range.", r.First, r.Last, bridge.Name)}
}

// takenAddresses reads the record of every machine below root. An unreadable one is an error: its address could
// otherwise be given out again.
func takenAddresses(root string) (map[netip.Addr]string, error) {
	records, err := filepath.Glob(filepath.Join(root, "*", "*", "record.json"))
	if err != nil {
		return nil, fmt.Errorf("list the machines: %w", err)
	}
	taken := map[netip.Addr]string{}
	for _, path := range records {
		r, err := loadRecord(path)
		if err != nil {
			return nil, err
		}
		if r == nil || r.Address == "" {
			continue
		}
		prefix, err := netip.ParsePrefix(r.Address)
		if err != nil {
			return nil, fmt.Errorf("read the machine's record %s: %w", path, err)
		}
		taken[prefix.Addr()] = path
	}
	return taken, nil
}

func broadcastOf(p netip.Prefix) netip.Addr {
	a := p.Masked().Addr().As4()
	for bit := p.Bits(); bit < 32; bit++ {
		a[bit/8] |= 1 << (7 - bit%8)
	}
	return netip.AddrFrom4(a)
}

func step(a netip.Addr, by int) netip.Addr {
	for ; by > 0; by-- {
		a = a.Next()
	}
	for ; by < 0; by++ {
		a = a.Prev()
	}
	return a
}
