// Whose custom resource definitions deploy/cluster/crds/fetch takes; go.sum holds the hash of each module. No Go code of
// theirs is built, so nothing that they need is listed.
module firebreak.invalid/deploy/cluster/crds

go 1.24.0

require (
	github.com/cilium/cilium v1.20.2
	istio.io/api v1.31.1
	sigs.k8s.io/network-policy-api v0.2.0
)
