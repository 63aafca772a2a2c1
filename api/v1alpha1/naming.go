package v1alpha1

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"
)

const (
	// maxPoolInName is how much of a pool's name a machine's name has room for. With the hash and 16 digits it
	// makes 63 characters, the most that a Node's host name label may have.
	maxPoolInName = 40
	// poolHashLength is the number of hexadecimal digits that tell apart pools of one name.
	poolHashLength = 5
)

// MachineName is the name of a pool's machine with that ordinal: of its Machine, its infrastructure machine, its
// NodeAgent and its Node. Nodes have no namespace and outlive pools, so a short hash of the pool's namespace and UID
// stands between the pool's name, cut to 40 characters, and the ordinal.
func MachineName(pool *NodePool, ordinal int64) string {
	return MachineNamePrefix(pool) + strconv.FormatInt(ordinal, 10)
}

// MachineNamePrefix is what the names of all machines of a pool begin with.
func MachineNamePrefix(pool *NodePool) string {
	name := pool.Name
	if len(name) > maxPoolInName {
		name = strings.TrimRight(name[:maxPoolInName], "-.")
	}
	sum := sha256.Sum256([]byte(pool.Namespace + "/" + string(pool.UID)))
	return name + "-" + hex.EncodeToString(sum[:])[:poolHashLength] + "-"
}

// RevisionName is the name of the ControllerRevision, in the pool's namespace, that holds the NodeAgentSpec of a
// revision. The hash is the value of RevisionLabel on the Machines made from it.
func RevisionName(poolName, hash string) string {
	return poolName + "-" + hash
}
