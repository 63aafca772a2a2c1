package fence

import (
	"context"
	"fmt"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/controllers/lookup"
	"github.com/drover-dev/drover/controllers/sides"
)

// A role can be bound by who may bind it, and a request to make a binding does not name it yet.
// +kubebuilder:rbac:groups=rbac.authorization.k8s.io,resources=clusterroles,resourceNames=drover-fenced-nodes,verbs=bind
// +kubebuilder:rbac:groups=rbac.authorization.k8s.io,resources=clusterrolebindings,verbs=create
// +kubebuilder:rbac:groups=rbac.authorization.k8s.io,resources=clusterrolebindings,resourceNames=drover-fenced-nodes,verbs=get;update

const (
	// Name is that of the ClusterRoleBinding that is the list, and of its role. The admission policy names them too.
	Name = "drover-fenced-nodes"
	// capacity is how many names the list keeps, the latest: each write of it is a copy in etcd. For a node whose name
	// had to make room there is still the Reconciler, which puts it there again.
	capacity = 1000
)

// List has the names of the nodes that may not come back, the latest last. It is a ClusterRoleBinding, whose subjects are
// their kubelets: a policy can ask what the role says of who makes a request. It could have a ConfigMap as its parameter
// instead, but then every aggregated API server that has policies reads all ConfigMaps, and never gets ready where its own
// role forbids that.
type List struct {
	// Workload is the side that the nodes are of.
	Workload sides.Side
}

// Add puts a name onto the list. A name that is there stays where it is.
func (l List) Add(ctx context.Context, node string) error {
	list, err := l.read(ctx)
	if err != nil {
		return err
	}
	if list == nil {
		return l.begin(ctx, node)
	}
	if has(list, node) {
		return nil
	}
	list.Subjects = append(list.Subjects, kubelet(node))
	list.Subjects = list.Subjects[max(0, len(list.Subjects)-capacity):]
	// It goes onto the list as it was read, or not at all, so nobody else's addition is lost.
	if err := l.Workload.Update(ctx, list); err != nil {
		return fmt.Errorf("fence node %s: %w", node, err)
	}
	return nil
}

func (l List) begin(ctx context.Context, node string) error {
	list := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: Name, Labels: map[string]string{v1alpha1.ManagedLabel: "true"}},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: Name},
		Subjects:   []rbacv1.Subject{kubelet(node)},
	}
	if err := l.Workload.Create(ctx, list); err != nil {
		return fmt.Errorf("fence node %s: %w", node, err)
	}
	return nil
}

// Has says whether a name is on the list.
func (l List) Has(ctx context.Context, node string) (bool, error) {
	list, err := l.read(ctx)
	return err == nil && list != nil && has(list, node), err
}

// Names are all that are on the list, the latest last.
func (l List) Names(ctx context.Context) ([]string, error) {
	list, err := l.read(ctx)
	if err != nil || list == nil {
		return nil, err
	}
	var names []string
	for _, subject := range list.Subjects {
		if node, is := strings.CutPrefix(subject.Name, v1alpha1.NodeUserPrefix); is {
			names = append(names, node)
		}
	}
	return names, nil
}

// read is the list as it is now, or nil. Nothing is cached: it is looked at when a machine comes or goes, and seldom else.
func (l List) read(ctx context.Context) (*rbacv1.ClusterRoleBinding, error) {
	return lookup.GetOrNil(ctx, l.Workload.Live, types.NamespacedName{Name: Name}, &rbacv1.ClusterRoleBinding{})
}

func has(list *rbacv1.ClusterRoleBinding, node string) bool {
	return slices.Contains(list.Subjects, kubelet(node))
}

// kubelet is the one of a node's name.
func kubelet(node string) rbacv1.Subject {
	return rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: v1alpha1.NodeUserPrefix + node}
}
