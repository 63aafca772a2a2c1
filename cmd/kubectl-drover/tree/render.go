package tree

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/util/duration"

	"github.com/drover-dev/drover/cmd/kubectl-drover/plain"
)

var marks = map[Health]string{Bad: "✗", Pending: "…", Good: "✓"}

// row is a line before its columns are aligned.
type row struct{ name, status, age, reason string }

// Render prints the tree as a table.
func Render(out io.Writer, roots []Node, now time.Time) error {
	if len(roots) == 0 {
		_, err := fmt.Fprintln(out, "No node pools found.")
		return err
	}
	rows := []row{{"NAME", "STATUS", "AGE", "REASON"}}
	for _, root := range roots {
		rows = appendRows(rows, root, "", "", now)
	}
	var name, status, age int
	for _, r := range rows {
		name, status, age = max(name, width(r.name)), max(status, width(r.status)), max(age, width(r.age))
	}
	for _, r := range rows {
		line := pad(r.name, name) + "  " + pad(r.status, status) + "  " + pad(r.age, age) + "  " + r.reason
		if _, err := fmt.Fprintln(out, strings.TrimRight(line, " ")); err != nil {
			return err
		}
	}
	return nil
}

// appendRows appends the node's row, after lead, and those of its children, after indent and a branch.
func appendRows(rows []row, n Node, lead, indent string, now time.Time) []row {
	age := ""
	if !n.Since.IsZero() {
		age = duration.HumanDuration(now.Sub(n.Since))
	}
	reason := plain.Text(n.Reason)
	if !n.Heard.IsZero() {
		reason = strings.TrimPrefix(fmt.Sprintf("%s, heard %s ago", reason, duration.HumanDuration(now.Sub(n.Heard))), ", ")
	}
	rows = append(rows, row{lead + plain.Text(n.Name), marks[n.Health] + " " + plain.Text(n.Status), age, reason})
	for i, child := range n.Children {
		branch, below := "├─ ", "│  "
		if i == len(n.Children)-1 {
			branch, below = "└─ ", "   "
		}
		rows = appendRows(rows, child, indent+branch, indent+below, now)
	}
	return rows
}

func width(s string) int { return utf8.RuneCountInString(s) }

func pad(s string, to int) string { return s + strings.Repeat(" ", to-width(s)) }
