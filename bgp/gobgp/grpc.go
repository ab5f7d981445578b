package gobgp

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path"
	"strings"
	"sync"
	"time"

	api "github.com/osrg/gobgp/v3/api"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const unixScheme = "unix://"

// grpcListeners splits an address list as GoBGP does.
func grpcListeners(addresses string) [][2]string {
	if addresses == "" {
		return nil
	}
	var list [][2]string
	for address := range strings.SplitSeq(addresses, ",") {
		if file, ok := strings.CutPrefix(address, unixScheme); ok {
			list = append(list, [2]string{"unix", file})
		} else {
			list = append(list, [2]string{"tcp", address})
		}
	}
	return list
}

// checkGRPCAddress makes sure that GoBGP will be able to listen: it exits the process if not.
func checkGRPCAddress(addresses string) error {
	for _, l := range grpcListeners(addresses) {
		if l[0] == "unix" {
			if err := checkSocket(l[1]); err != nil {
				return fmt.Errorf("gRPC address %s%s: %w", unixScheme, l[1], err)
			}
			continue
		}
		probe, err := net.Listen(l[0], l[1])
		if err != nil {
			return fmt.Errorf("gRPC address %q cannot be listened on: choose another or stop what uses it: %w", l[1], err)
		}
		probe.Close()
	}
	return nil
}

// checkSocket refuses a file that is not a socket, and a socket that answers.
func checkSocket(file string) error {
	info, err := os.Lstat(file)
	if errors.Is(err, fs.ErrNotExist) {
		_, err = os.Stat(path.Dir(file))
		return err
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() != fs.ModeSocket {
		return errors.New("the file exists and is not a socket: remove it or choose another path")
	}
	conn, err := net.DialTimeout("unix", file, time.Second)
	if err == nil {
		conn.Close()
		return errors.New("another process serves on this socket: stop it or choose another path")
	}
	return nil
}

// prepareGRPCSockets removes the socket files of a process that is gone.
func prepareGRPCSockets(addresses string) error {
	for _, l := range grpcListeners(addresses) {
		if l[0] != "unix" {
			continue
		}
		if err := checkSocket(l[1]); err != nil {
			return fmt.Errorf("gRPC address %s%s: %w", unixScheme, l[1], err)
		}
		if err := os.Remove(l[1]); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("removing a leftover gRPC socket: %w", err)
		}
	}
	return nil
}

// tightenGRPCSockets restricts the socket files to their owner once GoBGP has made them.
func tightenGRPCSockets(ctx context.Context, addresses string) error {
	for _, l := range grpcListeners(addresses) {
		if l[0] != "unix" {
			continue
		}
		for {
			err := os.Chmod(l[1], 0o600)
			if err == nil {
				break
			}
			if !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("restricting the gRPC socket: %w", err)
			}
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(5 * time.Millisecond):
			}
		}
	}
	return nil
}

// guard stands between the gRPC API and GoBGP. Whatever the mode, it refuses the calls that
// crash GoBGP, and it hides passwords.
type guard struct {
	writable    bool
	groupExists func(ctx context.Context, name string) bool

	// writing makes checking a write and carrying it out one step.
	writing sync.Mutex
}

func (g *guard) serverOptions() []grpc.ServerOption {
	return []grpc.ServerOption{grpc.UnaryInterceptor(g.unary), grpc.StreamInterceptor(g.stream)}
}

// reads reports whether a method only reads.
func reads(method string) bool {
	name := path.Base(method)
	return strings.HasPrefix(name, "List") || strings.HasPrefix(name, "Get") || name == "WatchEvent"
}

func (g *guard) permit(method string) error {
	if g.writable || reads(method) {
		return nil
	}
	return status.Errorf(codes.PermissionDenied, "%s would change the speaker, and this gRPC API is read-only: start the agent with --grpc-writable to allow it", path.Base(method))
}

func (g *guard) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	if err := g.permit(info.FullMethod); err != nil {
		return nil, err
	}
	if !reads(info.FullMethod) {
		g.writing.Lock()
		defer g.writing.Unlock()
	}
	if err := g.harmless(ctx, req); err != nil {
		return nil, err
	}
	return handler(ctx, req)
}

func (g *guard) stream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	if err := g.permit(info.FullMethod); err != nil {
		return err
	}
	return handler(srv, &guardedStream{ServerStream: stream, guard: g})
}

type guardedStream struct {
	grpc.ServerStream
	guard *guard
}

// RecvMsg refuses requests that would crash GoBGP.
func (s *guardedStream) RecvMsg(m any) error {
	if err := s.ServerStream.RecvMsg(m); err != nil {
		return err
	}
	return s.guard.harmless(s.Context(), m)
}

// SendMsg hides passwords. The messages are made for this answer alone.
func (s *guardedStream) SendMsg(m any) error {
	switch m := m.(type) {
	case *api.ListPeerResponse:
		if conf := m.GetPeer().GetConf(); conf != nil {
			conf.AuthPassword = ""
		}
	case *api.ListPeerGroupResponse:
		if conf := m.GetPeerGroup().GetConf(); conf != nil {
			conf.AuthPassword = ""
		}
	}
	return s.ServerStream.SendMsg(m)
}

// harmless refuses what is known to crash GoBGP's own goroutines.
func (g *guard) harmless(ctx context.Context, req any) error {
	switch r := req.(type) {
	case *api.WatchEventRequest:
		for _, f := range r.GetTable().GetFilters() {
			filtered := f.GetPeerAddress() != "" || f.GetPeerGroup() != ""
			if f.GetType() == api.WatchEventRequest_Table_Filter_POST_POLICY && f.GetInit() && filtered {
				return refuse("watching post-policy paths of one peer with the initial ones included")
			}
		}
	case *api.AddPeerRequest:
		return spelledOut(r.GetPeer().GetAfiSafis())
	case *api.UpdatePeerRequest:
		return spelledOut(r.GetPeer().GetAfiSafis())
	case *api.AddPeerGroupRequest:
		return spelledOut(r.GetPeerGroup().GetAfiSafis())
	case *api.UpdatePeerGroupRequest:
		return spelledOut(r.GetPeerGroup().GetAfiSafis())
	case *api.AddDynamicNeighborRequest:
		return g.knownGroup(ctx, r.GetDynamicNeighbor().GetPeerGroup())
	case *api.DeleteDynamicNeighborRequest:
		return g.knownGroup(ctx, r.GetPeerGroup())
	}
	return nil
}

func spelledOut(families []*api.AfiSafi) error {
	for _, f := range families {
		if f.GetConfig().GetFamily() == nil {
			return refuse("an address family without config.family")
		}
	}
	return nil
}

func (g *guard) knownGroup(ctx context.Context, name string) error {
	if g.groupExists(ctx, name) {
		return nil
	}
	return refuse(fmt.Sprintf("the unknown peer group %q", name))
}

func refuse(what string) error {
	return status.Errorf(codes.InvalidArgument, "refused, because it crashes GoBGP v3: %s", what)
}
