package machineinit

import "testing"

func TestDroppable(t *testing.T) {
	cases := map[string]struct {
		reason string
		line   string
		want   bool
	}{
		"Text":   {"Code is read from the file again.", "00400000-00c8d000 r-xp 00000000 fe:00 1234 /usr/local/bin/drover-agent\n", true},
		"Rodata": {"So are constants.", "00c8d000-01a00000 r--p 0088d000 fe:00 1234 /usr/local/bin/drover-agent\n", true},
		"Data":   {"Variables would lose their values.", "01a00000-01a80000 rw-p 01600000 fe:00 1234 /usr/local/bin/drover-agent\n", false},
		"Heap":   {"The heap has no file.", "c000000000-c000400000 rw-p 00000000 00:00 0\n", false},
		"Vdso":   {"The kernel's own pages are no file's.", "7ffd0000-7ffd2000 r-xp 00000000 00:00 0 [vdso]\n", false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if start, end, got := droppable(tc.line); got != tc.want || got && start >= end {
				t.Errorf("%s Got %t (%x-%x), want %t", tc.reason, got, start, end, tc.want)
			}
		})
	}
}
