// Package audit counts the writes of one user in a log that kube-apiserver keeps, by resource and verb.
package audit
