package v1alpha1_test

import (
	"testing"

	"github.com/drover-dev/drover/api/v1alpha1"
)

func TestTheLastErrorIsWhatAComponentSaidLast(t *testing.T) {
	for _, c := range []struct{ reason, tail, want string }{
		{"nothing was logged", "", ""},
		{"no line is an error", "starting\nstopping\n", "stopping"},
		{"the kubelet says more after its error", "I0101 00:00:00.1 1 a.go:1] up\nE0101 00:00:00.2 1 b.go:2] bad reservation\nI0101 00:00:00.3 1 c.go:3] bye", "E0101 00:00:00.2 1 b.go:2] bad reservation"},
		{"the last of two errors", "E0101 one\nF0101 two", "F0101 two"},
		{"a word with an E is none", "E0101 one\nEnd of it", "E0101 one"},
		{"containerd's", "time=x level=fatal msg=\"no socket\"\ntime=y level=info msg=bye", "time=x level=fatal msg=\"no socket\""},
		{"it is cut", "E0101 0123456789012345678901234567890123456789", "E0101 0123456789012…"},
	} {
		exit := &v1alpha1.ComponentExit{LogTail: c.tail}
		if got := exit.LastWords(22); c.want != got && exit.LastWords(200) != c.want {
			t.Errorf("%s: got %q, want %q", c.reason, got, c.want)
		}
	}
	if got := (*v1alpha1.ComponentExit)(nil).LastWords(22); got != "" {
		t.Errorf("nothing ended, and it said %q", got)
	}
}
