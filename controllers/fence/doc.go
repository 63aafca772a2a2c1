// Package fence keeps out the machines that were released and run on all the same.
//
// A released machine may not have heard of it: nobody could reach it, or its provider did not end it. Its certificates
// hold until they expire, as Kubernetes revokes none, so its kubelet can register its Node again, and pods would be
// scheduled onto a machine that nobody looks after.
//
// Two things keep it out. The [List] has the names of the nodes whose Machines are gone; an admission policy
// (config/admission/fenced_nodes.yaml) lets no kubelet of such a name make its Node or ask for a certificate. And
// [Reconciler] removes a Node of Drover's that stands for no Machine, whatever let it in: it takes new pods from it, waits
// a moment, looks again at what is true now, and deletes it. A name is never used twice, so it never comes off the list
// but to make room.
package fence
