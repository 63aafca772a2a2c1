package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSkipped(t *testing.T) {
	const events = `{"Action":"start","Package":"a"}
{"Action":"run","Package":"a","Test":"TestOne"}
{"Action":"pass","Package":"a","Test":"TestOne"}
{"Action":"skip","Package":"a","Test":"TestTwo/sub"}
{"Action":"skip","Package":"b"}
`
	got, err := skipped(strings.NewReader(events))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a TestTwo/sub"}, got); diff != "" {
		t.Errorf("skipped tests, of which a package without tests is none (-want +got):\n%s", diff)
	}
	if _, err := skipped(strings.NewReader("FAIL")); err == nil {
		t.Error("what is no test event was passed over")
	}
}
