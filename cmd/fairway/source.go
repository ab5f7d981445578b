package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/fairway-bgp/fairway/controller"
	"github.com/fairway-bgp/fairway/controller/dir"
	"github.com/fairway-bgp/fairway/controller/kube"
)

// task is one thing the agent does until its context ends.
type task func(context.Context) error

// configuration is where the configuration comes from and where status goes.
type configuration struct {
	source    controller.Source
	reporters []controller.Reporter
	tasks     []task
}

func (f *agentFlags) openSource(log *slog.Logger) (*configuration, error) {
	if path, ok := strings.CutPrefix(f.source, "dir:"); ok {
		return f.openDir(path, log.With("component", "dir"))
	}
	return f.openKube(log.With("component", "kube"))
}

func (f *agentFlags) openDir(path string, log *slog.Logger) (*configuration, error) {
	if err := os.MkdirAll(f.stateDir, 0o755); err != nil {
		return nil, fmt.Errorf("--state-dir: %w: choose a folder that can be written", err)
	}
	source, err := dir.New(dir.Options{Path: path, StateDir: f.stateDir, NodeName: f.nodeName, Log: log})
	if err != nil {
		return nil, err
	}
	status, err := dir.NewStatusWriter(dir.StatusOptions{StateDir: f.stateDir, Log: log})
	if err != nil {
		return nil, err
	}
	return &configuration{
		source:    source,
		reporters: []controller.Reporter{status},
		tasks:     []task{source.Run, status.Run},
	}, nil
}

func (f *agentFlags) openKube(log *slog.Logger) (*configuration, error) {
	config, err := kube.Config(f.kubeconfig)
	if err != nil {
		return nil, err
	}
	source, err := kube.New(kube.Options{Config: config, NodeName: f.nodeName, Namespace: f.namespace, Log: log})
	if err != nil {
		return nil, err
	}
	c := &configuration{source: source, tasks: []task{source.Run}}
	if f.writeStatus {
		status, err := kube.NewStatusWriter(kube.StatusOptions{Config: config, NodeName: f.nodeName, Log: log})
		if err != nil {
			return nil, err
		}
		c.reporters = append(c.reporters, status)
		c.tasks = append(c.tasks, status.Run)
	}
	if f.events {
		events, err := kube.NewEventWriter(kube.EventOptions{Config: config, NodeName: f.nodeName, Log: log})
		if err != nil {
			return nil, err
		}
		c.reporters = append(c.reporters, events)
		c.tasks = append(c.tasks, events.Run)
	}
	return c, nil
}
