package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// clusterOptions say how large the cluster of a site is, and where it comes from.
type clusterOptions struct {
	nodes, services int
	root            string // of the project
	keepLogs        bool
	fresh           bool
}

// manyServices take so long to create that their objects are kept for the next run: the API
// server counts the addresses in use anew for each address that it gives away.
const manyServices = 2000

// add defines the flags, with these numbers by default.
func (o *clusterOptions) add(flags *flag.FlagSet, nodes, services int) {
	flags.IntVar(&o.nodes, "nodes", nodes, "Nodes of the cluster")
	flags.IntVar(&o.services, "services", services, "Services, and as many EndpointSlices")
	flags.StringVar(&o.root, "root", ".", "the top of the project")
	flags.BoolVar(&o.keepLogs, "keep-logs", false, "keep the logs of all processes, and print where they are")
	flags.BoolVar(&o.fresh, "fresh", false, "create all objects anew, which takes minutes, and not those that an earlier run has kept in the user's cache folder")
}

func (o clusterOptions) check() error {
	switch {
	case o.nodes < minNodes || o.nodes > maxNodes:
		return fmt.Errorf("--nodes: %d; from %d to %d can be", o.nodes, minNodes, maxNodes)
	case o.services < 1 || o.services > maxServices:
		return fmt.Errorf("--services: %d; from 1 to %d can be", o.services, maxServices)
	}
	return nil
}

// kept returns the folder with the objects of an earlier run; "" when there is none.
func (o clusterOptions) kept() (string, error) {
	dir, err := cached(o.nodes, o.services)
	if err != nil || o.fresh {
		return "", err
	}
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return "", nil // then they are made
	} else if err != nil {
		return "", err
	}
	return dir, nil
}

// withSite raises a site, measures there, and takes it down again. there says whether the
// objects of the cluster are there already.
func withSite(ctx context.Context, o clusterOptions, l layout, out io.Writer, measure func(s *site, there bool) (result, error)) (result, error) {
	kept, err := o.kept()
	if err != nil {
		return nil, err
	}
	raiseSite := func(ctx context.Context, dir string, said *narrator) (*site, error) {
		return raise(ctx, dir, o.root, kept, l, said)
	}
	return perform(ctx, o.keepLogs, out, raiseSite, func(s *site, _ *narrator) (result, error) {
		return measure(s, kept != "")
	})
}

// furnishCluster has the API server hold the objects of the cluster and the configuration.
func (s *site) furnishCluster(ctx context.Context, o clusterOptions, there bool) error {
	if !there {
		if err := s.populate(ctx, o.nodes, o.services); err != nil {
			return err
		}
		if o.services >= manyServices {
			dir, err := cached(o.nodes, o.services)
			if err != nil {
				return err
			}
			if err := s.keep(ctx, dir); err != nil {
				return err
			}
		}
	}
	return s.configure(ctx)
}

func (s *site) path(parts ...string) string {
	return filepath.Join(append([]string{s.root}, parts...)...)
}
