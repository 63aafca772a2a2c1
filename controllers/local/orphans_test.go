package local

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// failingReader cannot list.
type failingReader struct {
	client.Reader
	err error
}

func (r failingReader) List(context.Context, client.ObjectList, ...client.ListOption) error {
	return r.err
}

func TestAMachineWhoseLocalMachineIsGoneIsRemoved(t *testing.T) {
	noKind := &meta.NoKindMatchError{GroupKind: schema.GroupKind{Group: v1alpha1.GroupVersion.Group, Kind: "LocalMachine"}}
	cases := map[string]struct {
		reason string
		spoil  func(*stage, *orphanage)
		gone   bool
	}{
		"the object stays":        {"a machine that is wanted is nobody's orphan", func(*stage, *orphanage) {}, false},
		"the finalizer went":      {"a machine whose finalizer was stripped is", func(s *stage, _ *orphanage) { s.strip() }, true},
		"the list fails":          {"who cannot see must not act", func(s *stage, o *orphanage) { s.strip(); o.reader = failingReader{o.reader, errors.New("down")} }, false},
		"the kind is not there":   {"a cluster without the kind is another one, or half installed", func(s *stage, o *orphanage) { s.strip(); o.reader = failingReader{o.reader, noKind} }, false},
		"the record is not there": {"what has no record of ours is not ours", func(s *stage, _ *orphanage) { s.strip(); s.mustRemove(filepath.Join(s.directory(), "record.json")) }, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, nil)
			s.reconcile()
			stranger := filepath.Join(s.provider.Root, "somebody", "else")
			if err := os.MkdirAll(stranger, 0o700); err != nil {
				t.Fatal(err)
			}
			o := &orphanage{reader: s.client, machines: s.provider.machines, log: logr.Discard()}
			c.spoil(s, o)
			removed := o.collect(t.Context())
			if _, err := os.Stat(s.directory()); (err != nil) != c.gone || (removed == 1) != c.gone || (len(s.host.Processes()) == 0) != c.gone {
				t.Errorf("%s: removed %d, directory: %v, processes %v", c.reason, removed, err, s.host.Processes())
			}
			if _, err := os.Stat(stranger); err != nil {
				t.Errorf("a stranger's directory is gone: %v", err)
			}
			if again := o.collect(t.Context()); again != 0 {
				t.Errorf("%d were removed a second time", again)
			}
		})
	}
}

// directory is the machine's.
func (s *stage) directory() string {
	return filepath.Join(s.provider.Root, machineKey.Namespace, machineKey.Name)
}

// strip takes the object away behind the controller's back.
func (s *stage) strip() {
	s.t.Helper()
	lm := s.machine()
	lm.Finalizers = nil
	if err := errors.Join(s.client.Update(context.Background(), lm), s.client.Delete(context.Background(), lm)); err != nil {
		s.t.Fatal(err)
	}
}

func (s *stage) mustRemove(path string) {
	s.t.Helper()
	if err := os.Remove(path); err != nil {
		s.t.Fatal(err)
	}
}
