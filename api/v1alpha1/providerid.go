package v1alpha1

import "k8s.io/apimachinery/pkg/runtime/schema"

// ProviderIDPrefix is what the provider IDs of a kind of ours begin with, "<namespace>/<name>" being the rest, or empty for
// another provider's kind: those name their machines as they like.
func ProviderIDPrefix(kind schema.GroupKind) string {
	if kind.Group != GroupVersion.Group {
		return ""
	}
	switch kind.Kind {
	case "LocalMachine":
		return LocalProviderIDPrefix
	case "HostMachine":
		return HostProviderIDPrefix
	}
	return ""
}
