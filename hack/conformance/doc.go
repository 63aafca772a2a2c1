// Command conformance runs upstream's conformance tests against a development world that is up.
//
//	conformance images  make stand-ins for the images that the tests use, for the artifact endpoint
//	conformance run     let the tests run, tell which failed, and fail unless each is in known.yaml
//
// The tests themselves are a program of their own, built in hack/kube from Kubernetes' module.
package main
