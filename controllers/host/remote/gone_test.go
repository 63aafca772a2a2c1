package remote

import (
	"errors"
	"io"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// x/crypto's ssh leaves a channel without an answer that is asked for between the last look at the channels of a connection
// that ends and the end of it.
func TestASessionThatIsNeverAnsweredEndsWithTheConnection(t *testing.T) {
	gone, never := make(chan struct{}), make(chan struct{})
	t.Cleanup(func() { close(never) })
	ended := make(chan error, 1)
	go func() {
		_, err := unlessGone(gone, func() (*ssh.Session, error) {
			<-never
			return nil, nil
		})
		ended <- err
	}()
	close(gone)
	select {
	case err := <-ended:
		if !errors.Is(err, io.EOF) {
			t.Errorf("got %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("it waits for ever")
	}
}
