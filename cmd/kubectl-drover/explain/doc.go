// Package explain has the commands that say what Drover does about a pool, and why: `kubectl drover plan` and `kubectl drover why`.
// They decide nothing themselves: they observe and plan as the manager does, with its own code, and only read.
package explain
