package join

import (
	"context"
	"fmt"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drover-dev/drover/api/v1alpha1"
)

// tokenBook remembers the tokens that exist, so that a reconcile of a Machine reads no Secret and a token is deleted
// once. It is read from the API once, after the manager became leader; from then on nobody else makes tokens.
type tokenBook struct {
	mu     sync.Mutex
	loaded bool
	tokens map[types.NamespacedName]*token
	// spent holds the Machines whose token was taken back: a stale cache must not make them another one.
	spent map[types.NamespacedName]types.UID
}

// load reads the tokens of all Machines, the first time it is called.
func (b *tokenBook) load(ctx context.Context, reader client.Reader) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.loaded {
		return nil
	}
	secrets := &corev1.SecretList{}
	if err := reader.List(ctx, secrets, client.InNamespace(tokenNamespace), client.HasLabels{v1alpha1.MachineUIDLabel}); err != nil {
		return fmt.Errorf("list join tokens: %w", err)
	}
	b.tokens = make(map[types.NamespacedName]*token, len(secrets.Items))
	b.spent = map[types.NamespacedName]types.UID{}
	for i := range secrets.Items {
		t := readToken(&secrets.Items[i])
		b.tokens[t.machine] = t
	}
	b.loaded = true
	return nil
}

func (b *tokenBook) get(machine types.NamespacedName) *token {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.tokens[machine]
}

func (b *tokenBook) put(t *token) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tokens[t.machine] = t
}

// spend forgets a Machine's token for good.
func (b *tokenBook) spend(machine types.NamespacedName, uid types.UID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.tokens, machine)
	b.spent[machine] = uid
}

// forget ends the bookkeeping for a Machine that is gone.
func (b *tokenBook) forget(machine types.NamespacedName) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.tokens, machine)
	delete(b.spent, machine)
}

func (b *tokenBook) isSpent(machine types.NamespacedName, uid types.UID) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	spent, ok := b.spent[machine]
	return ok && spent == uid
}

// machines are those that have a token.
func (b *tokenBook) machines() []types.NamespacedName {
	b.mu.Lock()
	defer b.mu.Unlock()
	names := make([]types.NamespacedName, 0, len(b.tokens))
	for name := range b.tokens {
		names = append(names, name)
	}
	return names
}
