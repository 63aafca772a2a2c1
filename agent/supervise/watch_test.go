package supervise

import (
	"testing"
	"time"
)

func TestAProcessThatTakesLongIsAskedLessOftenWhetherItIsReady(t *testing.T) {
	for waited, want := range map[time.Duration]time.Duration{
		0:                      readyEvery,
		100 * time.Millisecond: readyEvery,
		2 * time.Second:        200 * time.Millisecond,
		time.Minute:            readySlowEvery,
	} {
		if got := askAgain(waited); got != want {
			t.Errorf("after %s it is asked again in %s, want %s", waited, got, want)
		}
	}
}
