package snapshot

import (
	"fmt"
	"net/netip"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/fairway-bgp/fairway/api/v1alpha1"
	"github.com/fairway-bgp/fairway/bgp"
)

// PasswordKey is the key of a Secret that holds a session's password.
const PasswordKey = "password"

// maxPasswordBytes is what TCP_MD5SIG takes (TCP_MD5SIG_MAXKEYLEN).
const maxPasswordBytes = 80

// NodeFrom trims a Node. What does not parse is left out and named in Problems.
func NodeFrom(in *corev1.Node) *Node {
	out := &Node{Name: strings.Clone(in.Name), Created: in.CreationTimestamp.Time, Labels: LabelsFrom(in.Labels)}
	for key, value := range in.Annotations {
		if strings.HasPrefix(key, v1alpha1.AnnotationPrefix) {
			if out.Annotations == nil {
				out.Annotations = map[string]string{}
			}
			out.Annotations[key] = value
		}
	}
	for _, a := range in.Status.Addresses {
		if a.Type != corev1.NodeInternalIP {
			continue
		}
		addr, err := netip.ParseAddr(a.Address)
		if err != nil || addr.Zone() != "" || addr.IsUnspecified() {
			out.Problems = append(out.Problems, fmt.Sprintf("InternalIP %q is not an IP address", a.Address))
			continue
		}
		out.Addresses = append(out.Addresses, addr.Unmap())
	}
	for _, s := range podCIDRs(in) {
		prefix, err := netip.ParsePrefix(s)
		if err != nil {
			out.Problems = append(out.Problems, fmt.Sprintf("podCIDR %q is not a prefix", s))
			continue
		}
		out.PodCIDRs = append(out.PodCIDRs, prefix.Masked())
	}
	return out
}

func podCIDRs(in *corev1.Node) []string {
	if len(in.Spec.PodCIDRs) == 0 && in.Spec.PodCIDR != "" {
		return []string{in.Spec.PodCIDR}
	}
	return in.Spec.PodCIDRs
}

// PasswordFrom reads a session's password from a Secret.
func PasswordFrom(in *corev1.Secret) Password {
	value, ok := in.Data[PasswordKey]
	if !ok {
		if s, plain := in.StringData[PasswordKey]; plain { // a manifest, not yet through an API server
			value, ok = []byte(s), true
		}
	}
	switch {
	case !ok:
		return Password{Problem: fmt.Sprintf("has no key %q", PasswordKey)}
	case len(value) == 0:
		return Password{Problem: fmt.Sprintf("key %q is empty", PasswordKey)}
	case len(value) > maxPasswordBytes:
		return Password{Problem: fmt.Sprintf("key %q is longer than the %d bytes of TCP MD5", PasswordKey, maxPasswordBytes)}
	}
	return Password{Value: bgp.Secret(value)}
}

// ServiceCIDRsFrom returns the prefixes of a ServiceCIDR object; what does not parse is left out.
func ServiceCIDRsFrom(in *networkingv1.ServiceCIDR) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range in.Spec.CIDRs {
		if prefix, err := netip.ParsePrefix(s); err == nil {
			out = append(out, prefix.Masked())
		}
	}
	return out
}
