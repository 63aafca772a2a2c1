// Package atomicfile writes files that are either the old one or the new one, whatever happens in between: a
// temporary file in the same directory, synced, renamed over the name, and the directory synced. A call that fails
// leaves nothing beside the file; what one that was killed left goes with a later call for the same name.
package atomicfile
