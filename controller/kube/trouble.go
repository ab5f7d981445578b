package kube

import (
	"errors"
	"fmt"
	"net"
	"net/url"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// class is what kind of trouble a request met. The log speaks when the class changes; the
// words may differ from one attempt to the next.
type class int

const (
	fine        class = iota
	unreachable       // no answer came
	unauthorized
	notServed // the API server does not have the kind
	forbidden
	otherTrouble
)

// trouble is why something cannot be read. The zero value is none.
type trouble struct {
	class
	text string // for a person: what and how to mend it, on one line
}

// troubleOf judges the error of a request about a resource of the API server at host.
func troubleOf(err error, host string, of resource) trouble {
	switch {
	case err == nil:
		return trouble{}
	case apierrors.ReasonForError(err) == metav1.StatusReasonUnknown && !isStatus(err):
		return trouble{unreachable, fmt.Sprintf("the API server %s cannot be reached: %s", host, shortened(err))}
	case apierrors.IsUnauthorized(err):
		return trouble{unauthorized, fmt.Sprintf("the API server %s does not accept our credentials; renew the kubeconfig or the service account's token", host)}
	case apierrors.IsNotFound(err) && of.ours:
		return trouble{notServed, "the CRDs of bgp.fairway.dev are not installed; run: kubectl apply -k deploy/crds"}
	case apierrors.IsNotFound(err):
		return trouble{notServed, fmt.Sprintf("the API server %s does not serve %s", host, of)}
	case apierrors.IsForbidden(err):
		return trouble{forbidden, fmt.Sprintf("reading %s is forbidden: %s; grant it as deploy/kustomize/base does", of, shortened(err))}
	}
	return trouble{otherTrouble, fmt.Sprintf("reading %s: %s", of, shortened(err))}
}

func isStatus(err error) bool {
	var status apierrors.APIStatus
	return errors.As(err, &status)
}

// shortened leaves out what differs between attempts, such as our own port, and the URL.
func shortened(err error) string {
	var onNetwork *net.OpError
	if errors.As(err, &onNetwork) {
		return fmt.Sprintf("%s: %v", onNetwork.Op, onNetwork.Err)
	}
	var ofURL *url.Error
	if errors.As(err, &ofURL) {
		return oneLine(ofURL.Err)
	}
	return oneLine(err)
}

// forReflector reports whether an error is one that a reflector answers with another
// request: to list anew, or without a stream of the initial state.
func forReflector(err error) bool {
	return apierrors.IsResourceExpired(err) || apierrors.IsGone(err) || apierrors.IsInvalid(err) ||
		apierrors.HasStatusCause(err, metav1.CauseTypeResourceVersionTooLarge)
}
