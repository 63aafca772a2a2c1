package disruption

import "fmt"

// Class is how much a change disturbs the pods of a node. A larger one disturbs more.
type Class int

// The classes.
const (
	// None: nothing restarts. The agent or the manager changes what runs.
	None Class = iota
	// Restart: components restart, one after the other. Containers go on, with the same processes.
	Restart
	// Drain: the node is cordoned and drained before it, and uncordoned after.
	Drain
	// Replace: the node's machine gives way to a new one.
	Replace
)

var names = [...]string{None: "None", Restart: "Restart", Drain: "Drain", Replace: "Replace"}

// String is the class's name.
func (c Class) String() string {
	if c < None || c > Replace {
		return fmt.Sprintf("Class(%d)", int(c))
	}
	return names[c]
}

// Change is what became of one field.
type Change struct {
	// Field is its path in the spec of a NodeAgent, such as kubelet.maxPods.
	Field string
	// Class is how much that disturbs pods.
	Class Class
	// Components are those that restart for it, in the order that they are listed in everywhere: agent, containerd, kubelet,
	// kube-proxy.
	Components []string
	// ByContent says that only those of them restart whose programs are other ones in the new bundle.
	ByContent bool
	// Message says in a sentence what happens.
	Message string
}

// Worst is the class that a node is treated by for all of the changes; None for no change.
func Worst(changes []Change) Class {
	worst := None
	for _, c := range changes {
		worst = max(worst, c.Class)
	}
	return worst
}
