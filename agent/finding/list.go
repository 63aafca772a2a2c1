package finding

import "fmt"

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
