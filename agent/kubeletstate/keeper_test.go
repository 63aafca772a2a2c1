package kubeletstate

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/go-logr/logr/testr"
	"github.com/google/go-cmp/cmp"
)

const (
	cpu     = "cpu_manager_state"
	devices = "device-plugins/kubelet_internal_checkpoint"
)

func keeper(t *testing.T) *Keeper {
	t.Helper()
	dir := t.TempDir()
	return &Keeper{KubeletDir: filepath.Join(dir, "kubelet"), Path: filepath.Join(dir, "state", "kubelet-state.json"), Log: testr.New(t)}
}

// starts has a kubelet of a version started, which leaves these files.
func (k *Keeper) starts(t *testing.T, version string, leaves map[string]string) {
	t.Helper()
	if err := k.Prepare(version); err != nil {
		t.Fatal(err)
	}
	for name, content := range leaves {
		k.put(t, name, content)
	}
}

func (k *Keeper) put(t *testing.T, name, content string) {
	t.Helper()
	path := filepath.Join(k.KubeletDir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// has compares the files that are there.
func (k *Keeper) has(t *testing.T, want map[string]string) {
	t.Helper()
	files, err := k.take()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for name, content := range files {
		got[name] = string(content)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the kubelet finds (-want +got):\n%s", diff)
	}
}

func TestAMinorVersionThatIsGoneBackToFindsWhatItLeft(t *testing.T) {
	k := keeper(t)
	k.starts(t, "v1.36.5", map[string]string{cpu: `{"v":3}`})
	k.starts(t, "v1.36.5", nil) // it crashed once
	k.starts(t, "v1.37.1", map[string]string{cpu: `{"v":4}`, devices: `{"new":true}`})
	k.starts(t, "v1.36.5", nil)
	k.has(t, map[string]string{cpu: `{"v":3}`})
	k.starts(t, "v1.37.1", nil)
	k.has(t, map[string]string{cpu: `{"v":4}`, devices: `{"new":true}`})
}

// What a minor version writes is the same in each of its patch versions.
func TestAnyPatchVersionOfAMinorVersionFindsWhatThatLeft(t *testing.T) {
	k := keeper(t)
	k.starts(t, "v1.36.5", map[string]string{cpu: `{"v":3}`})
	k.starts(t, "v1.37.1", map[string]string{cpu: `{"v":4}`})
	k.starts(t, "v1.37.2", map[string]string{cpu: `{"v":44}`})
	k.starts(t, "v1.36.6", nil)
	k.has(t, map[string]string{cpu: `{"v":3}`})
	k.starts(t, "v1.37.1", nil)
	k.has(t, map[string]string{cpu: `{"v":44}`})
}

// Pods stay over a change of the patch version, and with them what was remembered of them since.
func TestAPatchVersionFindsWhatTheOtherLeft(t *testing.T) {
	k := keeper(t)
	k.starts(t, "v1.37.1", map[string]string{cpu: `{"pods":1}`})
	k.starts(t, "v1.37.2", map[string]string{cpu: `{"pods":2}`})
	k.starts(t, "v1.37.1", nil)
	k.has(t, map[string]string{cpu: `{"pods":2}`})
}

func TestWhatAVersionLeftLongAgoIsNotPutBack(t *testing.T) {
	k := keeper(t)
	k.starts(t, "v1.36.5", map[string]string{cpu: `{"v":36}`})
	k.starts(t, "v1.37.1", map[string]string{cpu: `{"v":37}`})
	k.starts(t, "v1.38.0", map[string]string{cpu: `{"v":38}`})
	k.starts(t, "v1.36.5", nil)
	k.has(t, map[string]string{cpu: `{"v":38}`})
}

func TestAFileThatHoldsNothingOfUseIsRemoved(t *testing.T) {
	for name, content := range map[string]string{"empty": "", "torn": `{"policyName":"no`, "of zeros": "\x00\x00\x00"} {
		t.Run(name, func(t *testing.T) {
			k := keeper(t)
			k.starts(t, "v1.37.1", map[string]string{cpu: content, devices: `{}`})
			k.starts(t, "v1.37.1", nil)
			k.has(t, map[string]string{devices: `{}`})
		})
	}
}

// An agent that was killed in the middle of it goes on where it was.
func TestWhatIsPutBackIsPutBackInTheEnd(t *testing.T) {
	k := keeper(t)
	k.starts(t, "v1.36.5", map[string]string{cpu: `{"v":3}`})
	k.starts(t, "v1.37.1", map[string]string{cpu: `{"v":4}`})
	last, err := k.read()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.changed(last, "v1.36.5"); err != nil { // and no more
		t.Fatal(err)
	}
	k.starts(t, "v1.36.5", nil)
	k.has(t, map[string]string{cpu: `{"v":3}`})
	k.starts(t, "v1.36.5", map[string]string{cpu: `{"v":33}`})
	k.starts(t, "v1.36.5", nil)
	k.has(t, map[string]string{cpu: `{"v":33}`})
}

func TestARecordOfNoUseKeepsNoKubeletDown(t *testing.T) {
	k := keeper(t)
	k.starts(t, "v1.36.5", map[string]string{cpu: ""})
	if err := os.WriteFile(k.Path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	k.starts(t, "v1.37.1", nil)
	k.has(t, map[string]string{})
}
