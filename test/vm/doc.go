// Package vm tests Drover on machines of their own: stock Debian 12 with systemd and cgroup v2, in qemu, beside the demo
// world. All are made by the commands that make demo and make vm use. The tests share two machines, as a boot takes half a
// minute: each leaves its machine as it found it, which a Snapshot proves.
//
// It needs root and the programs in .drover/bin; make test builds them first.
package vm
