// Package atomicfile writes files that are either the old one or the new one, whatever happens in between: a
// temporary file in the same directory, synced, renamed over the name, and the directory synced.
package atomicfile
