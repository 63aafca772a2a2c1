// Package crds takes Cluster API's CustomResourceDefinitions from the module that go.mod pins and narrows them to what
// Drover's manager needs: the kinds its embedded reconcilers read, served in v1beta2 only. With one version there is
// nothing to convert, and with nothing to convert no conversion webhook. Each carries a label that says who installed
// it, by which the manager tells its own from those of a Cluster API that somebody else runs.
package crds
