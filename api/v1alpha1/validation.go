package v1alpha1

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Bounds and messages that several kinds share; the markers on the types repeat them.
const (
	maxASN = 4294967294 // the last number, 4294967295, is reserved (RFC 7300)

	needPrefix  = "must be a prefix: write an address and a length, such as 10.244.0.0/16 or fd00:10:244::/56"
	needAddress = "must be an IP address without a zone: write it such as 192.0.2.1 or 2001:db8::1"
	needEntry   = "must have at least one entry: write one, or leave the field out"
)

var (
	secretName = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`)
	labelKey   = regexp.MustCompile(`^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$`)
)

func validateRange[T int32 | int64](path *field.Path, value *T, least, most T) field.ErrorList {
	if value == nil || (*value >= least && *value <= most) {
		return nil
	}
	return field.ErrorList{field.Invalid(path, *value, fmt.Sprintf("must be %d to %d", least, most))}
}

func validateEnum[T ~string](path *field.Path, value T, allowed ...T) field.ErrorList {
	for _, a := range allowed {
		if value == a {
			return nil
		}
	}
	return field.ErrorList{field.NotSupported(path, value, allowed)}
}

// validateOptionalEnum takes the empty string as absent.
func validateOptionalEnum[T ~string](path *field.Path, value T, allowed ...T) field.ErrorList {
	if value == "" {
		return nil
	}
	return validateEnum(path, value, allowed...)
}

// validateEnumSet judges a list in which each allowed value may stand once. A nil list is
// absent; an empty one was written, and says nothing.
func validateEnumSet[T ~string](path *field.Path, values []T, allowed ...T) field.ErrorList {
	if values == nil {
		return nil
	}
	if len(values) == 0 {
		return field.ErrorList{field.Invalid(path, values, needEntry)}
	}
	var errs field.ErrorList
	seen := sets.New[T]()
	for i, value := range values {
		if seen.Has(value) {
			errs = append(errs, field.Duplicate(path.Index(i), value))
		}
		seen.Insert(value)
		errs = append(errs, validateEnum(path.Index(i), value, allowed...)...)
	}
	return errs
}

func validatePrefixes(path *field.Path, values []string, most int) field.ErrorList {
	var errs field.ErrorList
	if len(values) > most {
		errs = append(errs, field.TooMany(path, len(values), most))
	}
	seen := sets.New[string]()
	for i, value := range values {
		if seen.Has(value) {
			errs = append(errs, field.Duplicate(path.Index(i), value))
		}
		seen.Insert(value)
		errs = append(errs, validatePrefix(path.Index(i), value)...)
	}
	return errs
}

// validateSomePrefixes is validatePrefixes for a list that must not be empty when it is
// there, because absent means something else.
func validateSomePrefixes(path *field.Path, values []string, most int) field.ErrorList {
	if values != nil && len(values) == 0 {
		return field.ErrorList{field.Invalid(path, values, needEntry)}
	}
	return validatePrefixes(path, values, most)
}

func validatePrefix(path *field.Path, value string) field.ErrorList {
	prefix, err := parsePrefix(value)
	if err != nil {
		return field.ErrorList{field.Invalid(path, value, needPrefix)}
	}
	if masked := prefix.Masked(); prefix != masked {
		return field.ErrorList{field.Invalid(path, value, "must have no host bits: write "+masked.String())}
	}
	return nil
}

// parsePrefix reads what CEL's cidr() reads.
func parsePrefix(value string) (netip.Prefix, error) {
	prefix, err := netip.ParsePrefix(value)
	if err != nil {
		return netip.Prefix{}, err
	}
	if prefix.Addr().Is4In6() {
		return netip.Prefix{}, fmt.Errorf("%q is an IPv4-mapped IPv6 prefix", value)
	}
	return prefix, nil
}

// parseAddress reads what CEL's ip() reads.
func parseAddress(value string) (netip.Addr, error) {
	addr, err := netip.ParseAddr(value)
	if err != nil {
		return netip.Addr{}, err
	}
	if addr.Zone() != "" || addr.Is4In6() {
		return netip.Addr{}, fmt.Errorf("%q has a zone or is IPv4-mapped", value)
	}
	return addr, nil
}

// validateAddress judges an address that is present; needUnicast is the message for one
// that cannot belong to a single host.
func validateAddress(path *field.Path, value, needUnicast string) field.ErrorList {
	addr, err := parseAddress(value)
	if err != nil {
		return field.ErrorList{field.Invalid(path, value, needAddress)}
	}
	if !addr.IsGlobalUnicast() && !addr.IsLinkLocalUnicast() && !addr.IsLoopback() {
		return field.ErrorList{field.Invalid(path, value, needUnicast)}
	}
	return nil
}

// validateInterface takes the empty string as absent.
func validateInterface(path *field.Path, name string) field.ErrorList {
	forbidden := func(r rune) bool { return r <= ' ' || r > '~' || r == '/' || r == ':' } // as the kernel's dev_valid_name, in ASCII
	if len(name) <= 15 && !strings.ContainsFunc(name, forbidden) && name != "." && name != ".." {
		return nil
	}
	return field.ErrorList{field.Invalid(path, name, "must be the name of a network interface: write it as the node shows it, such as eth1")}
}

func validateLabelKey(path *field.Path, key string) field.ErrorList {
	if len(key) > 317 || !labelKey.MatchString(key) {
		return field.ErrorList{field.Invalid(path, key, "must be a key as labels and taints have it: write it such as example.com/asn")}
	}
	return nil
}

func (b *BFD) validate(path *field.Path) field.ErrorList {
	if b == nil {
		return nil
	}
	errs := validateRange(path.Child("receiveIntervalMilliseconds"), b.ReceiveIntervalMilliseconds, 50, 60000)
	errs = append(errs, validateRange(path.Child("transmitIntervalMilliseconds"), b.TransmitIntervalMilliseconds, 50, 60000)...)
	return append(errs, validateRange(path.Child("detectMultiplier"), b.DetectMultiplier, 2, 255)...)
}

func validateSecretReference(path *field.Path, ref *SecretReference) field.ErrorList {
	if ref == nil {
		return nil
	}
	path = path.Child("name")
	switch {
	case ref.Name == "":
		return field.ErrorList{field.Required(path, "write the name of a Secret in the agent's namespace")}
	case len(ref.Name) > 253 || !secretName.MatchString(ref.Name):
		return field.ErrorList{field.Invalid(path, ref.Name, "must be the name of a Secret: lower-case letters, digits, - and ., at most 253")}
	}
	return nil
}

// validateSelector goes further than the schema, which does not look into selectors.
func validateSelector(path *field.Path, selector *metav1.LabelSelector) field.ErrorList {
	return metav1validation.ValidateLabelSelector(selector, metav1validation.LabelSelectorValidationOptions{}, path)
}
