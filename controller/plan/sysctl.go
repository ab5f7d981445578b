package plan

import (
	"fmt"

	"github.com/fairway-bgp/fairway/api/v1alpha1"
	"github.com/fairway-bgp/fairway/bgp"
)

// Sysctl is a setting of this node's kernel that is not as it should be.
type Sysctl struct {
	Name        string // as sysctl(8) calls it
	Family      bgp.Family
	Value, Want string
	Required    bool // without it packets of the family for others end at this node
	Why         string
}

// String tells what is wrong and why it matters.
func (s Sysctl) String() string {
	value := s.Value
	if value == "" {
		value = "missing"
	}
	return fmt.Sprintf("%s is %s, should be %s: %s", s.Name, value, s.Want, s.Why)
}

// checkSysctls keeps those settings that concern a family of this node, and says that
// nothing of a family is announced which the kernel does not forward: packets would come
// here and end here.
func (b *builder) checkSysctls() {
	for _, s := range b.local.Sysctls {
		if !b.nodeHas(s.Family) {
			continue
		}
		b.plan.Sysctls = append(b.plan.Sysctls, s)
		if s.Required {
			b.refuse(Ref{"Node", b.node.Name}, s.Family.String(), v1alpha1.ReasonForwardingDisabled, fmt.Sprintf(
				"%s is not %s, so nothing of %s is advertised; set it on the host, or let the agent do so by --set-sysctls", s.Name, s.Want, s.Family))
		}
	}
}

// nodeHas reports whether the node has an address or a pod CIDR of the family.
func (b *builder) nodeHas(family bgp.Family) bool {
	for _, a := range b.node.Addresses {
		if bgp.FamilyOf(a) == family {
			return true
		}
	}
	for _, p := range b.node.PodCIDRs {
		if bgp.FamilyOf(p.Addr()) == family {
			return true
		}
	}
	return false
}

// forwards reports whether this host forwards packets of the family for others.
func (l Local) forwards(family bgp.Family) bool {
	for _, s := range l.Sysctls {
		if s.Required && s.Family == family {
			return false
		}
	}
	return true
}
