package budget

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/utils/ptr"

	"github.com/drover-dev/drover/api/v1alpha1"
)

func TestWhatIsWrongIsNamed(t *testing.T) {
	with := func(b v1alpha1.DisruptionBudget, edit func(*v1alpha1.DisruptionBudget)) v1alpha1.DisruptionBudget {
		edit(&b)
		return b
	}
	scheduled := func(schedule string) v1alpha1.DisruptionBudget { return during(1, schedule, "", time.Hour) }
	for name, tc := range map[string]struct {
		budgets []v1alpha1.DisruptionBudget
		// want is how each sentence begins.
		want []string
	}{
		"nothing":                       {nil, nil},
		"one that is right":             {[]v1alpha1.DisruptionBudget{during("10%", "0 22 * * 1-5", "Europe/Berlin", time.Hour, update)}, nil},
		"nothing at any time":           {[]v1alpha1.DisruptionBudget{of(0)}, nil},
		"no nodes":                      {[]v1alpha1.DisruptionBudget{{}}, []string{"spec.disruption.budgets[0].nodes is"}},
		"fewer than none":               {[]v1alpha1.DisruptionBudget{of(-1)}, []string{`spec.disruption.budgets[0].nodes is "-1"`}},
		"more than all":                 {[]v1alpha1.DisruptionBudget{of("101%")}, []string{`spec.disruption.budgets[0].nodes is "101%"`}},
		"less than nothing":             {[]v1alpha1.DisruptionBudget{of("-1%")}, []string{`spec.disruption.budgets[0].nodes is "-1%"`}},
		"a number in quotes":            {[]v1alpha1.DisruptionBudget{of("5")}, []string{`spec.disruption.budgets[0].nodes is "5"`}},
		"a word":                        {[]v1alpha1.DisruptionBudget{of("all")}, []string{`spec.disruption.budgets[0].nodes is "all"`}},
		"a reason of another version":   {[]v1alpha1.DisruptionBudget{of(1, "Gossip")}, []string{`spec.disruption.budgets[0].reasons has "Gossip"`}},
		"a length alone":                {[]v1alpha1.DisruptionBudget{with(of(1), func(b *v1alpha1.DisruptionBudget) { b.DurationSeconds = ptr.To[int32](60) })}, []string{"spec.disruption.budgets[0].durationSeconds is set without a schedule"}},
		"a zone alone":                  {[]v1alpha1.DisruptionBudget{with(of(1), func(b *v1alpha1.DisruptionBudget) { b.TimeZone = "UTC" })}, []string{"spec.disruption.budgets[0].timeZone is set without a schedule"}},
		"no length":                     {[]v1alpha1.DisruptionBudget{with(of(1), func(b *v1alpha1.DisruptionBudget) { b.Schedule = "@daily" })}, []string{"spec.disruption.budgets[0].durationSeconds is not set"}},
		"a length of nothing":           {[]v1alpha1.DisruptionBudget{during(1, "@daily", "", 0)}, []string{"spec.disruption.budgets[0].durationSeconds is not set"}},
		"a zone of another planet":      {[]v1alpha1.DisruptionBudget{during(1, "@daily", "Mars/Olympus", time.Hour)}, []string{`spec.disruption.budgets[0].timeZone is "Mars/Olympus"`}},
		"the host's own zone":           {[]v1alpha1.DisruptionBudget{during(1, "@daily", "Local", time.Hour)}, []string{`spec.disruption.budgets[0].timeZone is "Local"`}},
		"a zone that is a path":         {[]v1alpha1.DisruptionBudget{during(1, "@daily", "../../etc/passwd", time.Hour)}, []string{`spec.disruption.budgets[0].timeZone is "../../etc/passwd"`}},
		"no fields":                     {[]v1alpha1.DisruptionBudget{scheduled("now and then")}, []string{`spec.disruption.budgets[0].schedule is "now and then": it cannot be read: `}},
		"six fields":                    {[]v1alpha1.DisruptionBudget{scheduled("0 0 22 * * *")}, []string{`spec.disruption.budgets[0].schedule is "0 0 22 * * *": it cannot be read: `}},
		"a minute too many":             {[]v1alpha1.DisruptionBudget{scheduled("60 22 * * *")}, []string{`spec.disruption.budgets[0].schedule is "60 22 * * *": it cannot be read: `}},
		"a zone in front":               {[]v1alpha1.DisruptionBudget{scheduled("CRON_TZ=UTC 0 22 * * *")}, []string{`spec.disruption.budgets[0].schedule is "CRON_TZ=UTC 0 22 * * *": it has five fields`}},
		"a zone in front, and no more":  {[]v1alpha1.DisruptionBudget{scheduled("TZ=UTC")}, []string{`spec.disruption.budgets[0].schedule is "TZ=UTC": it has five fields`}},
		"an interval":                   {[]v1alpha1.DisruptionBudget{scheduled("@every 1h")}, []string{`spec.disruption.budgets[0].schedule is "@every 1h": it has five fields`}},
		"another word":                  {[]v1alpha1.DisruptionBudget{scheduled("@fortnightly")}, []string{`spec.disruption.budgets[0].schedule is "@fortnightly": it cannot be read: `}},
		"never":                         {[]v1alpha1.DisruptionBudget{scheduled("0 0 30 2 *")}, []string{`spec.disruption.budgets[0].schedule is "0 0 30 2 *", which is no day of any year`}},
		"never, in another way":         {[]v1alpha1.DisruptionBudget{scheduled("0 0 31 4,6,9,11 *")}, []string{`spec.disruption.budgets[0].schedule is "0 0 31 4,6,9,11 *", which is no day of any year`}},
		"in leap years":                 {[]v1alpha1.DisruptionBudget{scheduled("0 0 29 2 *")}, nil},
		"several things":                {[]v1alpha1.DisruptionBudget{of(1), during("x", "y", "z", time.Hour)}, []string{"spec.disruption.budgets[1].nodes is", "spec.disruption.budgets[1].timeZone is", "spec.disruption.budgets[1].schedule is"}},
		"a window that never has a say": {[]v1alpha1.DisruptionBudget{during(5, "@daily", "", time.Hour), of("0%")}, []string{"spec.disruption.budgets[1] allows no node at any time, so that spec.disruption.budgets[0] never has a say"}},
		"of the same reason":            {[]v1alpha1.DisruptionBudget{of(0, update), during(5, "@daily", "", time.Hour, update)}, []string{"spec.disruption.budgets[0] allows no node at any time"}},
		"of all reasons":                {[]v1alpha1.DisruptionBudget{of(0, Reasons...), during(5, "@daily", "", time.Hour)}, []string{"spec.disruption.budgets[0] allows no node at any time"}},
		"of another reason":             {[]v1alpha1.DisruptionBudget{of(0, update), during(5, "@daily", "", time.Hour, scaleDown)}, nil},
		"of one reason more":            {[]v1alpha1.DisruptionBudget{of(0, update), during(5, "@daily", "", time.Hour)}, nil},
		"two that always hold":          {[]v1alpha1.DisruptionBudget{of(0), of(5)}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			budgets, wrong := Understand(tc.budgets)
			if len(wrong) != len(tc.want) {
				t.Fatalf("wrong is %q, want %d", wrong, len(tc.want))
			}
			for i, sentence := range wrong {
				if !strings.HasPrefix(sentence, tc.want[i]) {
					t.Errorf("wrong is %q, want %q", sentence, tc.want[i])
				}
			}
			if got, want := len(budgets), len(tc.budgets); len(wrong) > 0 && got > 0 || len(wrong) == 0 && got != want {
				t.Errorf("%d budgets are understood, of %d with %d mistakes", got, want, len(wrong))
			}
		})
	}
}

func TestUnderstandLeavesItsInputAlone(t *testing.T) {
	list := []v1alpha1.DisruptionBudget{during("10%", "@daily", "Europe/Berlin", time.Hour, update), of(1)}
	before := []v1alpha1.DisruptionBudget{*list[0].DeepCopy(), *list[1].DeepCopy()}
	understood(t, list...).At(time.Now(), 3)
	if diff := cmp.Diff(before, list); diff != "" {
		t.Errorf("it is from a cache (-before +after):\n%s", diff)
	}
}

// FuzzUnderstand finds no text that it does not survive, nor one that it understands and that has no end.
func FuzzUnderstand(f *testing.F) {
	for _, seed := range []string{"0 22 * * *", "@daily", "TZ=", "*/0 * * * *", "1-0 * * * *", "0 0 30 2 *", "? ? ? ? ?", "@every -1s"} {
		f.Add(seed, "Europe/Berlin", "10%", int32(3600))
	}
	f.Fuzz(func(t *testing.T, schedule, zone, nodes string, seconds int32) {
		b := during(nodes, schedule, zone, 0)
		b.DurationSeconds = &seconds
		budgets, wrong := Understand([]v1alpha1.DisruptionBudget{b})
		if (len(wrong) > 0) == (len(budgets) > 0) {
			t.Errorf("understood %v, wrong %q", budgets, wrong)
		}
		now := time.Date(2026, 3, 29, 0, 59, 59, 0, time.UTC)
		budgets.At(now, 10)
		if until := budgets.Until(now); !until.IsZero() && !until.After(now) {
			t.Errorf("it changes at %s", until)
		}
	})
}

func BenchmarkUnderstandAndAt(b *testing.B) {
	list := []v1alpha1.DisruptionBudget{of(3), during(0, "0 8 * * mon-fri", "Europe/Berlin", 9*time.Hour, update), during("10%", "0 22 * * *", "America/New_York", 8*time.Hour)}
	for b.Loop() {
		budgets, _ := Understand(list)
		budgets.At(time.Now(), 100)
	}
}
