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
	errs = append(errs, spec.validateAddresses(path)...)
	errs = append(errs, validateRange(path.Child("port"), spec.Port, 1, 65535)...)
	errs = append(errs, spec.validateASN(path)...)
	errs = append(errs, spec.Timers.validate(path.Child("timers"))...)
	errs = append(errs, spec.validatePassword(path.Child("passwordSecretRef"))...)
	errs = append(errs, spec.validateTTL(path.Child("ebgpMultihopTTL"))...)
	errs = append(errs, validateEnumSet(path.Child("families"), spec.Families, IPv4Unicast, IPv6Unicast)...)
	return append(errs, spec.Import.validate(path.Child("import", "allow"))...)
}

// ValidateUpdate is Validate for a new version of old: it also refuses to change what
// must not change while the object lives.
func (p *BGPPeer) ValidateUpdate(old *BGPPeer) field.ErrorList {
	errs := p.Validate()
	if old.Spec.Address != "" && p.Spec.Address != "" && old.Spec.Address != p.Spec.Address {
		errs = append(errs, field.Invalid(field.NewPath("spec", "address"), p.Spec.Address,
			"cannot be changed: make a new BGPPeer for the new address, then delete this one"))
	}
	return errs
}

func (s *BGPPeerSpec) validateAddresses(path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if s.Address == "" {
		errs = append(errs, field.Invalid(path, field.OmitValueType{}, "address must be set: write the router's IP address"))
	} else {
		errs = append(errs, validateAddress(path.Child("address"), s.Address,
			"must be the address of one router: write a unicast address such as 192.0.2.1 or 2001:db8::1")...)
	}
	if s.LocalAddress == "" {
		return errs
	}
	errs = append(errs, validateAddress(path.Child("localAddress"), s.LocalAddress,
		"must be an address of the node: write a unicast address such as 192.0.2.1 or 2001:db8::1")...)
	address, err := parseAddress(s.Address)
	local, localErr := parseAddress(s.LocalAddress)
	if err == nil && localErr == nil && address.Is4() != local.Is4() {
		errs = append(errs, field.Invalid(path.Child("localAddress"), s.LocalAddress,
			"localAddress must be of the same family as address: write both as IPv4 or both as IPv6"))
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
	return append(errs, validateOptionalEnum(path.Child("asnType"), s.ASNType, ASNExternal, ASNInternal)...)
}

func (s *BGPPeerSpec) validatePassword(path *field.Path) field.ErrorList {
	errs := validateSecretReference(path, s.PasswordSecretRef)
	address, err := parseAddress(s.Address)
	if s.PasswordSecretRef != nil && err == nil && address.Is6() && address.IsLinkLocalUnicast() {
		errs = append(errs, field.Invalid(path, field.OmitValueType{},
			"passwordSecretRef does not work with a link-local address: GoBGP v3 would ignore it; write a global or unique-local address, or leave the password out"))
	}
	return errs
}

func (s *BGPPeerSpec) validateTTL(path *field.Path) field.ErrorList {
	errs := validateRange(path, s.EBGPMultihopTTL, 2, 255)
	if s.EBGPMultihopTTL != nil && s.ASNType == ASNInternal {
		errs = append(errs, field.Invalid(path, *s.EBGPMultihopTTL,
			"ebgpMultihopTTL is for external peers: leave it out with asnType Internal, whose sessions may cross several hops anyway"))
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

func (i *PeerImport) validate(path *field.Path) field.ErrorList {
	if i.Allow == nil {
		return nil
	}
	var errs field.ErrorList
	if len(*i.Allow) > 256 {
		errs = append(errs, field.TooMany(path, len(*i.Allow), 256))
	}
	for n := range *i.Allow {
		errs = append(errs, (*i.Allow)[n].validate(path.Index(n))...)
	}
	return errs
}

func (r *ImportRule) validate(path *field.Path) field.ErrorList {
	errs := validatePrefix(path.Child("prefix"), r.Prefix)
	least, most := path.Child("minLength"), path.Child("maxLength")
	errs = append(errs, validateRange(least, r.MinLength, 0, 128)...)
	errs = append(errs, validateRange(most, r.MaxLength, 0, 128)...)
	if r.MinLength != nil && r.MaxLength != nil && *r.MinLength > *r.MaxLength {
		errs = append(errs, field.Invalid(least, *r.MinLength, "minLength must not be greater than maxLength"))
	}
	prefix, err := parsePrefix(r.Prefix)
	if err != nil {
		return errs
	}
	errs = append(errs, validateLength(path, "minLength", r.MinLength, prefix)...)
	return append(errs, validateLength(path, "maxLength", r.MaxLength, prefix)...)
}

func validateLength(rule *field.Path, name string, length *int32, prefix netip.Prefix) field.ErrorList {
	switch {
	case length == nil:
		return nil
	case int(*length) < prefix.Bits():
		return field.ErrorList{field.Invalid(rule.Child(name), *length, name+" must not be shorter than the prefix: write at least the prefix's own length")}
	case prefix.Addr().Is4() && *length > 32:
		return field.ErrorList{field.Invalid(rule.Child(name), *length, name+" must be at most 32 for an IPv4 prefix")}
	}
	return nil
}

// Bounds returns what the rule says once its absent lengths are filled in: it accepts
// prefixes inside prefix whose length is from least to most, both included. With neither
// length set that is the prefix itself alone. It fails where Validate does for the prefix.
func (r ImportRule) Bounds() (prefix netip.Prefix, least, most uint8, err error) {
	prefix, err = parsePrefix(r.Prefix)
	if err != nil {
		return netip.Prefix{}, 0, 0, err
	}
	least, most = uint8(prefix.Bits()), uint8(prefix.Bits())
	if r.MinLength != nil {
		least, most = uint8(*r.MinLength), uint8(prefix.Addr().BitLen())
	}
	if r.MaxLength != nil {
		most = uint8(*r.MaxLength)
	}
	return prefix.Masked(), least, most, nil
}
