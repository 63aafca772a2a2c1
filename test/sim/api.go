package sim

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// kind is a kind of objects that the API server has. All that have a namespace are in one.
type kind int

const (
	pools kind = iota
	machines
	agents
	nodes
	revisions
	configs
	bundles
	clusters
	bindings
	infra
	templates
	kinds

	// lateKinds are those of which a manager's cache may be late: the ones before.
	lateKinds = bundles
)

const namespace = "fleet"

var kindNames = [kinds]string{"NodePool", "Machine", "NodeAgent", "Node", "ControllerRevision", "ConfigMap", "NodeBundle", "Cluster", "ClusterRoleBinding", "LocalMachine", "LocalMachineTemplate"}

func (k kind) String() string { return kindNames[k] }

// kindOf is the kind of an object or of a list. What is not typed is a provider's.
func kindOf(object any) kind {
	switch o := object.(type) {
	case *v1alpha1.NodePool, *v1alpha1.NodePoolList:
		return pools
	case *clusterv1.Machine, *clusterv1.MachineList:
		return machines
	case *v1alpha1.NodeAgent, *v1alpha1.NodeAgentList:
		return agents
	case *corev1.Node, *corev1.NodeList:
		return nodes
	case *appsv1.ControllerRevision, *appsv1.ControllerRevisionList:
		return revisions
	case *corev1.ConfigMap:
		return configs
	case *v1alpha1.NodeBundle, *v1alpha1.NodeBundleList:
		return bundles
	case *clusterv1.Cluster, *clusterv1.ClusterList:
		return clusters
	case *rbacv1.ClusterRoleBinding:
		return bindings
	case interface {
		GroupVersionKind() schema.GroupVersionKind
	}:
		if name := o.GroupVersionKind().Kind; name == kindNames[infra] || name == kindNames[infra]+"List" {
			return infra
		}
		return templates
	default:
		panic(fmt.Sprintf("the simulated API server has no %T", object))
	}
}

// table has the objects of a kind by their names. An object in it is replaced, never changed: caches have it as well.
type table []client.Object

func (t table) find(name string) (int, bool) {
	return slices.BinarySearchFunc(t, name, func(o client.Object, name string) int { return cmp.Compare(o.GetName(), name) })
}

func (t table) get(name string) client.Object {
	if i, found := t.find(name); found {
		return t[i]
	}
	return nil
}

// set puts an object in, or takes the one of that name out for nil.
func (t *table) set(name string, object client.Object) {
	i, found := t.find(name)
	switch {
	case found && object == nil:
		*t = slices.Delete(*t, i, i+1)
	case found:
		(*t)[i] = object
	case object != nil:
		*t = slices.Insert(*t, i, object)
	}
}

// change is what a write did: before is nil for an object that was made, after for one that is gone.
type change struct {
	kind          kind
	before, after client.Object
}

func (c change) name() string {
	if c.after != nil {
		return c.after.GetName()
	}
	return c.before.GetName()
}

// api is the API server: versions, optimistic locks, generations, finalizers and status subresources as it has them.
type api struct {
	clock   *timeline
	tables  [kinds]table
	version int
	// changed is told of each change.
	changed func(change)
}

func (a *api) get(k kind, name string) client.Object { return a.tables[k].get(name) }

// of reads an object of a type; the zero value, nil, stands for none. Nobody changes what it returns.
func of[T client.Object](a *api, k kind, name string) T {
	object, _ := a.get(k, name).(T)
	return object
}

func resource(k kind) schema.GroupResource { return schema.GroupResource{Resource: k.String()} }

func (a *api) nextVersion() string {
	a.version++
	return strconv.Itoa(a.version)
}

// create stores an object, and shows it as it is stored.
func (a *api) create(object client.Object) error {
	k := kindOf(object)
	if a.get(k, object.GetName()) != nil {
		return apierrors.NewAlreadyExists(resource(k), object.GetName())
	}
	object.SetResourceVersion(a.nextVersion())
	object.SetUID(types.UID("uid-" + object.GetResourceVersion()))
	object.SetCreationTimestamp(metav1.NewTime(a.clock.now.Truncate(time.Second)))
	object.SetGeneration(1)
	switch o := object.(type) { // which their subresource writes
	case *v1alpha1.NodePool:
		o.Status = v1alpha1.NodePoolStatus{ObservedGeneration: -1}
	case *clusterv1.Machine:
		o.Status = clusterv1.MachineStatus{}
	case *v1alpha1.NodeAgent:
		o.Status = v1alpha1.NodeAgentStatus{}
	}
	stored := copyOf(object)
	a.tables[k].set(object.GetName(), stored)
	a.changed(change{kind: k, after: stored})
	return nil
}

// replace stores what became of an object. One that is being deleted goes with its last finalizer.
func (a *api) replace(k kind, before, after client.Object) {
	if equality.Semantic.DeepEqual(before, after) {
		return
	}
	after.SetResourceVersion(a.nextVersion())
	if specChanged(before, after) || before.GetDeletionTimestamp().IsZero() != after.GetDeletionTimestamp().IsZero() {
		after.SetGeneration(before.GetGeneration() + 1)
	}
	if !after.GetDeletionTimestamp().IsZero() && len(after.GetFinalizers()) == 0 {
		a.tables[k].set(before.GetName(), nil)
		a.changed(change{kind: k, before: before})
		return
	}
	a.tables[k].set(before.GetName(), after)
	a.changed(change{kind: k, before: before, after: after})
}

func specChanged(before, after client.Object) bool {
	switch b := before.(type) {
	case *v1alpha1.NodePool:
		return !equality.Semantic.DeepEqual(b.Spec, as[*v1alpha1.NodePool](after).Spec)
	case *clusterv1.Machine:
		return !equality.Semantic.DeepEqual(b.Spec, as[*clusterv1.Machine](after).Spec)
	case *v1alpha1.NodeAgent:
		return !equality.Semantic.DeepEqual(b.Spec, as[*v1alpha1.NodeAgent](after).Spec)
	default:
		return false
	}
}

// edit changes an object, as somebody who always writes last.
func edit[T client.Object](a *api, k kind, name string, how func(T)) {
	before, ok := a.get(k, name).(T)
	if !ok {
		return
	}
	after := as[T](before.DeepCopyObject())
	how(after)
	a.replace(k, before, after)
}

// remove asks for an object's deletion; with a UID, for that of no other.
func (a *api) remove(k kind, name string, as *metav1.Preconditions) error {
	before := a.get(k, name)
	switch {
	case before == nil:
		return apierrors.NewNotFound(resource(k), name)
	case as != nil && as.UID != nil && *as.UID != before.GetUID():
		return apierrors.NewConflict(resource(k), name, errors.New("the UID in the precondition is another one"))
	case as != nil && as.ResourceVersion != nil && *as.ResourceVersion != before.GetResourceVersion():
		return apierrors.NewConflict(resource(k), name, errors.New("the version in the precondition is another one"))
	case len(before.GetFinalizers()) == 0:
		a.tables[k].set(name, nil)
		a.nextVersion()
		a.changed(change{kind: k, before: before})
	case before.GetDeletionTimestamp().IsZero():
		after := copyOf(before)
		now := metav1.NewTime(a.clock.now.Truncate(time.Second))
		after.SetDeletionTimestamp(&now)
		a.replace(k, before, after)
	}
	return nil
}

// patch merges a JSON merge patch into an object or into its status, and shows what came of it in the given object.
func (a *api) patch(object client.Object, patch client.Patch, status bool) error {
	k, name := kindOf(object), object.GetName()
	data, err := patch.Data(object)
	if err != nil {
		return err //nolint:wrapcheck // as the client does
	}
	before := a.get(k, name)
	if before == nil {
		return apierrors.NewNotFound(resource(k), name)
	}
	var lock struct {
		Metadata struct {
			ResourceVersion string `json:"resourceVersion"`
		} `json:"metadata"`
	}
	if err := json.Unmarshal(data, &lock); err != nil {
		return apierrors.NewBadRequest(err.Error())
	}
	if has := lock.Metadata.ResourceVersion; has != "" && has != before.GetResourceVersion() {
		return apierrors.NewConflict(resource(k), name, errors.New("the object has been modified; please apply your changes to the latest version and try again"))
	}
	after, err := merge(before, data, status)
	if err != nil {
		return err
	}
	a.replace(k, before, after)
	show(object, after)
	return nil
}

// merge is an object with a merge patch in it: in its status alone, or in all but that.
func merge(before client.Object, data []byte, status bool) (client.Object, error) {
	var patch map[string]any
	if err := json.Unmarshal(data, &patch); err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	merged := as[client.Object](reflect.New(reflect.TypeOf(before).Elem()).Interface())
	if status {
		if _, has := patch["status"]; !has {
			return copyOf(before), nil
		}
		patch = map[string]any{"status": patch["status"]}
		if err := mergeJSON(merged, map[string]any{"status": statusOf(before)}, patch); err != nil {
			return nil, err
		}
		after := copyOf(before)
		setStatus(after, merged)
		return after, nil
	}
	if err := mergeJSON(merged, before, patch); err != nil {
		return nil, err
	}
	setStatus(merged, before)
	return merged, nil
}

// mergeJSON merges a patch into the JSON of something, and reads an object from that.
func mergeJSON(into client.Object, from any, patch map[string]any) error {
	raw, err := json.Marshal(from)
	if err != nil {
		return apierrors.NewInternalError(err)
	}
	document := map[string]any{}
	if err := json.Unmarshal(raw, &document); err != nil {
		return apierrors.NewInternalError(err)
	}
	mergeInto(document, patch)
	if raw, err = json.Marshal(document); err != nil {
		return apierrors.NewInternalError(err)
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return apierrors.NewBadRequest(err.Error())
	}
	return nil
}

// mergeInto is RFC 7396.
func mergeInto(document, patch map[string]any) {
	for key, value := range patch {
		below, isObject := value.(map[string]any)
		if value == nil {
			delete(document, key)
			continue
		}
		if !isObject {
			document[key] = value
			continue
		}
		there, ok := document[key].(map[string]any)
		if !ok {
			there = map[string]any{}
			document[key] = there
		}
		mergeInto(there, below)
	}
}

func statusOf(object client.Object) any {
	switch o := object.(type) {
	case *v1alpha1.NodePool:
		return &o.Status
	case *clusterv1.Machine:
		return &o.Status
	case *v1alpha1.NodeAgent:
		return &o.Status
	default:
		return nil
	}
}

func setStatus(into, from client.Object) {
	switch o := into.(type) {
	case *v1alpha1.NodePool:
		o.Status = as[*v1alpha1.NodePool](from).Status
	case *clusterv1.Machine:
		o.Status = as[*clusterv1.Machine](from).Status
	case *v1alpha1.NodeAgent:
		o.Status = as[*v1alpha1.NodeAgent](from).Status
	}
}

// as is a value of which one knows the type.
func as[T any](value any) T {
	typed, _ := value.(T)
	return typed
}

func copyOf(object client.Object) client.Object {
	return as[client.Object](object.DeepCopyObject())
}

// show puts a stored object into one of the caller's.
func show(into, stored client.Object) {
	reflect.ValueOf(into).Elem().Set(reflect.ValueOf(copyOf(stored)).Elem())
}

// fill puts stored objects into a list of the caller's.
func fill(list client.ObjectList, objects []client.Object, copies bool) {
	switch l := list.(type) {
	case *v1alpha1.NodePoolList:
		l.Items = items[v1alpha1.NodePool](objects, copies)
	case *clusterv1.MachineList:
		l.Items = items[clusterv1.Machine](objects, copies)
	case *v1alpha1.NodeAgentList:
		l.Items = items[v1alpha1.NodeAgent](objects, copies)
	case *corev1.NodeList:
		l.Items = items[corev1.Node](objects, copies)
	case *appsv1.ControllerRevisionList:
		l.Items = items[appsv1.ControllerRevision](objects, copies)
	case *v1alpha1.NodeBundleList:
		l.Items = items[v1alpha1.NodeBundle](objects, copies)
	case *clusterv1.ClusterList:
		l.Items = items[clusterv1.Cluster](objects, copies)
	case *unstructured.UnstructuredList:
		l.Items = items[unstructured.Unstructured](objects, copies)
	default:
		panic(fmt.Sprintf("the simulated API server has no %T", list))
	}
}

func items[T any, P interface {
	*T
	client.Object
}](objects []client.Object, copies bool) []T {
	list := make([]T, 0, len(objects))
	for _, object := range objects {
		if copies {
			object = copyOf(object)
		}
		list = append(list, *as[P](object))
	}
	return list
}
