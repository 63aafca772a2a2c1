package join

import "strings"

// maxNote is how much of a text an event has room for: the API server refuses notes of more than 1,024 bytes.
const maxNote = 1000

// Note cuts a text to what fits an event. Much of it may come from a machine, which must not be able to keep an event
// from being written by making its own part long.
func Note(text string) string {
	text = strings.ToValidUTF8(text, "?")
	if len(text) <= maxNote {
		return text
	}
	return strings.ToValidUTF8(text[:maxNote], "") + "…"
}
