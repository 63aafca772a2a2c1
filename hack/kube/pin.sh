#!/usr/bin/env bash
# Pins a version of Kubernetes, and with it every module that it is built from:
#
#	hack/kube/pin.sh v1.37.1            versions/v1.37.1.mod and .sum, to build nodes of that version from
#	hack/kube/pin.sh v1.37.2 default    go.mod and go.sum, the version of the control plane and of the default bundle
#
# The programs' sources are the same for all: `go build -modfile=versions/v1.37.1.mod ./node`. Kubernetes names its
# staging modules by directories of its own repository, which a module that depends on it has to replace.
set -euo pipefail
cd "$(dirname "$0")"
version=${1:?want a version, such as v1.37.1}
[[ $version =~ ^v1\.[0-9]+\.[0-9]+$ ]] || { echo "$version is no released version of Kubernetes, such as v1.37.1" >&2; exit 1; }
file=versions/$version.mod
[ "${2:-}" != default ] || file=go.mod
export GOTOOLCHAIN=local

module=$(cd / && go mod download -json "k8s.io/kubernetes@$version") || { echo "$module" >&2; exit 1; }
upstream=$(sed -n 's/^\t"GoMod": "\(.*\)",\?$/\1/p' <<<"$module")
mkdir -p versions
trap 'rm -f versions/pin.mod versions/pin.sum' EXIT
rm -f versions/pin.sum
{
	echo "module $(sed -n 's/^module //p' go.mod)"
	grep '^go ' "$upstream"
	echo "require k8s.io/kubernetes $version"
	sed -n "s|^\t\(k8s.io/.*\) => ./staging/.*|replace \1 => \1 v0${version#v1}|p" "$upstream"
	printf 'tool %s\n' github.com/onsi/ginkgo/v2/ginkgo k8s.io/kubernetes/test/images/{agnhost,nonewprivs}
} >versions/pin.mod
go mod tidy -modfile=versions/pin.mod
[ "$file" != go.mod ] || rm -f "versions/$version".{mod,sum}
mv versions/pin.mod "$file"
mv versions/pin.sum "${file%.mod}.sum"
