package join_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/v1alpha1"
)

func TestARealAPIServer(t *testing.T) {
	c := startCluster(t)
	for name, test := range map[string]func(*testing.T, *cluster){
		"lets a machine join, within its rights and ours": aMachineJoins,
		"tells all nodes what changed of the cluster":     otherFactsReachAllNodes,
		"makes a NodeAgent anew with what it asked for":   aNodeAgentThatSomebodyDeletedAsksForTheSame,
		"puts back what somebody edited in a NodeAgent":   whatSomebodyEditedInANodeAgentIsPutBack,
		"writes no NodeAgent for what is added to it":     whatTheAPIServerAddsIsNoEdit,
		"opens one door for a token":                      aTokenOpensOneDoorOnly,
		"hears why a machine does not join":               aFailureToJoinReachesThePool,
		"refuses a node name that is taken":               aNodeNameThatIsTakenIsRefused,
		"says why a machine has no NodeAgent":             aMachineWithoutANodeAgentSaysWhy,
		"says why a Node lacks its pool's labels":         aNodeWithoutThePoolsLabelsSaysWhy,
		"refuses another machine's provider ID":           aKubeletMayNotTakeAnothersProviderID,
		"refuses a kubelet's choice of pod ranges":        aKubeletMayNotChooseItsPodRanges,
		"refuses a Machine for another's Node":            aTenantMayNotTakeAnothersNode,
		"keeps out a machine that was released":           aReleasedMachineStaysOut,
		"spends nothing on kubelets that are not ours":    aKubeletThatIsNotOursCostsNothing,
		"names a machine that is nobody's":                aMachineOfNobodyIsNamed,
		"names a machine whose pool is gone":              aMachineWhosePoolIsGoneIsNamed,
		"knows a NodeAgent that lost its labels":          aNodeAgentThatLostItsLabelsIsItsMachines,
		"leaves alone a Machine of no pool":               aMachineThatNeverWasAPoolsIsLeftAlone,
	} {
		t.Run(name, func(t *testing.T) { test(t, c) })
	}
}

// report writes the status of a NodeAgent as its agent does.
func report(ctx context.Context, agent client.Client, name string, ready metav1.ConditionStatus, reason string) error {
	patch := fmt.Sprintf(`{"status":{"agentVersion":"v1","conditions":[{"type":"Ready","status":%q,"reason":%q,"message":"","lastTransitionTime":"2026-05-01T12:00:00Z"}]}}`, ready, reason)
	object := &v1alpha1.NodeAgent{}
	object.Name = name
	return agent.Status().Patch(ctx, object, client.RawPatch(types.MergePatchType, []byte(patch)))
}

// register makes the Node as a kubelet does, and says of the Machine what Cluster API then would.
func (m *machine) register(t *testing.T, kubelet client.Client) {
	t.Helper()
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: m.object.Name, Labels: map[string]string{"kubernetes.io/hostname": m.object.Name}}}
	node.Spec.ProviderID = m.object.Spec.ProviderID
	node.Spec.Taints = []corev1.Taint{{Key: "gpu", Value: "yes", Effect: corev1.TaintEffectNoSchedule}}
	must(t, kubelet.Create(t.Context(), node))
	m.status(t, func(s *clusterv1.MachineStatus) { s.NodeRef.Name = node.Name })
}

// comesUp has the machine's agent say that all is well and its kubelet register, as one who may do either.
func (m *machine) comesUp(t *testing.T, as client.Client) {
	t.Helper()
	eventually(t, "the agent may write its status", func(ctx context.Context) error {
		return report(ctx, as, m.object.Name, "True", v1alpha1.ReasonHealthy)
	})
	m.register(t, as)
	m.wantHealth(t, "True", v1alpha1.ReasonHealthy)
}

// searches is how often a Machine was looked for by its name in all namespaces.
func (c *cluster) searches(machine string) int {
	path := "/apis/cluster.x-k8s.io/v1beta2/machines?metadata.name=" + machine
	return c.reads.of(path)[path]
}

func (m *machine) health(ctx context.Context) (*metav1.Condition, error) {
	if err := m.Client.Get(ctx, client.ObjectKeyFromObject(m.object), m.object); err != nil {
		return nil, err
	}
	return meta.FindStatusCondition(m.object.Status.Conditions, v1alpha1.MachineAgentHealthyCondition), nil
}

func (m *machine) wantHealth(t *testing.T, status metav1.ConditionStatus, reason string) {
	t.Helper()
	eventually(t, fmt.Sprintf("AgentHealthy is %s for %s", status, reason), func(ctx context.Context) error {
		condition, err := m.health(ctx)
		if err != nil {
			return err
		}
		if condition == nil || condition.Status != status || condition.Reason != reason {
			return fmt.Errorf("it is %+v", condition)
		}
		return nil
	})
}

func (m *machine) wantEvent(t *testing.T, reason, text string) {
	t.Helper()
	eventually(t, "the pool has event "+reason+" with "+text, func(ctx context.Context) error {
		list := &eventsv1.EventList{}
		if err := m.Client.List(ctx, list, client.InNamespace(m.pool.Namespace)); err != nil {
			return err
		}
		for _, event := range list.Items {
			if event.Regarding.Kind == "NodePool" && event.Reason == reason && strings.Contains(event.Note, text) {
				return nil
			}
		}
		return fmt.Errorf("there are %d events", len(list.Items))
	})
}

func (m *machine) nodeHas(t *testing.T, what string, check func(*corev1.Node) error) {
	t.Helper()
	eventually(t, what, func(ctx context.Context) error {
		node := &corev1.Node{}
		if err := m.Client.Get(ctx, client.ObjectKeyFromObject(m.object), node); err != nil {
			return client.IgnoreNotFound(err)
		}
		return check(node)
	})
}

func aMachineJoins(t *testing.T, c *cluster) {
	t.Helper()
	m := c.newMachine(t, c.newPool(t, "workers"), 0)
	token := m.token(t)

	first := m.agentApplication(t)
	agent := first.identity(t, c, token)
	m.agentApplication(t).wantDenied(t, c, token, "spec.request publicKey")
	m.wantEvent(t, v1alpha1.ReasonCertificateDenied, "spec.request publicKey")
	first.identity(t, c, token)

	eventually(t, "the agent may write its status", func(ctx context.Context) error {
		return report(ctx, agent, m.object.Name, "False", v1alpha1.ReasonStarting)
	})
	eventually(t, "the token is gone", func(ctx context.Context) error {
		list := &corev1.SecretList{}
		if err := c.Client.List(ctx, list, client.MatchingLabels{v1alpha1.MachineUIDLabel: string(m.object.UID)}, client.InNamespace("kube-system")); err != nil || len(list.Items) == 0 {
			return err
		}
		return errNotYet
	})

	kubelet := m.kubeletApplication(t).identity(t, c, agent)
	m.register(t, kubelet)
	m.nodeHas(t, "the Node has the pool's labels and taints", func(node *corev1.Node) error {
		if node.Labels["tier"] != "web" || node.Labels[v1alpha1.PoolLabel] != "workers" || !slices.ContainsFunc(node.Spec.Taints, func(taint corev1.Taint) bool { return taint.Key == "gpu" }) {
			return fmt.Errorf("it has labels %v and taints %v", node.Labels, node.Spec.Taints)
		}
		return nil
	})
	m.wantEvent(t, v1alpha1.ReasonJoined, m.object.Name)
	must(t, report(t.Context(), agent, m.object.Name, "True", v1alpha1.ReasonHealthy))
	m.wantHealth(t, "True", v1alpha1.ReasonHealthy)

	m.servingApplication(t, m.address).identity(t, c, kubelet)
	m.kubeletApplication(t).identity(t, c, kubelet) // A renewal, with a new key.
	m.agentApplication(t).identity(t, c, agent)     // Likewise.

	t.Run("within the write budget", func(t *testing.T) { m.wantWrites(t) })
	t.Run("and is refused what is not its own", func(t *testing.T) { m.wantRefusals(t, agent, kubelet) })
	t.Run("and its node follows the template", func(t *testing.T) { m.wantTemplate(t) })
	t.Run("and a Node deleted by hand comes back", func(t *testing.T) {
		must(t, c.Client.Delete(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: m.object.Name}}))
		m.wantHealth(t, "False", v1alpha1.ReasonNodeLost)
		m.wantEvent(t, v1alpha1.ReasonNodeLost, m.object.Name)
		m.register(t, kubelet)
		m.wantHealth(t, "True", v1alpha1.ReasonHealthy)
	})
	t.Run("and leaves no NodeAgent", func(t *testing.T) {
		must(t, c.Client.Delete(t.Context(), m.object))
		eventually(t, "the NodeAgent is gone", func(ctx context.Context) error {
			err := c.Client.Get(ctx, client.ObjectKey{Name: m.object.Name}, &v1alpha1.NodeAgent{})
			if apierrors.IsNotFound(err) {
				return nil
			}
			return errNotYet
		})
		m.kubeletApplication(t).wantDenied(t, c, agent, "spec.request subject.commonName")
	})
}

// wantWrites compares what the manager wrote for this machine with what DESIGN.md's budget has room for. Approvals are
// counted by the test that makes the requests.
func (m *machine) wantWrites(t *testing.T) {
	t.Helper()
	name, namespace := m.object.Name, m.pool.Namespace
	got := m.writes.of(name)
	want := map[string]int{
		"PATCH /api/v1/nodes/" + name: 1,
		"PATCH /apis/cluster.x-k8s.io/v1beta2/namespaces/" + namespace + "/machines/" + name + "/status": 1,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("writes to what is named as the machine (-want +got):\n%s", diff)
	}
	if got := m.writes.of("POST /api/v1/namespaces/" + namespace + "/secrets"); len(got) != 1 || slices.Max(slices.Collect(maps.Values(got))) != 1 {
		t.Errorf("bootstrap Secrets: %v, want one create", got)
	}
}

func (m *machine) wantRefusals(t *testing.T, agent, kubelet client.Client) {
	must(t, agent.Create(t.Context(), eventAbout("mine", "Node", m.object.Name)))
	must(t, agent.Create(t.Context(), oldEventAbout("mine-too", "Node", m.object.Name)))
	must(t, m.Client.Create(t.Context(), eventAbout("machine", "Machine", m.object.Name)))
	must(t, kubelet.Patch(t.Context(), nodeNamed(m.object.Name), client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"labels":{"example.com/a":"b"},"annotations":{"a":"b"}}}`))))
	other := m.newMachine(t, m.pool, 1)
	other.token(t)
	eventually(t, "the other machine has a NodeAgent", func(ctx context.Context) error {
		return m.Client.Get(ctx, client.ObjectKey{Name: other.object.Name}, &v1alpha1.NodeAgent{})
	})
	c := m.cluster
	own, others := &v1alpha1.NodeAgent{}, &v1alpha1.NodeAgent{}
	own.Name, others.Name = m.object.Name, other.object.Name
	if err := agent.Get(t.Context(), client.ObjectKeyFromObject(others), others); err != nil {
		t.Errorf("an agent cannot read another's NodeAgent: %v", err)
	}
	spec := client.RawPatch(types.MergePatchType, []byte(`{"spec":{"version":"v1.0.0"}}`))
	refusals := map[string]error{
		"read Secrets":                    agent.List(t.Context(), &corev1.SecretList{}, client.InNamespace("kube-system")),
		"read its pool's Secrets":         agent.List(t.Context(), &corev1.SecretList{}, client.InNamespace(m.pool.Namespace)),
		"read Machines":                   agent.List(t.Context(), &clusterv1.MachineList{}),
		"write another's status":          report(t.Context(), agent, others.Name, "True", v1alpha1.ReasonHealthy),
		"write its own spec":              agent.Patch(t.Context(), own, spec),
		"make a NodeAgent":                agent.Create(t.Context(), &v1alpha1.NodeAgent{ObjectMeta: metav1.ObjectMeta{Name: "x"}}),
		"delete its NodeAgent":            agent.Delete(t.Context(), own),
		"write its Node":                  agent.Patch(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: own.Name}}, client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"labels":{"a":"b"}}}`))),
		"approve requests":                agent.SubResource("approval").Update(t.Context(), &certificatesv1.CertificateSigningRequest{ObjectMeta: metav1.ObjectMeta{Name: "x"}}),
		"write a NodeAgent as a kubelet":  report(t.Context(), kubelet, own.Name, "True", v1alpha1.ReasonHealthy),
		"claim another's providerID":      kubelet.Create(t.Context(), providerNode(own.Name, other.object.Spec.ProviderID)),
		"lie about a Machine in an event": agent.Create(t.Context(), eventAbout("lie", "Machine", own.Name)),
		"lie about another's Node":        agent.Create(t.Context(), eventAbout("lie", "Node", other.object.Name)),
		"lie in an event of the old kind": agent.Create(t.Context(), oldEventAbout("lie", "Pod", own.Name)),
		"change somebody's event":         agent.Patch(t.Context(), eventAbout("machine", "Machine", own.Name), client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"annotations":{"a":"b"}}}`))),
		"say its Node is another pool's":  kubelet.Patch(t.Context(), nodeNamed(own.Name), client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"labels":{"fleet.drover.dev/pool":"vault"}}}`))),
		"say so by the Node's status":     kubelet.Status().Patch(t.Context(), nodeNamed(own.Name), client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"labels":{"fleet.drover.dev/pool":"vault"}}}`))),
		"leave its pool":                  kubelet.Patch(t.Context(), nodeNamed(own.Name), client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"labels":{"fleet.drover.dev/pool":null}}}`))),
		"have a taint lifted":             kubelet.Patch(t.Context(), nodeNamed(own.Name), client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"annotations":{"fleet.drover.dev/node-template":"{\"taints\":[{\"key\":\"quarantine\",\"effect\":\"NoExecute\"}]}"}}}`))),
		"ask for a serving certificate":   sendError(t, c, m.servingApplication(t, m.address), agent),
		"ask a third party's certificate": sendError(t, c, &application{key: m.agentApplication(t).key, commonName: "x", organization: "x", signer: "example.com/x", usage: certificatesv1.UsageClientAuth}, agent),
	}
	for what, err := range refusals {
		refused := apierrors.IsForbidden(err) || what == "claim another's providerID" && apierrors.IsAlreadyExists(err)
		if !refused {
			t.Errorf("to %s got %v, want it forbidden", what, err)
		}
	}
	m.kubeletApplicationFor(t, other).wantDenied(t, m.cluster, agent, "spec.request subject.commonName")
	m.servingApplication(t, "10.96.0.1").wantDenied(t, m.cluster, kubelet, "spec.request subjectAltName")
	stranger := m.as(t, m.User(t, v1alpha1.AgentUserPrefix+"stranger", v1alpha1.AgentsGroup))
	m.kubeletApplication(t).wantDenied(t, m.cluster, stranger, "spec.request subject.commonName")
	must(t, m.Client.Delete(t.Context(), other.object))
}

func (m *machine) kubeletApplicationFor(t *testing.T, other *machine) *application {
	t.Helper()
	a := m.kubeletApplication(t)
	a.commonName = v1alpha1.NodeUserPrefix + other.object.Name
	return a
}

// eventAbout is an event as kube-proxy writes it, oldEventAbout as the older API group has it.
func eventAbout(name, kind, subject string) *eventsv1.Event {
	return &eventsv1.Event{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: subject + "-" + name}, EventTime: metav1.NowMicro(),
		Reason: "Starting", Action: "StartKubeProxy", Type: corev1.EventTypeNormal,
		ReportingController: "kube-proxy", ReportingInstance: "kube-proxy-" + subject,
		Regarding: corev1.ObjectReference{Kind: kind, Name: subject},
	}
}

func oldEventAbout(name, kind, subject string) *corev1.Event {
	return &corev1.Event{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: subject + "-" + name}, Reason: "Starting",
		InvolvedObject: corev1.ObjectReference{Kind: kind, Name: subject},
	}
}

func nodeNamed(name string) *corev1.Node {
	return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}
}

func providerNode(name, providerID string) *corev1.Node {
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}
	node.Spec.ProviderID = providerID
	return node
}

func sendError(t *testing.T, c *cluster, a *application, user client.Client) error {
	t.Helper()
	_, err := a.send(t, c, user)
	return err
}

// wantTemplate changes the pool's labels and taints and wants them on the Node, with what others put there kept.
func (m *machine) wantTemplate(t *testing.T) {
	m.nodeHas(t, "the test can put its own label and taint there", func(node *corev1.Node) error {
		node.Labels["mine"] = "yes"
		node.Spec.Taints = append(node.Spec.Taints, corev1.Taint{Key: "mine", Effect: corev1.TaintEffectNoSchedule})
		return m.Client.Update(t.Context(), node)
	})
	patch := client.MergeFrom(m.pool.DeepCopy())
	m.pool.Spec.Template.Metadata.Labels = map[string]v1alpha1.LabelValue{"zone": "a"}
	m.pool.Spec.Template.Spec.Taints = nil
	must(t, m.Client.Patch(t.Context(), m.pool, patch))
	m.nodeHas(t, "the Node has the new labels and taints only, and the test's", func(node *corev1.Node) error {
		_, dropped := node.Labels["tier"]
		keys := []string{}
		for _, taint := range node.Spec.Taints {
			keys = append(keys, taint.Key)
		}
		if dropped || node.Labels["zone"] != "a" || node.Labels["mine"] != "yes" || slices.Contains(keys, "gpu") || !slices.Contains(keys, "mine") {
			return fmt.Errorf("it has labels %v and taints %v", node.Labels, keys)
		}
		return nil
	})
}

func aTokenOpensOneDoorOnly(t *testing.T, c *cluster) {
	t.Helper()
	pool := c.newPool(t, "doors")
	m, other := c.newMachine(t, pool, 0), c.newMachine(t, pool, 1)
	token := m.token(t)
	other.token(t)

	nodes := m.agentApplication(t)
	nodes.organization = v1alpha1.NodesGroup
	nodes.wantDenied(t, c, token, "spec.request subject.organization")
	admin := m.agentApplication(t)
	admin.commonName = "kubernetes-admin"
	admin.wantDenied(t, c, token, "spec.request subject.commonName")
	other.agentApplication(t).wantDenied(t, c, token, "spec.request subject.commonName")
	third := c.newMachine(t, pool, 2)
	long := third.agentApplication(t)
	long.organization = "an organization whose name is longer than an event: " + strings.Repeat("é", 1000)
	long.wantDenied(t, c, third.token(t), "spec.request subject.organization")
	m.wantEvent(t, v1alpha1.ReasonCertificateDenied, "longer than an event")
	named := m.agentApplication(t)
	named.dns = []string{"kubernetes.default"}
	named.wantDenied(t, c, token, "spec.request subjectAltName")

	for what, err := range map[string]error{
		"ask for a kubelet's certificate": sendError(t, c, m.kubeletApplication(t), token),
		"ask for a server's certificate":  sendError(t, c, m.servingApplication(t, m.address), token),
		"read Secrets":                    token.List(t.Context(), &corev1.SecretList{}, client.InNamespace("kube-system")),
		"read NodeAgents":                 token.List(t.Context(), &v1alpha1.NodeAgentList{}),
		"read Nodes":                      token.List(t.Context(), &corev1.NodeList{}),
	} {
		if !apierrors.IsForbidden(err) {
			t.Errorf("to %s got %v, want it forbidden", what, err)
		}
	}
	m.agentApplication(t).identity(t, c, token)
}

func aFailureToJoinReachesThePool(t *testing.T, c *cluster) {
	t.Helper()
	m := c.newMachine(t, c.newPool(t, "sick"), 0)
	agent := m.agentApplication(t).identity(t, c, m.token(t))
	eventually(t, "the agent may write its status", func(ctx context.Context) error {
		return report(ctx, agent, m.object.Name, "False", v1alpha1.ReasonBundleFetchFailed)
	})
	m.wantHealth(t, "False", v1alpha1.ReasonBundleFetchFailed)
	m.wantEvent(t, v1alpha1.ReasonJoinFailed, v1alpha1.ReasonBundleFetchFailed)
}

func aNodeNameThatIsTakenIsRefused(t *testing.T, c *cluster) {
	t.Helper()
	pool := c.newPool(t, "taken")
	must(t, c.Client.Create(t.Context(), providerNode(v1alpha1.MachineName(pool, 0), "aws:///i-1")))
	m := c.newMachine(t, pool, 0)
	agent := m.agentApplication(t).identity(t, c, m.token(t))
	m.kubeletApplication(t).wantDenied(t, c, agent, "spec.request subject.commonName")
	m.wantEvent(t, v1alpha1.ReasonNodeNameTaken, "is not this Machine's")
	m.wantHealth(t, "False", v1alpha1.ReasonNodeNameTaken)
}

func aKubeletMayNotTakeAnothersProviderID(t *testing.T, c *cluster) {
	t.Helper()
	kubelet := c.as(t, c.User(t, v1alpha1.NodeUserPrefix+"alone", v1alpha1.NodesGroup))
	eventually(t, "the policy is in force", func(ctx context.Context) error {
		err := kubelet.Create(ctx, providerNode("alone", "drover-local://default/other"), client.DryRunAll)
		if apierrors.IsForbidden(err) && strings.Contains(err.Error(), "drover-node-provider-id") {
			return nil
		}
		return fmt.Errorf("got %w", err)
	})
	must(t, kubelet.Create(t.Context(), providerNode("alone", "drover-local://default/alone")))
}

func aKubeletMayNotChooseItsPodRanges(t *testing.T, c *cluster) {
	t.Helper()
	kubelet := c.as(t, c.User(t, v1alpha1.NodeUserPrefix+"ranged", v1alpha1.NodesGroup))
	ranged := func(ranges ...string) *corev1.Node {
		node := nodeNamed("ranged")
		node.Spec.PodCIDR, node.Spec.PodCIDRs = ranges[0], ranges
		return node
	}
	refused := func(err error) error {
		if apierrors.IsForbidden(err) && strings.Contains(err.Error(), "drover-node-pod-ranges") {
			return nil
		}
		return fmt.Errorf("got %w", err)
	}
	eventually(t, "the policy is in force", func(ctx context.Context) error {
		return refused(kubelet.Create(ctx, ranged("10.88.0.1/32"), client.DryRunAll))
	})
	must(t, refused(kubelet.Create(t.Context(), ranged("10.244.0.0/24", "fd00::/64"))))
	must(t, kubelet.Create(t.Context(), nodeNamed("ranged")))
	choice := client.RawPatch(types.MergePatchType, []byte(`{"spec":{"podCIDR":"10.88.0.1/32","podCIDRs":["10.88.0.1/32"]}}`))
	must(t, refused(kubelet.Patch(t.Context(), nodeNamed("ranged"), choice)))

	// What kube-controller-manager gave it, the kubelet may go on writing its Node with.
	must(t, c.Client.Patch(t.Context(), nodeNamed("ranged"), client.RawPatch(types.MergePatchType, []byte(`{"spec":{"podCIDR":"10.244.7.0/24","podCIDRs":["10.244.7.0/24"]}}`))))
	must(t, kubelet.Patch(t.Context(), nodeNamed("ranged"), client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"annotations":{"a":"b"}}}`))))
}

// aKubeletThatIsNotOursCostsNothing after the first look, and at that no list of all Machines.
func aKubeletThatIsNotOursCostsNothing(t *testing.T, c *cluster) {
	t.Helper()
	m := c.newMachine(t, c.newPool(t, "ours"), 0)
	ask := func(node string) *certificatesv1.CertificateSigningRequest {
		user := c.as(t, c.User(t, v1alpha1.NodeUserPrefix+node, v1alpha1.NodesGroup))
		application := m.servingApplication(t, "10.0.0.1")
		application.commonName, application.dns = v1alpha1.NodeUserPrefix+node, []string{node}
		request := application.request(t)
		must(t, user.Create(t.Context(), request))
		eventually(t, "the request is looked at", func(context.Context) error {
			if len(c.reads.of("/nodeagents/"+node+"?")) == 0 {
				return errNotYet
			}
			return nil
		})
		return request
	}
	request := ask("elsewhere-0")
	for i := range 5 {
		patch := client.MergeFrom(request.DeepCopy())
		request.Labels = map[string]string{"seen": fmt.Sprint(i)}
		must(t, c.Client.Patch(t.Context(), request, patch))
		ask(fmt.Sprintf("elsewhere-%d", i+1))
	}
	for read, times := range c.reads.of("elsewhere-") {
		if times > 1 || strings.Contains(read, "/machines") {
			t.Errorf("%s was read %d times", read, times)
		}
	}
	must(t, c.Client.Get(t.Context(), client.ObjectKeyFromObject(request), request))
	if len(request.Status.Conditions) > 0 {
		t.Errorf("it was answered: %+v", request.Status.Conditions)
	}
}
