package cluster

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestAnExternalIPOutsideTheRangesIsToldOnItsService writes the Event where the owner of the
// Service looks for it, with the rights that deploy/ gives.
func TestAnExternalIPOutsideTheRangesIsToldOnItsService(t *testing.T) {
	r := newRig(t, 1)
	r.apply(strings.Replace(configuration, "addressTypes: [ClusterIP]", "addressTypes: [ClusterIP, ExternalIP]\n    externalIPRanges: [198.51.100.0/24]", 1))
	r.apply("apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n")
	n := r.nodes[0]
	r.startAll()
	web := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "shop"},
		Spec: corev1.ServiceSpec{
			Ports: []corev1.ServicePort{{Port: 80}}, ExternalIPs: []string{"203.0.113.7"},
		},
	}
	created, err := r.cp.Client().CoreV1().Services("shop").Create(t.Context(), web, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	r.eventually(func() error {
		list, err := r.cp.Client().EventsV1().Events("shop").List(t.Context(), metav1.ListOptions{})
		if err != nil {
			return err
		}
		for _, e := range list.Items {
			if e.Regarding.UID == created.UID && e.Reason == "OutsideRanges" && strings.Contains(e.Note, "203.0.113.7") && e.ReportingInstance == n.Name() {
				return nil
			}
		}
		return fmt.Errorf("no Event about the Service among %d:\n%s", len(list.Items), r.events())
	})
}
