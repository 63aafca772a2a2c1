// Package service is the agent as a service of a machine: it has systemd run the agent, sees to it that one runs at a
// time, ends it for a reset, and takes it out of systemd's hands again. What the agent does is no matter of this package.
package service
