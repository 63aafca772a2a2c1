// Package evictions reads what Cluster API says of a drain. Of the pods on a node that is drained, its Machine's condition
// Deleting and its drain helper tell in English only: which evictions were refused and by what stands in no field. Nobody but
// this package reads those words, and its tests hold it against those of the module that is built in.
package evictions
