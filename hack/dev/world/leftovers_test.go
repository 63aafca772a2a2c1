package world

import "testing"

func TestOurs(t *testing.T) {
	tests := map[string]struct {
		reason string
		link   string
		want   bool
	}{
		"the bridge":               {reason: "The world makes it.", link: "drover0", want: true},
		"a machine's":              {reason: "It is named by a digest.", link: "drv0123456789ab", want: true},
		"another bridge":           {reason: "Somebody calls theirs nearly the same.", link: "drv-lan"},
		"a virtual machine's":      {reason: "It is attached to the world's bridge.", link: "drover-vm0a1b2c", want: true},
		"a tap":                    {reason: "It is a virtual machine's of somebody else's.", link: "drvtap0"},
		"one that is no digest":    {reason: "It has the length of a machine's.", link: "drvwireguard-01"},
		"one that only ends alike": {reason: "The prefix is ours as well.", link: "xdrv0123456789a"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := ours(tc.link); got != tc.want {
				t.Errorf("ours(%s) = %t, want %t: %s", tc.link, got, tc.want, tc.reason)
			}
		})
	}
}
