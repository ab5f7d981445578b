package v1alpha1

import (
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

var (
	probeName    = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`)
	absolutePath = regexp.MustCompile(`^(/[^/]+)+$`)
	dotPart      = regexp.MustCompile(`/[.][.]?(/|$)`)
)

func (d *Drain) validate(path *field.Path) field.ErrorList {
	errs := validateRange(path.Child("gracefulShutdownSeconds"), d.GracefulShutdownSeconds, 0, 3600)
	path = path.Child("onTaints")
	if len(d.OnTaints) > 16 {
		errs = append(errs, field.TooMany(path, len(d.OnTaints), 16))
	}
	seen := sets.New[string]()
	for i, key := range d.OnTaints {
		if seen.Has(key) {
			errs = append(errs, field.Duplicate(path.Index(i), key))
		}
		seen.Insert(key)
		errs = append(errs, validateLabelKey(path.Index(i), key)...)
	}
	return errs
}

func (r *Readiness) validate(path *field.Path) field.ErrorList {
	errs := validateRange(path.Child("dataplaneDelayMilliseconds"), r.DataplaneDelayMilliseconds, 0, 60000)
	path = path.Child("probes")
	if len(r.Probes) > 8 {
		errs = append(errs, field.TooMany(path, len(r.Probes), 8))
	}
	seen := sets.New[string]()
	for i := range r.Probes {
		if name := r.Probes[i].Name; seen.Has(name) {
			errs = append(errs, field.Duplicate(path.Index(i), name))
		}
		seen.Insert(r.Probes[i].Name)
		errs = append(errs, r.Probes[i].validate(path.Index(i))...)
	}
	return errs
}

func (p *ReadinessProbe) validate(path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if len(p.Name) > 63 || !probeName.MatchString(p.Name) {
		errs = append(errs, field.Invalid(path.Child("name"), p.Name,
			"must be a DNS label: write lower-case letters, digits and -, at most 63, such as kube-proxy"))
	}
	if (p.HTTP == nil) == (p.File == nil) {
		errs = append(errs, field.Invalid(path, field.OmitValueType{},
			"exactly one of http and file must be set: write http with the port that answers, or file with the path that must exist"))
	}
	errs = append(errs, p.HTTP.validate(path.Child("http"))...)
	return append(errs, p.File.validate(path.Child("file"))...)
}

func (p *HTTPProbe) validate(path *field.Path) field.ErrorList {
	if p == nil {
		return nil
	}
	errs := validateRange(path.Child("port"), &p.Port, 1, 65535)
	if p.Address != "" {
		errs = append(errs, validateAddress(path.Child("address"), p.Address,
			"must be an address of the node: write a unicast address such as 127.0.0.1 or ::1")...)
	}
	if p.Path == "" {
		return errs
	}
	path = path.Child("path")
	if !strings.HasPrefix(p.Path, "/") {
		errs = append(errs, field.Invalid(path, p.Path, "must begin with /: write it such as /healthz"))
	}
	return append(errs, validateTextLength(path, p.Path, 1024)...)
}

func (p *FileProbe) validate(path *field.Path) field.ErrorList {
	if p == nil {
		return nil
	}
	path = path.Child("path")
	errs := validateTextLength(path, p.Path, 1024)
	if !absolutePath.MatchString(p.Path) || dotPart.MatchString(p.Path) {
		errs = append(errs, field.Invalid(path, p.Path,
			"must be an absolute path without empty parts, . and ..: write it such as /var/run/dataplane/ready"))
	}
	return errs
}

// validateTextLength counts characters, as the schema does.
func validateTextLength(path *field.Path, text string, most int) field.ErrorList {
	if utf8.RuneCountInString(text) <= most {
		return nil
	}
	return field.ErrorList{field.TooLongMaxLength(path, text, most)}
}

func validateStations(path *field.Path, stations []BMPStation) field.ErrorList {
	var errs field.ErrorList
	if len(stations) > 8 {
		errs = append(errs, field.TooMany(path, len(stations), 8))
	}
	seen := sets.New[string]()
	for i := range stations {
		s, path := &stations[i], path.Index(i)
		port := int32(defaultBMPPort)
		if s.Port != nil {
			port = *s.Port
		}
		key := fmt.Sprint(s.Address, " ", port)
		if seen.Has(key) {
			errs = append(errs, field.Duplicate(path, key))
		}
		seen.Insert(key)
		errs = append(errs, s.validate(path)...)
	}
	return errs
}

func (s *BMPStation) validate(path *field.Path) field.ErrorList {
	const needUnicast = "must be the address of one station: write a unicast address such as 192.0.2.1 or 2001:db8::1"
	errs := validateAddress(path.Child("address"), s.Address, needUnicast)
	if addr, err := parseAddress(s.Address); err == nil && addr.IsLinkLocalUnicast() {
		errs = append(errs, field.Invalid(path.Child("address"), s.Address, needUnicast))
	}
	errs = append(errs, validateRange(path.Child("port"), s.Port, 1, 65535)...)
	return append(errs, validateOptionalEnum(path.Child("policy"), s.Policy,
		BMPPrePolicy, BMPPostPolicy, BMPBoth, BMPLocalRIB, BMPAll)...)
}

func (c *CNI) validate(path *field.Path) field.ErrorList {
	errs := validateRange(path.Child("mtu"), c.MTU, 1280, 65535)
	return append(errs, validateSomePrefixes(path.Child("nonMasqueradeCIDRs"), c.NonMasqueradeCIDRs, 64)...)
}
