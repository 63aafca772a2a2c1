package evictions

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// The words of EvictionResult.ConditionMessage and EvictPods in Cluster API's core/reconcilers/machine/drain.
const (
	wordsForAnItem  = "* "
	wordsForLater   = "After above Pods have been removed"
	wordsForLeaving = "deletionTimestamp set, but still not removed from the Node"
	wordsForABudget = "cannot evict pod as it would violate the pod's disruption budget."
	wordsForOthers  = "failed to evict Pod, "
	// The evictions of a drain have ten seconds, and those that did not get their turn are tried at its next look.
	wordsForNoTurn = "eviction timeout of "
	// The garbage collector deletes the pods of such a namespace.
	wordsForANamespaceThatGoes = "Cannot evict pod from terminating namespace: "
)

// The words of the API server, in the answer to an eviction.
const (
	wordsForTheBudget      = "The disruption budget "
	wordsForSeveralBudgets = "more than one PodDisruptionBudget"
	wordsForForbidden      = " is forbidden: "
	wordsForADenial        = "admission webhook "
)

// maxWords is how much is quoted of what refused an eviction.
const maxWords = 512

// Cause is what kind of thing refuses an eviction. The gravest is the first.
type Cause int

const (
	// Denied is by a rule of somebody's, one of admission, of a quota or of a role, which says no until somebody changes it.
	Denied Cause = iota
	// Failed is by the API server, which failed at it, or could not ask an admission webhook.
	Failed
	// Budget is by a PodDisruptionBudget that allows no disruption now.
	Budget
)

// Refusal is the eviction of some pods that was refused.
type Refusal struct {
	Cause Cause
	// Message names the pods and what refused it.
	Message string
}

// Drain is how far a drain has come.
type Drain struct {
	// Refusals are the evictions that were refused, the gravest first.
	Refusals []Refusal
	// Leaving says that pods were evicted that are not gone yet.
	Leaving bool
}

// Stuck says that evictions were refused, and that no pod leaves that may change that.
func (d Drain) Stuck() bool { return len(d.Refusals) > 0 && !d.Leaving }

// Read reads the message of a drain: that of a Machine's condition Deleting while it is drained, or of the drain helper.
func Read(message string) Drain {
	var d Drain
	for _, item := range items(message) {
		pods, what, ok := strings.Cut(item, ": ")
		if !ok {
			continue
		}
		if what == wordsForLeaving {
			d.Leaving = true
		}
		if r, refused := refusal(pods, what); refused {
			d.Refusals = append(d.Refusals, r)
		}
	}
	slices.SortStableFunc(d.Refusals, func(a, b Refusal) int { return cmp.Compare(a.Cause, b.Cause) })
	return d
}

// items are the items of a message, each on one line without what all begin with. What refused an eviction may speak in
// several lines.
func items(message string) []string {
	var list []string
	inItem := false
	for line := range strings.SplitSeq(message, "\n") {
		rest, begins := strings.CutPrefix(line, wordsForAnItem)
		switch {
		case begins:
			_, rest, inItem = strings.Cut(rest, " ") // "Pod " or "Pods "
			list = append(list, rest)
		case strings.HasPrefix(line, wordsForLater):
			inItem = false
		case inItem:
			list[len(list)-1] += " " + line
		}
	}
	return list
}

func refusal(pods, what string) (Refusal, bool) {
	if says, ok := strings.CutPrefix(what, wordsForABudget); ok {
		return Refusal{Budget, budgetSays(pods, strings.TrimSpace(says))}, true
	}
	says, ok := strings.CutPrefix(what, wordsForOthers)
	switch {
	case !ok, strings.HasPrefix(says, wordsForNoTurn), strings.HasPrefix(says, wordsForANamespaceThatGoes):
		return Refusal{}, false
	case strings.Contains(says, wordsForSeveralBudgets):
		return Refusal{Budget, fmt.Sprintf("pod %s has %s, which evictions do not support: leave one", pods, wordsForSeveralBudgets)}, true
	}
	says = v1alpha1.Shorten(strings.Join(strings.Fields(says), " "), maxWords)
	if strings.Contains(says, wordsForForbidden) || strings.HasPrefix(says, wordsForADenial) {
		return Refusal{Denied, fmt.Sprintf("pod %s may not be evicted: %s", pods, says)}, true
	}
	return Refusal{Failed, fmt.Sprintf("pod %s could not be evicted: %s", pods, says)}, true
}

func budgetSays(pods, says string) string {
	budget, why, _ := strings.Cut(strings.TrimPrefix(says, wordsForTheBudget), " ")
	if !strings.HasPrefix(says, wordsForTheBudget) || why == "" {
		return fmt.Sprintf("pod %s may not be evicted: its PodDisruptionBudget does not allow it", pods)
	}
	namespace, _, _ := strings.Cut(pods, "/")
	return fmt.Sprintf("pod %s may not be evicted: PodDisruptionBudget %s/%s %s", pods, namespace, budget, why)
}
