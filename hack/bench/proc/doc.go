// Package proc reads what the kernel tells about processes: who started whom, when, and what they cost.
package proc
