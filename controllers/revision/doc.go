// Package revision says what a revision of a pool's template is: when two templates are one.
//
// It is what the user wrote, without what the API server put in where he wrote nothing; the content of the infrastructure
// template that he named; and the digests of the bundle. So nobody's nodes are changed by an upgrade of Drover that brings
// settings with defaults, by a bundle that moves to another registry or gets another architecture, or by a template made
// anew as it was.
//
// A template is compared with each stored revision (a ControllerRevision) by the way that its hash was made in: those of
// an earlier Drover count for what they are.
package revision
