package balancer

import (
	"cmp"
	"hash/fnv"
	"slices"
)

// Order sorts addresses into the order that a node prefers: always the same for one node, and each address is the first of as many
// nodes as any other.
func Order(node string, addresses []string) []string {
	rank := func(address string) uint64 {
		hash := fnv.New64a()
		_, _ = hash.Write([]byte(node + " " + address)) // never fails
		return mix(hash.Sum64())
	}
	sorted := slices.Clone(addresses)
	slices.SortFunc(sorted, func(x, y string) int { return cmp.Or(cmp.Compare(rank(x), rank(y)), cmp.Compare(x, y)) })
	return slices.Compact(sorted)
}

// mix has each bit depend on all others, which those of FNV do not for texts that differ in their end alone.
func mix(x uint64) uint64 {
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}
