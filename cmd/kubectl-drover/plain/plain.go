// Package plain makes text harmless to a terminal.
package plain

import (
	"strings"
	"unicode"
)

// Text is text on one line without what a terminal obeys: agents write most of it, and one may be an attacker's.
func Text(s string) string {
	return strings.Join(strings.Fields(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
			return ' '
		}
		return r
	}, s)), " ")
}
