// Package apicount counts the requests that a client sends to the API server, by resource and verb, so that tests and
// benchmarks can hold a budget of writes.
package apicount
