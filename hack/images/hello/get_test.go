package main

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

func TestGetTriesAgain(t *testing.T) {
	calls := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if calls++; calls == 1 {
			http.Error(w, "not yet", http.StatusServiceUnavailable)
			return
		}
		handler("pod-1", "node-1").ServeHTTP(w, r)
	}))
	defer server.Close()
	var out bytes.Buffer
	if err := get(t.Context(), server.URL, &out, 10*time.Second, time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if want := "Hello from pod-1 on node node-1 to 127.0.0.1\n"; out.String() != want {
		t.Errorf("get printed %q, want %q", out.String(), want)
	}
}

func TestGetGivesUp(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	var out bytes.Buffer
	if err := get(t.Context(), server.URL, &out, 50*time.Millisecond, time.Millisecond); err == nil || out.Len() > 0 {
		t.Errorf("get = %v with output %q, want an error and none", err, out.String())
	}
}
