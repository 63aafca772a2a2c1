package supervise

import (
	"io"
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/drover-dev/drover/agent/redact"
)

const (
	// tailBytes is the most of a log that a status shows; the API's own bound.
	tailBytes = 2048
	// tailWindow is how much of the log's end is read for it: more, so that a secret that begins before the tail
	// is still seen as one.
	tailWindow = 16 << 10
)

// logTail is the redacted end of what a process wrote since it was started, when its log had the size offset.
func logTail(path string, offset int64) string { return tidyTail(logEnd(path, offset, tailWindow)) }

// logEnd is the end of what a process wrote since its log had the size offset; as much as a window at most, and empty for
// what cannot be read.
func logEnd(path string, offset, window int64) string {
	if path == "" {
		return ""
	}
	file, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil {
		return ""
	}
	if info.Size() < offset {
		offset = 0 // it was rotated
	}
	from := max(offset, info.Size()-window)
	data, err := io.ReadAll(io.NewSectionReader(file, from, info.Size()-from))
	if err != nil {
		return ""
	}
	return string(data)
}

// logWindow is how much of a log's end is looked through for a line.
const logWindow = 256 << 10

// LastLine is the last line with a text in it that a process has written since it was started, redacted; empty when there is
// none.
func (s *Supervisor) LastLine(name, text string) string {
	s.mu.Lock()
	var rec record
	if u := s.units[name]; u != nil {
		rec = u.record
	}
	s.mu.Unlock()
	data := logEnd(rec.LogFile, rec.LogOffset, logWindow)
	lines := strings.Split(redact.Text(strings.ToValidUTF8(data, "?")), "\n")
	for _, line := range slices.Backward(lines) {
		if strings.Contains(line, text) {
			return line
		}
	}
	return ""
}

// tidyTail redacts text and cuts it to the last whole lines that fit a status.
func tidyTail(text string) string {
	text = strings.TrimSpace(redact.Text(strings.ToValidUTF8(text, "?")))
	text = strings.ReplaceAll(text, "\x00", "")
	if len(text) <= tailBytes {
		return text
	}
	text = text[len(text)-tailBytes:]
	if _, rest, found := strings.Cut(text, "\n"); found {
		return rest
	}
	for !utf8.RuneStart(text[0]) {
		text = text[1:]
	}
	return text
}
