package progress

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// After makes p go on from steps that hack/step.sh did and noted at path: on the first line when their run began, in
// microseconds since 1970, on every other one a step's seconds and its name, with a tab between.
func (p *Printer) After(path string) error {
	raw, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read the steps done before: %w", err)
	}
	lines := strings.Split(strings.TrimSpace(string(raw)), "\n")
	began, err := strconv.ParseInt(lines[0], 10, 64)
	if err != nil {
		return fmt.Errorf("read the steps done before, %s: %w", path, err)
	}
	var steps []Done
	for _, line := range lines[1:] {
		took, name, _ := strings.Cut(line, "\t")
		duration, err := time.ParseDuration(took + "s")
		if err != nil {
			return fmt.Errorf("read the steps done before, %s: %w", path, err)
		}
		steps = append(steps, Done{Name: name, Took: duration})
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.start, p.steps = time.UnixMicro(began), append(steps, p.steps...)
	return nil
}
