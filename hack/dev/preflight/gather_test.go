package preflight

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseListeners(t *testing.T) {
	const table = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:094B 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4242 1 0000000000000000 100 0 0 10 0
   1: 0100007F:094B 0100007F:C0DE 01 00000000:00000000 00:00000000 00000000     0        0 4243 1 0000000000000000 20 4 30 10 -1
`
	want := map[string]int{"4242": 2379}
	if diff := cmp.Diff(want, parseListeners(table)); diff != "" {
		t.Errorf("listening sockets (-want +got), a connection is none:\n%s", diff)
	}
}
