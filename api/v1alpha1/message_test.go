package v1alpha1

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestShorten(t *testing.T) {
	for name, tc := range map[string]struct{ reason, text, want string }{
		"fits":           {"what fits is left alone", "12345678", "12345678"},
		"long":           {"the mark at the end counts", "123456789", "12345…"},
		"through a rune": {"a character is not cut in two", "1234ü6789", "1234…"},
		"no text":        {"any bytes may come from a machine", "a\xffb", "a?b"},
		"nor when long":  {"any number of them", strings.Repeat("\xff\xfeä", 9), "?ä?…"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Shorten(tc.text, 8); got != tc.want {
				t.Errorf("%s: got %q, want %q", tc.reason, got, tc.want)
			}
		})
	}
}

func TestBoundMessageIsWhatTheAPITakes(t *testing.T) {
	for name, tc := range map[string]struct{ message, want string }{
		"short":   {"all is well", "all is well"},
		"exact":   {strings.Repeat("x", MaxMessage), strings.Repeat("x", MaxMessage)},
		"long":    {strings.Repeat("x", MaxMessage+1), strings.Repeat("x", MaxMessage-3) + "…"},
		"cut":     {strings.Repeat("é", MaxMessage), strings.Repeat("é", (MaxMessage-3)/2) + "…"},
		"no text": {"from \xff to \xfe", "from ? to ?"},
	} {
		if got := BoundMessage(tc.message); got != tc.want || !utf8.ValidString(got) {
			t.Errorf("%s: got %q, want %q", name, got, tc.want)
		}
	}
}
