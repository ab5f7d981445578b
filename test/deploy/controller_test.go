package deploy

import (
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/yaml"

	"github.com/fairway-bgp/fairway/controller/kube"
)

func controllerPod(t *testing.T) (corev1.PodSpec, corev1.Container) {
	t.Helper()
	pod := only[appsv1.Deployment](t, rendered(t), "Deployment").Spec.Template.Spec
	if len(pod.Containers) != 1 {
		t.Fatalf("%d containers in the controller's pod, want 1", len(pod.Containers))
	}
	return pod, pod.Containers[0]
}

func TestControllerKnowsTheFlagsItIsGiven(t *testing.T) {
	_, controller := controllerPod(t)
	if len(controller.Args) == 0 || controller.Args[0] != "controller" {
		t.Fatalf("arguments %q", controller.Args)
	}
	help, err := exec.CommandContext(t.Context(), "go", "run", "../../cmd/fairway", "controller", "--help").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, help)
	}
	for _, arg := range controller.Args[1:] {
		name, _, _ := strings.Cut(arg, "=")
		if !regexp.MustCompile(`(?m)^\s+(-\w, )?` + regexp.QuoteMeta(name) + `\b`).Match(help) {
			t.Errorf("the Deployment sets %s, which `fairway controller --help` does not list", name)
		}
	}
}

func TestControllerRunsTheAgentsBinary(t *testing.T) {
	_, agent := agentPod(t)
	_, controller := controllerPod(t)
	if agent.Image != controller.Image || !slices.Equal(agent.Command, controller.Command) {
		t.Errorf("the agent runs %q of %s, the controller %q of %s", agent.Command, agent.Image, controller.Command, controller.Image)
	}
}

func TestControllerHasNoRightsOnTheHost(t *testing.T) {
	pod, controller := controllerPod(t)
	if pod.HostNetwork || pod.HostPID || pod.HostIPC || len(pod.Volumes) > 0 {
		t.Errorf("host network %v, PIDs %v, IPC %v, %d volumes; want none", pod.HostNetwork, pod.HostPID, pod.HostIPC, len(pod.Volumes))
	}
	if user := pod.SecurityContext; !*user.RunAsNonRoot || *user.RunAsUser == 0 || *user.RunAsGroup == 0 {
		t.Error("the container runs as root")
	}
	rights := controller.SecurityContext
	if *rights.Privileged || *rights.AllowPrivilegeEscalation || !*rights.ReadOnlyRootFilesystem {
		t.Error("the container is privileged, may become so, or may write to its image")
	}
	if want := []corev1.Capability{"ALL"}; !slices.Equal(rights.Capabilities.Drop, want) || len(rights.Capabilities.Add) > 0 {
		t.Errorf("drops %q and adds %q, want %q and nothing", rights.Capabilities.Drop, rights.Capabilities.Add, want)
	}
}

func TestControllerIsAskedWhereItListens(t *testing.T) {
	_, controller := controllerPod(t)
	if len(controller.Ports) != 1 {
		t.Fatalf("ports %v", controller.Ports)
	}
	port := controller.Ports[0]
	if want := "--http-address=:9480"; port.ContainerPort != 9480 || !slices.Contains(controller.Args, want) {
		t.Errorf("port %d, arguments %q; want %s", port.ContainerPort, controller.Args, want)
	}
	for _, probe := range []*corev1.Probe{controller.LivenessProbe, controller.ReadinessProbe} {
		if probe.HTTPGet.Host != "" || probe.HTTPGet.Port.String() != port.Name {
			t.Errorf("%s is asked for at %q port %s", probe.HTTPGet.Path, probe.HTTPGet.Host, probe.HTTPGet.Port.String())
		}
	}
}

func TestTwoControllersAreKeptApart(t *testing.T) {
	deployment := only[appsv1.Deployment](t, rendered(t), "Deployment")
	if *deployment.Spec.Replicas != 2 {
		t.Errorf("%d replicas, want 2", *deployment.Spec.Replicas)
	}
	pod := labels.Set(deployment.Spec.Template.Labels)
	selectors := map[string]*metav1.LabelSelector{
		"Deployment":          deployment.Spec.Selector,
		"PodDisruptionBudget": only[policyv1.PodDisruptionBudget](t, rendered(t), "PodDisruptionBudget").Spec.Selector,
	}
	for _, spread := range deployment.Spec.Template.Spec.TopologySpreadConstraints {
		selectors["spread over "+spread.TopologyKey] = spread.LabelSelector
	}
	if selectors["spread over kubernetes.io/hostname"] == nil {
		t.Error("nothing keeps both from one node")
	}
	agent := labels.Set(only[appsv1.DaemonSet](t, rendered(t), "DaemonSet").Spec.Template.Labels)
	for what, selector := range selectors {
		s, err := metav1.LabelSelectorAsSelector(selector)
		if err != nil || !s.Matches(pod) || s.Matches(agent) {
			t.Errorf("%s selects the controller: %v, agents: %v (%v)", what, s.Matches(pod), s.Matches(agent), err)
		}
	}
}

func TestControllerMayUseTheLeaseItAsksFor(t *testing.T) {
	for _, document := range documents(t, rendered(t)) {
		var role rbacv1.Role
		if kindOf(t, document) != "Role" {
			continue
		}
		if err := yaml.UnmarshalStrict(document, &role); err != nil {
			t.Fatal(err)
		}
		for _, rule := range role.Rules {
			if role.Name == "fairway-controller" && slices.Equal(rule.ResourceNames, []string{kube.LeaseName}) {
				return
			}
		}
	}
	t.Errorf("no rule names the Lease %s", kube.LeaseName)
}
