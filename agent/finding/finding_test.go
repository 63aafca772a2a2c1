package finding

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/drover-dev/drover/api/v1alpha1"
)

func TestTheWorstFindingComesFirst(t *testing.T) {
	found := []v1alpha1.Finding{Info(Swap, "a"), Warning(InotifyInstances, "b"), Error(Memory, "c"), Warning(DiskSpace, "d"), Error(Clock, "e"), Warning(DiskSpace, "f")}
	Sort(found)
	var got []string
	for _, f := range found {
		got = append(got, string(f.Severity)+" "+f.Name+" "+f.Message)
	}
	want := []string{"Error Clock e", "Error Memory c", "Warning DiskSpace d", "Warning DiskSpace f", "Warning InotifyInstances b", "Info Swap a"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestOnlyErrorsKeepAMachineFromBeingANode(t *testing.T) {
	found := []v1alpha1.Finding{Error(Memory, "%d MiB are too little", 100), Warning(DiskSpace, "little room"), Info(Swap, "swap is on")}
	if diff := cmp.Diff([]string{"Memory: 100 MiB are too little"}, Errors(found)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestAFindingIsNeverTooLongForTheAPI(t *testing.T) {
	if f := Warning(Sysctl, "%s", strings.Repeat("ü", 5000)); len(f.Message) > v1alpha1.MaxMessage {
		t.Errorf("the API server takes no message of %d bytes, and with it none of the status", len(f.Message))
	}
}
