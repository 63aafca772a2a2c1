package app

import (
	"io"
	"log/slog"

	"github.com/go-logr/logr"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
)

const (
	logFormatText = "text"
	logFormatJSON = "json"
)

// setupLogging sends what we, controller-runtime, Cluster API and client-go log to one place in one format.
func setupLogging(out io.Writer, format string, level int) logr.Logger {
	// logr's V(n) is slog's level -n.
	options := &slog.HandlerOptions{Level: slog.Level(-level)}
	var handler slog.Handler = slog.NewTextHandler(out, options)
	if format == logFormatJSON {
		handler = slog.NewJSONHandler(out, options)
	}
	logger := logr.FromSlogHandler(handler)
	ctrl.SetLogger(logger)
	klog.SetLogger(logger)
	return logger
}
