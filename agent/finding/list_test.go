package finding

import (
	"fmt"
	"strings"
	"testing"
)

func TestListCountsWhatHasNoRoom(t *testing.T) {
	var items []string
	for i := range 100 {
		items = append(items, fmt.Sprintf("net.some.parameter.%d", i))
	}
	got := List(items)
	if !strings.HasPrefix(got, "net.some.parameter.0, net.some.parameter.1, ") || !strings.HasSuffix(got, " and 74 more") || len(got) > maxListed+20 {
		t.Errorf("got %d bytes: %s", len(got), got)
	}
	if got := List([]string{"a", "b"}); got != "a, b" {
		t.Errorf("got %q", got)
	}
}
