//go:build tools

// Package tools names what deploy/cluster/build builds, so that go.mod and go.sum hold it and all it needs.
package tools

import (
	_ "go.etcd.io/etcd/server/v3"
	_ "k8s.io/kubernetes/cmd/kube-apiserver"
)
