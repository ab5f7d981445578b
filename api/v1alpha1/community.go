package v1alpha1

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Community is an entry of attributes.communities, read.
//
// +kubebuilder:object:generate=false
type Community struct {
	// Large says which of the two it is.
	Large bool
	// Standard is a community of RFC 1997, the first number in the upper 16 bits.
	Standard uint32
	// GlobalAdmin, Local1 and Local2 are a large community (RFC 8092).
	GlobalAdmin, Local1, Local2 uint32
}

// wellKnown are the communities that have a name, of IANA's registry of well-known
// communities; left out are those that a speaker sets by itself or that mean something to
// VPNs alone.
var wellKnown = map[string]uint32{
	"graceful-shutdown":   0xFFFF0000, // RFC 8326
	"no-llgr":             0xFFFF0007, // RFC 9494
	"blackhole":           0xFFFF029A, // RFC 7999
	"no-export":           0xFFFFFF01, // RFC 1997
	"no-advertise":        0xFFFFFF02, // RFC 1997
	"no-export-subconfed": 0xFFFFFF03, // RFC 1997
	"no-peer":             0xFFFFFF04, // RFC 3765
}

const needCommunity = "must be a community: write it such as 65000:1, 65000:1:2 or no-export (the others: blackhole, graceful-shutdown, no-advertise, no-export-subconfed, no-llgr, no-peer)"

// ParseCommunity reads an entry of attributes.communities: two numbers from 0 to 65535,
// three from 0 to 4294967295 of which the first is less, or a name. Its error is the
// message that Validate has for it.
func ParseCommunity(text string) (Community, error) {
	if value, ok := wellKnown[text]; ok {
		return Community{Standard: value}, nil
	}
	parts := strings.Split(text, ":")
	switch len(parts) {
	case 2:
		n, ok := parseNumbers(parts, math.MaxUint16)
		if ok {
			return Community{Standard: n[0]<<16 | n[1]}, nil
		}
	case 3:
		// The greatest global administrator is reserved (RFC 8092, section 5), and
		// Fairway's speaker marks its own paths with it.
		n, ok := parseNumbers(parts, math.MaxUint32)
		if ok && n[0] != math.MaxUint32 {
			return Community{Large: true, GlobalAdmin: n[0], Local1: n[1], Local2: n[2]}, nil
		}
	}
	return Community{}, fmt.Errorf("%q %s", text, needCommunity)
}

// parseNumbers reads at most three numbers without sign and leading zeros, so that each
// community has one spelling.
func parseNumbers(parts []string, most uint64) (out [3]uint32, ok bool) {
	for i, part := range parts {
		n, err := strconv.ParseUint(part, 10, 32)
		if err != nil || n > most || strconv.FormatUint(n, 10) != part {
			return out, false
		}
		out[i] = uint32(n)
	}
	return out, true
}

func validateCommunities(path *field.Path, values []string) field.ErrorList {
	var errs field.ErrorList
	if len(values) > 64 {
		errs = append(errs, field.TooMany(path, len(values), 64))
	}
	seen := map[string]bool{}
	for i, value := range values {
		if seen[value] {
			errs = append(errs, field.Duplicate(path.Index(i), value))
		}
		seen[value] = true
		if _, err := ParseCommunity(value); err != nil {
			errs = append(errs, field.Invalid(path.Index(i), value, needCommunity))
		}
	}
	return errs
}
