// Package stop reads the one switch that stops the fleet: an annotation on a ConfigMap beside the manager, whose value is why.
//
// While it is there no controller begins what disrupts a node, whatever the cause; how each does its part, it says itself. What
// disrupts nobody goes on: machines that are lacking are made, and what is over is tidied up. It is a ConfigMap and not a flag, as it
// has to take hold at once, and whoever throws it need not be able to restart the manager.
package stop
