package generation

import "context"

// Work is what is done to a machine for one desired state, and what was found on the way. Each step may be repeated, and
// goes on with what the steps before it found. Steps of one Work never run at the same time; those of the state that runs
// and of its successor's Check and Fetch may.
type Work interface {
	// Check looks whether the machine can have the generation. before is this same state as it was installed last, nil where
	// it never was: what the preflight finds keeps a new state from being installed, but not an old one from going on.
	Check(ctx context.Context, g, before *Generation) error
	// Fetch makes sure of the generation's bundle. The disk may have it later, see Settle.
	Fetch(ctx context.Context, g *Generation) error
	// Plan is how the machine gets to the generation, by what Check and Fetch found.
	Plan(ctx context.Context, g *Generation) (Change, error)
	// Settle has what Fetch brought outlive a power cut, before the generation is one to go back to.
	Settle(g *Generation) error
	// Look looks again at the machine of a state that is installed, for what was changed on it since.
	Look(ctx context.Context, g *Generation)
	// Flawed says whether the state was installed in spite of what Check or Look found, so that the machine is to be checked
	// again soon.
	Flawed() bool
	// Collect removes what neither the generation nor anything that runs needs.
	Collect(ctx context.Context, g *Generation)
}

// Change brings a machine to a generation.
type Change struct {
	// Generation is the one planned for, with the address that it is configured with.
	Generation *Generation
	// Apply makes the change. One that failed can be made again.
	Apply func() error
}

// Obstacle is why the wanted state is not installed, or the one that runs not kept.
type Obstacle struct {
	// Reason is one of the API's, for a condition.
	Reason, Message string
	// Running says that a state is installed and goes on.
	Running bool
}
