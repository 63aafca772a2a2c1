package v1alpha1

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
)

// clusterHashLength is the number of hexadecimal digits that tell facts of a cluster apart.
const clusterHashLength = 16

// Hash tells facts of a cluster apart: a NodeAgent's status.clusterHash is that of those that its node goes by. An agent
// that does not know a fact leaves it out, and so has another hash.
func (c ClusterSettings) Hash() string {
	data, err := json.Marshal(c)
	if err != nil {
		panic(fmt.Sprintf("encode the facts of a cluster: %v", err)) // strings always can be
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])[:clusterHashLength]
}
