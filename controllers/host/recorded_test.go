package host

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/v1alpha1"
	"github.com/drover-dev/drover/test/recorded"
)

// recordedKey is written in the place of the server's.
const recordedKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA=="

// rack is a server whose Host the files of config/argocd have.
type rack struct {
	*site
	*box
}

const rackName, rackMachine = "rack-1", "workers-0a1b2-0"

func newRack(t *testing.T) *rack {
	t.Helper()
	s := newSite(t)
	return &rack{site: s, box: s.box(rackName)}
}

// recorded compares the Host with what the files have for that state.
func (r *rack) recorded(state string) {
	r.t.Helper()
	names := []string{r.work, "/var/lib", r.namespace, "default", r.box.Address, "192.0.2.11", fmt.Sprintf(`"port":%d`, r.Port), `"port":22`, fmt.Sprintf(":%d", r.Port), ":22"}
	for _, line := range r.HostKeyLines() {
		names = append(names, line, recordedKey)
	}
	key := client.ObjectKey{Namespace: r.namespace, Name: rackName}
	recorded.Is(r.t, r.Client, v1alpha1.GroupVersion.WithKind("Host"), key, state, names...)
}

// released has the machine made of the Host and removed again, and the Host not looked at yet.
func (r *rack) released() {
	r.t.Helper()
	r.serve(rackName, rackMachine)
	r.look(rackName)
	r.remove(rackMachine)
	r.make(rackMachine)
}

// TestTheHostsThatArgoCDIsToReadAreAsRecorded, from when one is applied until it is taken away.
func TestTheHostsThatArgoCDIsToReadAreAsRecorded(t *testing.T) {
	r := newRack(t)
	r.recorded("just-applied")
	r.RefuseAuth(true)
	r.look(rackName)
	r.recorded("unreachable")
	r.RefuseAuth(false)
	r.put(t, "findings", `{"name":"NoSpace","severity":"Blocking","message":"2 GiB are free below /var/lib; a node needs 10"}`)
	r.look(rackName)
	r.recorded("unfit")
	r.put(t, "findings", "")
	r.look(rackName)
	r.recorded("available")

	unschedulable := func(yes bool) {
		h := r.host(rackName)
		h.Spec.Unschedulable = &yes
		if err := r.Client.Update(t.Context(), h); err != nil {
			t.Fatal(err)
		}
		r.look(rackName)
	}
	unschedulable(true)
	r.recorded("unschedulable")
	unschedulable(false)

	r.serve(rackName, rackMachine)
	r.look(rackName)
	r.recorded("claimed")
	if err := r.Client.Delete(t.Context(), r.host(rackName)); err != nil {
		t.Fatal(err)
	}
	r.look(rackName)
	r.recorded("deleting")
}

func TestTheHostThatIsBeingCleanedIsAsRecorded(t *testing.T) {
	r := newRack(t)
	r.released()
	r.put(t, "reset-hangs", "")
	var looked sync.WaitGroup
	looked.Go(func() {
		if _, err := r.hosts.Reconcile(t.Context(), r.request(rackName)); err != nil {
			t.Error(err)
		}
	})
	if !r.eventually(func() bool { return r.host(rackName).Status.State == v1alpha1.HostCleaning }) {
		t.Error("it is not said to be cleaned")
	}
	r.recorded("cleaning")
	if err := os.Remove(filepath.Join(r.dir, "reset-hangs")); err != nil {
		t.Error(err)
	}
	looked.Wait()
}

// TestTheHostsThatWaitForSomebodyAreAsRecorded after a release: one is to be looked at, and of one something is left.
func TestTheHostsThatWaitForSomebodyAreAsRecorded(t *testing.T) {
	for state, spoil := range map[string]func(*rack){
		"quarantined": func(r *rack) {
			h := r.host(rackName)
			h.Spec.Cleanup = v1alpha1.HostCleanupManual
			if err := r.Client.Update(r.t.Context(), h); err != nil {
				r.t.Fatal(err)
			}
		},
		"not-cleaned": func(r *rack) { r.put(r.t, "stuck", "") },
	} {
		t.Run(state, func(t *testing.T) {
			r := newRack(t)
			spoil(r)
			r.released()
			r.look(rackName)
			r.look(rackName)
			r.recorded(state)
		})
	}
}
