// Package consistency tells a reconciler when its cache has yet to show what the reconciler itself wrote, so that no
// decision rests on less than is known. Cluster API's util/controller/consistency.go has the same idea.
//
// Objects is for objects that a reconciler writes one by one, Children for an owner whose children it makes and deletes, and
// Statuses for those that others may write as well.
package consistency
