package local

import (
	"os"
	"testing"

	"github.com/drover-dev/drover/test/apiserver"
)

func TestMain(m *testing.M) { os.Exit(apiserver.Run(m)) }
