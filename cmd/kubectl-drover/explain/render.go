package explain

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/drover-dev/drover/api/disruption"
	"github.com/drover-dev/drover/cmd/kubectl-drover/plain"
	"github.com/drover-dev/drover/controllers/planner"
)

// step is a line of a plan: a decision, and how many follow each other that differ in nothing.
type step struct {
	planner.Decision
	count int
}

// steps are decisions in their order. Machines that are to be made have no names yet.
func steps(decisions []planner.Decision) []step {
	var list []step
	for _, d := range decisions {
		if n := len(list); n > 0 && list[n-1].Decision == d {
			list[n-1].count++
			continue
		}
		list = append(list, step{Decision: d, count: 1})
	}
	return list
}

// does is what a step does, and to what.
func (s step) does() string {
	if s.Name != "" {
		return fmt.Sprintf("%s %s", s.Verb, s.Name)
	}
	if s.count == 1 {
		return string(s.Verb) + " a machine"
	}
	return fmt.Sprintf("%s %d machines", s.Verb, s.count)
}

// class is what a change does to its machine's pods; of what is no change, a dash.
func (s step) class() string {
	if s.Verb != planner.Update && s.Class != disruption.Replace {
		return "-"
	}
	return s.Class.String()
}

// when says that a step is taken now, or what it waits for.
func (s step) when() string {
	if s.Waits == "" {
		return "now"
	}
	return fmt.Sprintf("waits (%s): %s", s.Waits, s.For)
}

func renderPlan(out io.Writer, told planner.Explanation) error {
	var text strings.Builder
	fmt.Fprintf(&text, "NodePool %s/%s: %s\n", told.Pool.Namespace, told.Pool.Name, progress(told))
	if told.Refresh != "" {
		fmt.Fprintf(&text, "Refresh: %s\n", plain.Text(told.Refresh))
	}
	for _, p := range told.Problems {
		fmt.Fprintf(&text, "Problem (%s): %s\n", p.Reason, plain.Text(p.Message))
	}
	list := steps(told.Decisions)
	if len(list) == 0 {
		text.WriteString("Nothing is to be done.\n")
	} else {
		table(&text, list)
	}
	_, err := io.WriteString(out, text.String())
	return err
}

func table(text *strings.Builder, list []step) {
	w := tabwriter.NewWriter(text, 0, 0, 2, ' ', 0)
	rows := []string{"#\tACTION\tCLASS\tWHEN\tWHY"}
	for i, s := range list {
		rows = append(rows, fmt.Sprintf("%d\t%s\t%s\t%s\t%s", i+1, plain.Text(s.does()), s.class(), plain.Text(s.when()), plain.Text(s.Reason)))
	}
	_, _ = io.WriteString(w, strings.Join(rows, "\n")+"\n") // a strings.Builder takes everything
	_ = w.Flush()
}

// progress says how many machines run what the template asks for.
func progress(told planner.Explanation) string {
	if told.Revision == "" {
		return "what its template asks for is not known"
	}
	return fmt.Sprintf("%d of %d machines run revision %s, its template's", told.Updated, told.Active, told.Revision)
}
