// Package join decides who may become which node.
//
// A machine has one join token, good for one certificate request, and a bootstrap Secret with that token in it.
// TokenReconciler makes both for a Machine that may still join, and takes the token back when the machine has joined
// or goes. ApprovalReconciler answers the certificate requests of agents and kubelets. It decides by a chain of pure
// checks over the request and what is known about the machine it names: each check looks at one field and says,
// if it fails, which one. What is not a request of a machine of ours is left to other approvers.
package join
