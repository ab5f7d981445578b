package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// stage is a network in which a bench takes place.
type stage interface {
	// logs are the last lines of all its processes.
	logs() string
	close() error
}

// perform has a stage raised with a folder for its logs, measures there, and takes down both, however that ends.
func perform[S stage](ctx context.Context, keepLogs bool, out io.Writer,
	raise func(ctx context.Context, dir string, said *narrator) (S, error),
	measure func(S, *narrator) (result, error),
) (_ result, err error) {
	dir, err := os.MkdirTemp("", "fairway-bench-")
	if err != nil {
		return nil, fmt.Errorf("making a folder for logs: %w", err)
	}
	said := &narrator{out: out, began: time.Now()}
	defer func() {
		if keepLogs {
			said.say("logs are in %s", dir)
			return
		}
		err = errors.Join(err, os.RemoveAll(dir))
	}()
	s, err := raise(ctx, dir, said)
	if err != nil {
		return nil, err
	}
	found, err := measure(s, said)
	if err != nil {
		err = fmt.Errorf("%w\n%s", err, s.logs())
	}
	return found, errors.Join(err, s.close())
}

// narrator says what is done, and how long after the start.
type narrator struct {
	out   io.Writer
	began time.Time
}

func (n *narrator) say(format string, args ...any) {
	fmt.Fprintf(n.out, "%6.1f s  %s\n", time.Since(n.began).Seconds(), fmt.Sprintf(format, args...))
}
