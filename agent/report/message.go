package report

import (
	"fmt"
	"strings"
)

// MaxMessage is the API's bound on a message, of a finding as of a condition. The API counts characters; bytes are
// never fewer.
const MaxMessage = 1024

// Bounded is a message that the API takes: valid UTF-8, its end cut off where it is too long.
func Bounded(message string) string {
	message = strings.ToValidUTF8(message, "�")
	if len(message) > MaxMessage {
		message = strings.ToValidUTF8(message[:MaxMessage-3], "") + "..."
	}
	return message
}

// maxListed bounds a list within a message, so that what the message says to do about it has room.
const maxListed = 600

// List joins items with commas. Those that make it too long for a message are counted only.
func List(items []string) string {
	text := ""
	for i, item := range items {
		switch {
		case i == 0:
			text = item
		case len(text)+len(item) > maxListed:
			return fmt.Sprintf("%s and %d more", text, len(items)-i)
		default:
			text += ", " + item
		}
	}
	return text
}
