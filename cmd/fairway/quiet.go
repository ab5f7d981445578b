package main

import (
	"context"
	"log/slog"
)

// quieter lowers what a library calls information to debugging: client-go tells of every
// watch that ends, which is its normal life.
type quieter struct{ slog.Handler }

// Enabled implements slog.Handler.
func (q quieter) Enabled(ctx context.Context, level slog.Level) bool {
	return q.Handler.Enabled(ctx, lowered(level))
}

// Handle implements slog.Handler.
func (q quieter) Handle(ctx context.Context, r slog.Record) error {
	r.Level = lowered(r.Level)
	return q.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (q quieter) WithAttrs(attrs []slog.Attr) slog.Handler {
	return quieter{q.Handler.WithAttrs(attrs)}
}

// WithGroup implements slog.Handler.
func (q quieter) WithGroup(name string) slog.Handler { return quieter{q.Handler.WithGroup(name)} }

func lowered(level slog.Level) slog.Level {
	if level >= slog.LevelInfo && level < slog.LevelWarn {
		return slog.LevelDebug
	}
	return level
}

// whisperer lowers all that a library says to debugging, where everything that matters is
// logged by its user: an election tells of each of its requests that fails.
type whisperer struct{ slog.Handler }

// Enabled implements slog.Handler.
func (w whisperer) Enabled(ctx context.Context, _ slog.Level) bool {
	return w.Handler.Enabled(ctx, slog.LevelDebug)
}

// Handle implements slog.Handler.
func (w whisperer) Handle(ctx context.Context, r slog.Record) error {
	if r.Level = slog.LevelDebug; !w.Enabled(ctx, r.Level) {
		return nil // klog does not ask before it tells of an error
	}
	return w.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (w whisperer) WithAttrs(attrs []slog.Attr) slog.Handler {
	return whisperer{w.Handler.WithAttrs(attrs)}
}

// WithGroup implements slog.Handler.
func (w whisperer) WithGroup(name string) slog.Handler { return whisperer{w.Handler.WithGroup(name)} }
