// Package caching says what the manager's one client reads from its cache and what that cache holds. Every controller
// in the process shares both, Cluster API's reconcilers too: what is left out here, none of them sees.
package caching
