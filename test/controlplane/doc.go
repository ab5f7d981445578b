// Package controlplane gives a test a real Kubernetes control plane: etcd and
// kube-apiserver, with RBAC and node authorization on, as processes of the test.
//
// It keeps these true: the processes end with the test, also when the test is
// killed; the server that answers is the one that was started, because each
// control plane has a certificate authority of its own; and any number of
// control planes run side by side.
//
// Neither root nor a network beyond loopback is needed once kube-apiserver is
// built (package binaries does that on first use). There is no controller
// manager: new namespaces get no default service account, deleted namespaces
// stay Terminating, and Nodes get no pod CIDRs unless the test writes them.
package controlplane
