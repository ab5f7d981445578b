package deploy

import (
	"net"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/yaml"

	"github.com/fairway-bgp/fairway/api/v1alpha1"
)

// validate gives an object of our own kinds its defaults and judges it in pure Go, as
// --source=dir does. It returns false for other kinds.
func validate(t *testing.T, document []byte) (string, field.ErrorList, bool) {
	t.Helper()
	decode := func(obj any) {
		if err := yaml.UnmarshalStrict(document, obj); err != nil {
			t.Error(err)
		}
	}
	switch kindOf(t, document) {
	case v1alpha1.KindBGPSpeaker:
		var s v1alpha1.BGPSpeaker
		decode(&s)
		v1alpha1.SetDefaultsBGPSpeaker(&s)
		return s.Name, s.Validate(), true
	case v1alpha1.KindBGPPeer:
		var p v1alpha1.BGPPeer
		decode(&p)
		v1alpha1.SetDefaultsBGPPeer(&p)
		return p.Name, p.Validate(), true
	case v1alpha1.KindBGPAdvertisement:
		var a v1alpha1.BGPAdvertisement
		decode(&a)
		v1alpha1.SetDefaultsBGPAdvertisement(&a)
		return a.Name, a.Validate(), true
	}
	return "", nil, false
}

func TestExamplesAreValidInPureGo(t *testing.T) {
	for example, files := range exampleFiles(t) {
		t.Run(example, func(t *testing.T) {
			ours := 0
			for _, file := range files {
				for _, document := range documents(t, read(t, file)) {
					name, errs, judged := validate(t, document)
					if judged {
						ours++
					}
					if len(errs) > 0 {
						t.Errorf("%s: %s: %v", filepath.Base(file), name, errs.ToAggregate())
					}
				}
			}
			if ours == 0 {
				t.Error("it holds none of our kinds")
			}
		})
	}
}

func TestExamplesSayWhatTheyAre(t *testing.T) {
	for example, files := range exampleFiles(t) {
		for _, file := range files {
			if !strings.HasPrefix(string(read(t, file)), "# ") {
				t.Errorf("%s: %s does not begin with a comment that says what it is", example, filepath.Base(file))
			}
		}
	}
}

func TestBaseBringsEveryCRD(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(crds, "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no *.yaml in %s: %v", crds, err)
	}
	brought := 0
	for _, document := range documents(t, rendered(t)) {
		if kindOf(t, document) == "CustomResourceDefinition" {
			brought++
		}
	}
	if brought != len(files) {
		t.Errorf("the base brings %d CRDs of %d; %s/Kustomization has to list them all", brought, len(files), crds)
	}
}

func agentPod(t *testing.T) (corev1.PodSpec, corev1.Container) {
	t.Helper()
	pod := only[appsv1.DaemonSet](t, rendered(t), "DaemonSet").Spec.Template.Spec
	if len(pod.Containers) != 1 {
		t.Fatalf("%d containers in the agent's pod, want 1", len(pod.Containers))
	}
	return pod, pod.Containers[0]
}

func TestAgentKnowsTheFlagsItIsGiven(t *testing.T) {
	_, agent := agentPod(t)
	help, err := exec.CommandContext(t.Context(), "go", "run", "../../cmd/fairway", "agent", "--help").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, help)
	}
	for _, arg := range agent.Args[1:] {
		name, _, _ := strings.Cut(arg, "=")
		if !regexp.MustCompile(`(?m)^\s+(-\w, )?` + regexp.QuoteMeta(name) + `\b`).Match(help) {
			t.Errorf("the DaemonSet sets %s, which `fairway agent --help` does not list", name)
		}
	}
}

// TestImageHoldsWhatTheDaemonSetRuns follows the binary from the Makefile by way of the
// Dockerfile, whose context is the folder bin, to the container.
func TestImageHoldsWhatTheDaemonSetRuns(t *testing.T) {
	field := func(file, pattern string) string {
		t.Helper()
		found := regexp.MustCompile(`(?m)` + pattern).FindStringSubmatch(string(read(t, file)))
		if found == nil {
			t.Fatalf("%s: nothing like %s", file, pattern)
		}
		return found[1]
	}
	const dockerfile = "../../deploy/image/Dockerfile"
	built := field("../../Makefile", `-o (\S+) ./cmd/fairway$`)
	if copied := field(dockerfile, `^COPY (\S+) `); built != "bin/"+copied {
		t.Errorf("make builds %s, and the image copies bin/%s", built, copied)
	}
	target, entry := field(dockerfile, `^COPY \S+ (\S+)$`), field(dockerfile, `^ENTRYPOINT \["(.*)"\]$`)
	_, agent := agentPod(t)
	if entry != target || !slices.Equal(agent.Command, []string{target}) {
		t.Errorf("the image has %s, its entry point is %s, and the DaemonSet runs %q", target, entry, agent.Command)
	}
	build := field(dockerfile, `^#\s+(docker build .*)$`)
	if readme := string(read(t, "../../README.md")); !strings.Contains(readme, build) || !strings.Contains(build, " "+agent.Image+" ") {
		t.Errorf("the Dockerfile says %q and the DaemonSet wants %s; README.md should say the same", build, agent.Image)
	}
}

func TestProbesAskWhereTheAgentListens(t *testing.T) {
	_, agent := agentPod(t)
	for _, probe := range []*corev1.Probe{agent.LivenessProbe, agent.ReadinessProbe} {
		address := net.JoinHostPort(probe.HTTPGet.Host, probe.HTTPGet.Port.String())
		if !slices.Contains(agent.Args, "--http-address="+address) {
			t.Errorf("%s is asked for at %s; the agent's arguments are %q", probe.HTTPGet.Path, address, agent.Args)
		}
	}
}

func TestAgentHasNoMoreRightsOnTheHostThanItNeeds(t *testing.T) {
	pod, agent := agentPod(t)
	if !pod.HostNetwork || pod.HostPID || pod.HostIPC {
		t.Errorf("host network %v, PIDs %v, IPC %v; want the network only", pod.HostNetwork, pod.HostPID, pod.HostIPC)
	}
	rights := agent.SecurityContext
	if *rights.Privileged || *rights.AllowPrivilegeEscalation || !*rights.ReadOnlyRootFilesystem {
		t.Error("the container is privileged, may become so, or may write to its image")
	}
	if want := []corev1.Capability{"ALL"}; !slices.Equal(rights.Capabilities.Drop, want) {
		t.Errorf("drops %q, want %q", rights.Capabilities.Drop, want)
	}
	if want := []corev1.Capability{"NET_ADMIN", "NET_BIND_SERVICE", "NET_RAW"}; !slices.Equal(rights.Capabilities.Add, want) {
		t.Errorf("adds %q, want %q", rights.Capabilities.Add, want)
	}
}
