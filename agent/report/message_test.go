package report

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestBoundedIsWhatTheAPITakes(t *testing.T) {
	for name, c := range map[string]struct{ message, want string }{
		"short":   {"all is well", "all is well"},
		"exact":   {strings.Repeat("x", MaxMessage), strings.Repeat("x", MaxMessage)},
		"long":    {strings.Repeat("x", MaxMessage+1), strings.Repeat("x", MaxMessage-3) + "..."},
		"cut":     {strings.Repeat("é", MaxMessage), strings.Repeat("é", (MaxMessage-3)/2) + "..."},
		"no text": {"from \xff to \xfe", "from � to �"},
	} {
		got := Bounded(c.message)
		if got != c.want || !utf8.ValidString(got) {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

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
