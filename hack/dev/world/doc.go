// Package world starts and ends a development world: a control plane and Drover's manager as processes of this host.
//
// Up records each deed in the journal before doing it and Down undoes them, newest first, so that a run that was
// killed anywhere can be cleaned up. What a local machine leaves is found by its names besides: its cgroups, links and
// mounts are all called after Drover.
package world
