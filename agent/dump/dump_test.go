package dump

import (
	"errors"
	"fmt"
	"testing"

	"github.com/vishvananda/netlink"
)

func TestAnInterruptedDumpIsRepeated(t *testing.T) {
	torn := fmt.Errorf("list: %w", netlink.ErrDumpInterrupted)
	denied := errors.New("permission denied")
	for name, c := range map[string]struct {
		reason string
		err    error
		until  int // the try from which on there is no err
		calls  int
		want   error
	}{
		"quiet":        {"what was read in one go is taken", torn, 1, 1, nil},
		"one change":   {"some entries may be missing: it is read again", torn, 2, 2, nil},
		"only changes": {"nobody waits for a table that never rests", torn, tries + 1, tries, torn},
		"denied":       {"another error does not go away", denied, 2, 1, denied},
	} {
		t.Run(name, func(t *testing.T) {
			calls := 0
			got, err := Whole(func() ([]int, error) {
				if calls++; calls < c.until {
					return []int{calls}, c.err
				}
				return []int{calls}, nil
			})
			if calls != c.calls || !errors.Is(err, c.want) || len(got) != 1 || got[0] != c.calls {
				t.Errorf("%s: got %v, %v after %d tries; want %v after %d", c.reason, got, err, calls, c.want, c.calls)
			}
		})
	}
}
