package app

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A manager on the definitions of an older release says which one is missing, whichever that is.
func TestEveryKindOfOursIsLookedForAtTheStart(t *testing.T) {
	files, err := filepath.Glob("../../../config/crd/fleet.drover.dev_*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("there are no definitions: %v", err)
	}
	var defined []string
	for _, file := range files {
		_, plural, _ := strings.Cut(strings.TrimSuffix(filepath.Base(file), ".yaml"), "_")
		defined = append(defined, plural)
	}
	looked := slices.Sorted(slices.Values(ourKinds))
	slices.Sort(defined)
	if !slices.Equal(looked, defined) {
		t.Errorf("the manager looks for %v at its start, and %v are defined", looked, defined)
	}
}
