// Package version says which build of Drover a program is.
package version

// Version is set when a binary is linked: -ldflags "-X github.com/drover-dev/drover/version.Version=v0.1.0".
var Version = "v0.0.0-dev"
