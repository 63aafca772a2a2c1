package v1alpha1

import "strings"

// MaxMessage is the most bytes that Drover writes into the message of a condition or of a finding, and what the API
// server allows for an event's note. The API counts characters of messages; bytes are never fewer. Part of a message
// may come from a machine, which must not be able to keep it from being written by making its part long.
const MaxMessage = 1024

// BoundMessage is a message that the API takes.
func BoundMessage(message string) string { return Shorten(message, MaxMessage) }

// Shorten cuts a text, which may hold any bytes, to valid UTF-8 of at most so many bytes. One that was cut ends with "…".
func Shorten(text string, most int) string {
	const ellipsis = "…"
	text = strings.ToValidUTF8(text, "?")
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most-len(ellipsis)], "") + ellipsis
}
