package v1alpha1

import (
	"math"
	"net/netip"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

func (i *PeerImport) validate(path *field.Path) field.ErrorList {
	errs := validateRange(path.Child("maxPrefixes"), i.MaxPrefixes, 1, math.MaxInt32)
	errs = append(errs, validateRange(path.Child("maxPrefixesRestartSeconds"), i.MaxPrefixesRestartSeconds, 1, 65535)...)
	errs = append(errs, validateRange(path.Child("localPref"), i.LocalPref, 0, math.MaxUint32)...)
	errs = append(errs, i.validateAction(path)...)
	if i.Allow == nil {
		return errs
	}
	path = path.Child("allow")
	if len(*i.Allow) > 256 {
		errs = append(errs, field.TooMany(path, len(*i.Allow), 256))
	}
	for n := range *i.Allow {
		errs = append(errs, (*i.Allow)[n].validate(path.Index(n))...)
	}
	return errs
}

func (i *PeerImport) validateAction(path *field.Path) field.ErrorList {
	errs := validateOptionalEnum(path.Child("maxPrefixesAction"), i.MaxPrefixesAction, MaxPrefixesWarn, MaxPrefixesShutdown)
	if i.MaxPrefixesAction == MaxPrefixesShutdown && i.MaxPrefixes == nil {
		errs = append(errs, field.Invalid(path.Child("maxPrefixesAction"), i.MaxPrefixesAction,
			"maxPrefixesAction Shutdown needs maxPrefixes: write how many prefixes of a family the router may tell us, or maxPrefixesAction: Warn"))
	}
	if i.MaxPrefixesRestartSeconds != nil && i.MaxPrefixesAction != MaxPrefixesShutdown {
		errs = append(errs, field.Invalid(path.Child("maxPrefixesRestartSeconds"), *i.MaxPrefixesRestartSeconds,
			"maxPrefixesRestartSeconds needs maxPrefixesAction Shutdown, because Warn ends no session: write maxPrefixesAction: Shutdown, or leave maxPrefixesRestartSeconds out"))
	}
	return errs
}

func (r *ImportRule) validate(path *field.Path) field.ErrorList {
	errs := validatePrefix(path.Child("prefix"), r.Prefix)
	least, most := path.Child("minLength"), path.Child("maxLength")
	errs = append(errs, validateRange(least, r.MinLength, 0, 128)...)
	errs = append(errs, validateRange(most, r.MaxLength, 0, 128)...)
	if r.MinLength != nil && r.MaxLength != nil && *r.MinLength > *r.MaxLength {
		errs = append(errs, field.Invalid(least, *r.MinLength, "minLength must not be greater than maxLength: write the shorter of the two lengths as minLength"))
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
		return field.ErrorList{field.Invalid(rule.Child(name), *length, name+" must be at most 32 for an IPv4 prefix: write a length from the prefix's own to 32")}
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
