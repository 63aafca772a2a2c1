// Package lookup finds what belongs to a Machine of a pool: its pool, its revision, and the Machine of a NodeAgent.
package lookup
