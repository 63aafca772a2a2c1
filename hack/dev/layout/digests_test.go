package layout_test

import (
	"strings"
	"testing"

	"github.com/drover-dev/drover/hack/dev/layout"
)

func TestRender(t *testing.T) {
	digests := layout.Digests{"images/hello": "sha256:abc"}
	got, err := digests.Render("image: ${images/hello}")
	if err != nil {
		t.Fatal(err)
	}
	if want := "image: 10.88.0.1:5443/images/hello@sha256:abc"; got != want {
		t.Errorf("Render = %q, want %q", got, want)
	}
	_, err = digests.Render("image: ${images/coredns}")
	if err == nil || !strings.Contains(err.Error(), "images/coredns") {
		t.Errorf("Render with an image that was not built: %v, want an error that names it", err)
	}
}
