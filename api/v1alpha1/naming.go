package v1alpha1

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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

// machineName matches what MachineName makes.
var machineName = regexp.MustCompile(`-[0-9a-f]{` + strconv.Itoa(poolHashLength) + `}-[0-9]+$`)

// IsMachineName says that a name is as those of pools' machines are. Nobody can edit a name, and few others are like that.
func IsMachineName(name string) bool { return machineName.MatchString(name) }

// RevisionName is the name of the ControllerRevision, in the pool's namespace, that holds the NodeAgentSpec of a
// revision. The hash is the value of RevisionLabel on the Machines made from it.
func RevisionName(poolName, hash string) string {
	return poolName + "-" + hash
}

// ToldRevision is the revision that the node of a Machine was told last to run: the one that the Machine was made from, until
// it was told another.
func ToldRevision(machine metav1.Object) string {
	if told := machine.GetAnnotations()[ToldRevisionAnnotation]; told != "" {
		return told
	}
	return machine.GetLabels()[RevisionLabel]
}
