package machine

import (
	"errors"
	"net/netip"
	"testing"
	"time"
)

func TestPick(t *testing.T) {
	addr := netip.MustParseAddr
	bridge := Bridge{Name: "drover0", Address: netip.MustParsePrefix("10.88.0.1/24")}
	small := Range{First: addr("10.88.0.10"), Last: addr("10.88.0.11")}
	full, wrong := &Problem{NoAddress: true}, &Problem{}
	cases := map[string]struct {
		reason string
		r      Range
		bridge Bridge
		taken  []string
		want   string
		fails  *Problem
	}{
		"Default":      {"The tenth of the subnet is the first.", Range{}, bridge, nil, "10.88.0.10/24", nil},
		"Next":         {"The lowest free one is next.", Range{}, bridge, []string{"10.88.0.10", "10.88.0.12"}, "10.88.0.11/24", nil},
		"Exhausted":    {"Both are taken.", small, bridge, []string{"10.88.0.10", "10.88.0.11"}, "", full},
		"SkipsBridge":  {"The bridge's own is nobody else's.", Range{First: addr("10.88.0.1"), Last: addr("10.88.0.2")}, bridge, nil, "10.88.0.2/24", nil},
		"OtherSubnet":  {"Machines could not reach the bridge.", Range{First: addr("10.99.0.1"), Last: addr("10.99.0.2")}, bridge, nil, "", wrong},
		"UpsideDown":   {"The last is before the first.", Range{First: addr("10.88.0.9"), Last: addr("10.88.0.8")}, bridge, nil, "", wrong},
		"Broadcast":    {"The broadcast address is no machine's.", Range{First: addr("10.88.0.9"), Last: addr("10.88.0.255")}, bridge, nil, "", wrong},
		"TinySubnet":   {"The default range does not fit.", Range{}, Bridge{Name: "tiny", Address: netip.MustParsePrefix("10.88.0.1/29")}, nil, "", wrong},
		"WiderSubnet":  {"The prefix length is the bridge's.", Range{}, Bridge{Name: "wide", Address: netip.MustParsePrefix("10.64.3.7/12")}, nil, "10.64.0.10/12", nil},
		"LastOfARange": {"Both ends are in the range.", small, bridge, []string{"10.88.0.10"}, "10.88.0.11/24", nil},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			taken := map[netip.Addr]string{}
			for _, a := range tc.taken {
				taken[addr(a)] = "x"
			}
			got, err := pick(tc.r, tc.bridge, taken)
			var problem *Problem
			switch {
			case tc.fails != nil && (!errors.As(err, &problem) || problem.NoAddress != tc.fails.NoAddress || problem.Message == ""):
				t.Errorf("%s Got %s, %v; want %+v", tc.reason, got, err, tc.fails)
			case tc.fails == nil && (err != nil || got.String() != tc.want):
				t.Errorf("%s Got %s, %v; want %s", tc.reason, got, err, tc.want)
			}
		})
	}
}

func TestBootDelay(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	ago := func(seconds ...int) (times []time.Time) {
		for _, s := range seconds {
			times = append(times, now.Add(-time.Duration(s)*time.Second))
		}
		return times
	}
	cases := map[string]struct {
		reason string
		record record
		want   time.Duration
	}{
		"New":      {"A first boot does not wait.", record{}, 0},
		"Once":     {"Nor does the first after an accident.", record{LastBoots: ago(1)}, 0},
		"Twice":    {"The next one waits a second from the last.", record{LastBoots: ago(9, 0)}, time.Second},
		"Often":    {"Then twice as long each time.", record{LastBoots: ago(40, 30, 20, 2)}, 2 * time.Second},
		"Most":     {"At most a minute.", record{LastBoots: ago(90, 80, 70, 60, 50, 40, 30, 0)}, time.Minute},
		"Old":      {"Boots long ago do not count.", record{LastBoots: ago(4000, 3000, 2000)}, 0},
		"SetBack":  {"Boots of a time to come were before the clock was set back.", record{LastBoots: ago(-86400, -90000)}, 0},
		"SetMixed": {"Those since then count as ever.", record{LastBoots: ago(-90000, 9, 1, -3600, 0)}, 2 * time.Second},
		"AskedFor": {"A reboot that was asked for is at once.", record{LastBoots: ago(3, 2, 1), Asked: true}, 0},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := tc.record.bootDelay(now); got != tc.want {
				t.Errorf("%s Got %s, want %s", tc.reason, got, tc.want)
			}
		})
	}
}
