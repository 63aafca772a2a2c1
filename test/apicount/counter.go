package apicount

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"

	"k8s.io/client-go/rest"
)

// Key is one kind of request.
type Key struct {
	// Resource is the plural name with its group, and the subresource: machines.cluster.x-k8s.io/status.
	Resource string
	// Verb is create, update, patch or delete, or get for any read, lists and watches included.
	Verb string
}

// Counter counts requests. Its zero value is ready; it is safe for concurrent use.
type Counter struct {
	mutex  sync.Mutex
	counts map[Key]int
}

// Wrap makes the configuration's clients count here.
func (c *Counter) Wrap(config *rest.Config) {
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(request *http.Request) (*http.Response, error) {
			c.record(request)
			return next.RoundTrip(request)
		})
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

// RoundTrip implements http.RoundTripper.
func (f roundTripper) RoundTrip(request *http.Request) (*http.Response, error) { return f(request) }

func (c *Counter) record(request *http.Request) {
	key, ok := classify(request.Method, request.URL.Path)
	if !ok {
		return
	}
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if c.counts == nil {
		c.counts = map[Key]int{}
	}
	c.counts[key]++
}

// Reset forgets what was counted.
func (c *Counter) Reset() {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.counts = nil
}

// Counts is a copy of what was counted.
func (c *Counter) Counts() map[Key]int {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	return maps.Clone(c.counts)
}

// Writes is the number of writes in the counts, without Events and Leases, which are not state.
func Writes(counts map[Key]int) int {
	total := 0
	for key, count := range counts {
		if key.State() {
			total += count
		}
	}
	return total
}

// Requests is the number of requests in the counts, reads included, without Events and Leases.
func Requests(counts map[Key]int) int {
	total := 0
	for key, count := range counts {
		if key.State() || key.Verb == read {
			total += count
		}
	}
	return total
}

// read is the verb of what writes nothing.
const read = "get"

// State says whether the request writes state: Events and Leases are none, and reviews are questions.
func (k Key) State() bool {
	if k.Verb == read {
		return false
	}
	resource, _, _ := strings.Cut(k.Resource, "/")
	name, group, _ := strings.Cut(resource, ".")
	return name != "events" && name != "leases" && group != "authorization.k8s.io" && group != "authentication.k8s.io"
}

// Print writes a table of the counts, divided by the number of machines, the largest first.
func Print(out io.Writer, counts map[Key]int, machines int) error {
	keys := slices.SortedFunc(maps.Keys(counts), func(a, b Key) int {
		if counts[a] != counts[b] {
			return counts[b] - counts[a]
		}
		return strings.Compare(a.Resource+a.Verb, b.Resource+b.Verb)
	})
	table := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	lines := []string{"WRITES/MACHINE\tVERB\tRESOURCE"}
	for _, key := range keys {
		if key.State() {
			lines = append(lines, fmt.Sprintf("%.2f\t%s\t%s", float64(counts[key])/float64(machines), key.Verb, key.Resource))
		}
	}
	lines = append(lines, fmt.Sprintf("%.2f\t\ttotal, without events and leases", float64(Writes(counts))/float64(machines)), "")
	if _, err := io.WriteString(table, strings.Join(lines, "\n")); err != nil {
		return err
	}
	return table.Flush()
}

// classify reads the verb and the resource off a request: /apis/<group>/<version>[/namespaces/<namespace>]/<resource>
// [/<name>[/<subresource>]], and /api/v1 for the core group. What is about no resource does not count.
func classify(method, path string) (Key, bool) {
	verb, ok := map[string]string{
		http.MethodPost: "create", http.MethodPut: "update", http.MethodPatch: "patch", http.MethodDelete: "delete", http.MethodGet: read,
	}[method]
	if !ok {
		return Key{}, false
	}
	parts := strings.Split(strings.Trim(path, "/"), "/")
	group := ""
	switch {
	case len(parts) > 2 && parts[0] == "api":
		parts = parts[2:]
	case len(parts) > 3 && parts[0] == "apis":
		group, parts = "."+parts[1], parts[3:]
	default:
		return Key{}, false
	}
	if parts[0] == "namespaces" && len(parts) > 2 {
		parts = parts[2:]
	}
	resource := parts[0] + group
	if len(parts) > 2 {
		resource += "/" + parts[2]
	}
	return Key{Resource: resource, Verb: verb}, true
}
