package v1alpha1

import (
	"net/netip"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Validate returns all that is wrong with the object by itself, and nothing when an API
// server would take it as a new object. Defaults need not be set.
func (p *BGPPeer) Validate() field.ErrorList {
	path, spec := field.NewPath("spec"), &p.Spec
	var errs field.ErrorList
	if p.Name == MeshPeer {
		errs = append(errs, field.Invalid(field.NewPath("metadata", "name"), p.Name,
			"metadata.name must not be mesh: that name stands for the sessions between nodes; write another"))
	}
	errs = append(errs, validateSelector(path.Child("nodeSelector"), spec.NodeSelector)...)
	errs = append(errs, spec.validateForm(path)...)
	errs = append(errs, spec.validateLocal(path)...)
	errs = append(errs, validateRange(path.Child("port"), spec.Port, 1, 65535)...)
	errs = append(errs, spec.validateASN(path)...)
	errs = append(errs, spec.Timers.validate(path.Child("timers"))...)
	errs = append(errs, spec.validatePassword(path.Child("passwordSecretRef"))...)
	errs = append(errs, spec.validateTTL(path)...)
	errs = append(errs, validateEnumSet(path.Child("families"), spec.Families, IPv4Unicast, IPv6Unicast)...)
	errs = append(errs, spec.BFD.validate(path.Child("bfd"))...)
	if spec.AddPaths != nil {
		errs = append(errs, validateRange(path.Child("addPaths", "sendMax"), spec.AddPaths.SendMax, 0, 16)...)
	}
	errs = append(errs, validateRange(path.Child("allowOwnAS"), spec.AllowOwnAS, 0, 10)...)
	errs = append(errs, spec.Import.validate(path.Child("import"))...)
	return append(errs, spec.validateAdmin(path)...)
}

// ValidateUpdate is Validate for a new version of old: it also refuses to change what
// must not change while the object lives, which is how the router is named and no more.
func (p *BGPPeer) ValidateUpdate(old *BGPPeer) field.ErrorList {
	errs := p.Validate()
	if p.Spec.forms() != old.Spec.forms() {
		errs = append(errs, field.Invalid(field.NewPath("spec"), field.OmitValueType{},
			"which of address, interface, defaultGateway and listenRange is set cannot be changed: make a new BGPPeer that names the router the other way, then delete this one"))
	}
	return errs
}

// forms says for each way to name the router whether it is used.
func (s *BGPPeerSpec) forms() [4]bool {
	return [4]bool{s.Address != "", s.Interface != "", s.DefaultGateway != nil, s.ListenRange != ""}
}

func (s *BGPPeerSpec) validateForm(path *field.Path) field.ErrorList {
	var errs field.ErrorList
	used := 0
	for _, is := range s.forms() {
		if is {
			used++
		}
	}
	if used != 1 {
		errs = append(errs, field.Invalid(path, field.OmitValueType{},
			"exactly one of address, interface, defaultGateway and listenRange must be set: write address: 192.0.2.1 for a router with a fixed address, interface: eth1 for the router at the other end of a link, defaultGateway: {family: IPv4} for what the default route points to, or listenRange: 192.0.2.0/24 for any router in a network"))
	}
	if s.Address != "" {
		errs = append(errs, validateAddress(path.Child("address"), s.Address,
			"must be the address of one router: write a unicast address such as 192.0.2.1 or 2001:db8::1")...)
	}
	if s.DefaultGateway != nil {
		errs = append(errs, validateEnum(path.Child("defaultGateway", "family"), s.DefaultGateway.Family, IPv4, IPv6)...)
	}
	if s.ListenRange != "" {
		errs = append(errs, validatePrefix(path.Child("listenRange"), s.ListenRange)...)
	}
	return append(errs, validateInterface(path.Child("interface"), s.Interface)...)
}

func (s *BGPPeerSpec) validateLocal(path *field.Path) field.ErrorList {
	errs := validateInterface(path.Child("localInterface"), s.LocalInterface)
	if s.LocalAddress != "" {
		errs = append(errs, validateAddress(path.Child("localAddress"), s.LocalAddress,
			"must be an address of the node: write a unicast address such as 192.0.2.1 or 2001:db8::1")...)
		errs = append(errs, s.validateLocalFamily(path.Child("localAddress"))...)
	}
	if s.LocalAddress != "" && s.LocalInterface != "" {
		errs = append(errs, field.Invalid(path.Child("localInterface"), s.LocalInterface,
			"at most one of localAddress and localInterface must be set: write the address, or the interface that has it"))
	}
	if s.Interface != "" && (s.LocalAddress != "" || s.LocalInterface != "") {
		errs = append(errs, field.Invalid(path.Child("interface"), s.Interface,
			"localAddress and localInterface do not work with interface, which fixes both: leave them out"))
	}
	return errs
}

// validateLocalFamily compares the family of localAddress with the router's. What does not
// parse is refused elsewhere.
func (s *BGPPeerSpec) validateLocalFamily(path *field.Path) field.ErrorList {
	local, err := parseAddress(s.LocalAddress)
	if err != nil {
		return nil
	}
	differs := func(message string) field.ErrorList {
		return field.ErrorList{field.Invalid(path, s.LocalAddress, message)}
	}
	var errs field.ErrorList
	if address, err := parseAddress(s.Address); err == nil && address.Is4() != local.Is4() {
		errs = append(errs, differs("localAddress must be of the same family as address: write both as IPv4 or both as IPv6")...)
	}
	if prefix, err := parsePrefix(s.ListenRange); err == nil && prefix.Addr().Is4() != local.Is4() {
		errs = append(errs, differs("localAddress must be of the same family as listenRange: write both as IPv4 or both as IPv6")...)
	}
	if s.DefaultGateway != nil && (s.DefaultGateway.Family == IPv4) != local.Is4() {
		errs = append(errs, differs("localAddress must be of the same family as defaultGateway: write an address of the family that defaultGateway.family names")...)
	}
	return errs
}

func (s *BGPPeerSpec) validateASN(path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if (s.ASN == nil) == (s.ASNType == "") {
		errs = append(errs, field.Invalid(path, field.OmitValueType{},
			"exactly one of asn and asnType must be set: write the router's number as asn, or asnType: Internal when it has ours"))
	}
	errs = append(errs, validateRange(path.Child("asn"), s.ASN, 1, maxASN)...)
	errs = append(errs, validateOptionalEnum(path.Child("asnType"), s.ASNType, ASNExternal, ASNInternal)...)
	if s.LocalASN == nil {
		return errs
	}
	path = path.Child("localASN")
	errs = append(errs, validateRange(path, s.LocalASN, 1, maxASN)...)
	if s.ASNType == ASNInternal {
		errs = append(errs, field.Invalid(path, *s.LocalASN,
			"localASN is for external peers, and asnType Internal means a router with our own number: leave localASN out, or write the router's number as asn"))
	}
	if s.ASN != nil && *s.ASN == *s.LocalASN {
		errs = append(errs, field.Invalid(path, *s.LocalASN,
			"localASN must not be the router's own number: write the number that the router expects of us, or leave it out"))
	}
	return errs
}

// linkLocal6 holds the addresses whose sessions GoBGP v3 leaves without a password.
var linkLocal6 = netip.MustParsePrefix("fe80::/10")

func (s *BGPPeerSpec) validatePassword(path *field.Path) field.ErrorList {
	errs := validateSecretReference(path, s.PasswordSecretRef)
	if s.PasswordSecretRef == nil {
		return errs
	}
	refuse := func(message string) { errs = append(errs, field.Invalid(path, field.OmitValueType{}, message)) }
	if address, err := parseAddress(s.Address); err == nil && linkLocal6.Contains(address) {
		refuse("passwordSecretRef does not work with a link-local address: GoBGP v3 would ignore it; write a global or unique-local address, or leave the password out")
	}
	if s.Interface != "" {
		refuse("passwordSecretRef does not work with interface, whose router has a link-local address: GoBGP v3 would ignore it; write the router's global or unique-local address as address, or leave the password out")
	}
	if prefix, err := parsePrefix(s.ListenRange); err == nil && linkLocal6.Overlaps(prefix) {
		refuse("passwordSecretRef does not work with a listenRange that holds link-local addresses: GoBGP v3 would ignore it; write a range of global or unique-local addresses, or leave the password out")
	}
	return errs
}

func (s *BGPPeerSpec) validateTTL(path *field.Path) field.ErrorList {
	multihop, security := path.Child("ebgpMultihopTTL"), path.Child("ttlSecurityHops")
	errs := validateRange(security, s.TTLSecurityHops, 1, 254)
	if s.EBGPMultihopTTL == nil {
		return errs
	}
	errs = append(errs, validateRange(multihop, s.EBGPMultihopTTL, 2, 255)...)
	if s.ASNType == ASNInternal {
		errs = append(errs, field.Invalid(multihop, *s.EBGPMultihopTTL,
			"ebgpMultihopTTL is for external peers: leave it out with asnType Internal, whose sessions may cross several hops anyway"))
	}
	if s.Interface != "" || s.DefaultGateway != nil {
		errs = append(errs, field.Invalid(multihop, *s.EBGPMultihopTTL,
			"ebgpMultihopTTL is for routers that are not on a shared link: leave it out with interface and defaultGateway"))
	}
	if s.TTLSecurityHops != nil {
		errs = append(errs, field.Invalid(security, *s.TTLSecurityHops,
			"at most one of ebgpMultihopTTL and ttlSecurityHops must be set: write ttlSecurityHops where the router sends with a time to live of 255 (RFC 5082), ebgpMultihopTTL where it does not"))
	}
	return errs
}

func (s *BGPPeerSpec) validateAdmin(path *field.Path) field.ErrorList {
	errs := validateOptionalEnum(path.Child("adminState"), s.AdminState, AdminUp, AdminDown)
	if len(s.AdminMessage) > 128 {
		errs = append(errs, field.Invalid(path.Child("adminMessage"), s.AdminMessage, "must be at most 128 bytes of UTF-8: write less"))
	}
	return errs
}

func (t *PeerTimers) validate(path *field.Path) field.ErrorList {
	var errs field.ErrorList
	hold := int32(defaultHoldTimeSeconds)
	if t.HoldTimeSeconds != nil {
		hold = *t.HoldTimeSeconds
	}
	if hold < 3 || hold > 65535 {
		errs = append(errs, field.Invalid(path.Child("holdTimeSeconds"), hold,
			"must be 3 to 65535: 0 (no keepalives) is refused because GoBGP v3 cannot hold such a session; write 90"))
	}
	keepalive := path.Child("keepaliveTimeSeconds")
	errs = append(errs, validateRange(keepalive, t.KeepaliveTimeSeconds, 1, 65535/3)...)
	if t.KeepaliveTimeSeconds != nil && int64(*t.KeepaliveTimeSeconds)*3 > int64(hold) {
		errs = append(errs, field.Invalid(keepalive, *t.KeepaliveTimeSeconds,
			"keepaliveTimeSeconds must be at most a third of holdTimeSeconds: write less, or leave it out to get a third"))
	}
	return append(errs, validateRange(path.Child("connectRetrySeconds"), t.ConnectRetrySeconds, 1, 65535)...)
}
