// Package vm tests Drover on a machine of its own: a stock Debian 12 with systemd and cgroup v2, in qemu, beside the demo
// world. Both are made by the commands that make demo and make vm use. The tests share the one machine, as its boot takes
// half a minute: each leaves it as it found it, which a Snapshot proves.
//
// It needs root and the programs in .drover/bin; make test builds them first.
package vm
