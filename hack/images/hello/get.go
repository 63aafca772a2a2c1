package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

const (
	getLimit    = 30 * time.Second
	getInterval = 500 * time.Millisecond
)

// get prints what the URL answers, trying again for a while: a node's proxy may learn of a Service after the pod that
// asks has started. It stands in for a static busybox's wget, which cannot resolve names.
func get(ctx context.Context, url string, out io.Writer, limit, interval time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	client := &http.Client{Timeout: 3 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	for {
		err := getOnce(ctx, client, url, out)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(interval):
		}
	}
}

func getOnce(ctx context.Context, client *http.Client, url string, out io.Writer) (err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, response.Body.Close()) }()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered %s", url, response.Status)
	}
	_, err = io.Copy(out, io.LimitReader(response.Body, 1<<16))
	return err
}
