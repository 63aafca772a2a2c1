package main

import "testing"

func TestAWrongLogLevelIsRefused(t *testing.T) {
	if _, err := newLogger("loud"); err == nil {
		t.Error("loud is no log level")
	}
}
