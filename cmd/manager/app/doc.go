// Package app puts the manager together: flags, scheme, caches, endpoints and controllers. It decides nothing; each
// controller is in a package of its own below controllers.
package app
