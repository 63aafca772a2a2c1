package v1alpha1

import (
	"regexp"
	"strings"
)

// complains matches a line of a component's log that is an error: by klog's header, as the kubelet's and kube-proxy's are,
// or by the level in containerd's.
var complains = regexp.MustCompile(`^[EF]\d{4} |\blevel=(error|fatal|panic)\b`)

// LastWords is the last error among what the component logged before it ended, or, where there is none, the last line. It
// has at most so many bytes; it is empty where nothing was logged.
func (e *ComponentExit) LastWords(most int) string {
	if e == nil {
		return ""
	}
	lines := strings.Split(strings.TrimSpace(e.LogTail), "\n")
	words := lines[len(lines)-1]
	for _, line := range lines {
		if complains.MatchString(line) {
			words = line
		}
	}
	return Shorten(strings.TrimSpace(words), most)
}
