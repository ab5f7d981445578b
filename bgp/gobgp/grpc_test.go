package gobgp

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	api "github.com/osrg/gobgp/v3/api"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/fairway-bgp/fairway/bgp"
)

// client starts a speaker that serves gRPC on a socket of its own and runs one peer.
func client(t *testing.T, writable bool) (*rig, api.GobgpApiClient) {
	t.Helper()
	target := "unix://" + filepath.Join(t.TempDir(), "gobgp.sock")
	r := newRig(t, Options{GRPCAddress: target, GRPCWritable: writable})
	p := r.peer(1)
	p.Password = "s3cret-one"
	r.apply(bgp.Desired{Config: r.config(), Peers: []bgp.Peer{p}, Advertisements: ads(advertise("10.1.0.0/24", "peer-1"))})
	conn, err := grpc.NewClient(target, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.WaitForReady(true)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return r, api.NewGobgpApiClient(conn)
}

func addPath(t *testing.T, c api.GobgpApiClient) error {
	t.Helper()
	path, err := localPath(netip.MustParsePrefix("10.77.0.0/24"), 1)
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.AddPath(context.Background(), &api.AddPathRequest{TableType: api.TableType_GLOBAL, Path: path})
	return err
}

func TestReadOnlyGRPCRefusesWritesAndAllowsReads(t *testing.T) {
	_, c := client(t, false)
	ctx := context.Background()
	err := addPath(t, c)
	if status.Code(err) != codes.PermissionDenied || !strings.Contains(err.Error(), "--grpc-writable") {
		t.Errorf("AddPath: %v", err)
	}
	stream, err := c.AddPathStream(ctx)
	if err == nil {
		_, err = stream.CloseAndRecv()
	}
	if status.Code(err) != codes.PermissionDenied {
		t.Errorf("AddPathStream: %v", err)
	}
	if _, err := c.StopBgp(ctx, &api.StopBgpRequest{}); status.Code(err) != codes.PermissionDenied {
		t.Errorf("StopBgp: %v", err)
	}
	if _, err := c.GetBgp(ctx, &api.GetBgpRequest{}); err != nil {
		t.Errorf("GetBgp: %v", err)
	}
	peers := listPeers(t, c)
	if len(peers) != 1 || peers[0].GetConf().GetNeighborAddress() != "127.0.1.1" {
		t.Errorf("ListPeer: %v", peers)
	}
	if got := peers[0].GetConf().GetAuthPassword(); got != "" {
		t.Errorf("ListPeer shows the password %q", got)
	}
}

func TestWritableGRPCAllowsWrites(t *testing.T) {
	_, c := client(t, true)
	if err := addPath(t, c); err != nil {
		t.Errorf("AddPath: %v", err)
	}
}

func listPeers(t *testing.T, c api.GobgpApiClient) []*api.Peer {
	t.Helper()
	stream, err := c.ListPeer(context.Background(), &api.ListPeerRequest{})
	if err != nil {
		t.Fatal(err)
	}
	var peers []*api.Peer
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return peers
		}
		if err != nil {
			t.Fatal(err)
		}
		peers = append(peers, m.GetPeer())
	}
}

func TestCallsThatCrashGoBGPAreRefusedInEveryMode(t *testing.T) {
	for _, writable := range []bool{false, true} {
		r, c := client(t, writable)
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		t.Cleanup(cancel)
		nameless := []*api.AfiSafi{{Config: &api.AfiSafiConfig{Enabled: true}}}
		calls := map[string]func() error{
			"WatchEvent": func() error {
				stream, err := c.WatchEvent(ctx, &api.WatchEventRequest{Table: &api.WatchEventRequest_Table{
					Filters: []*api.WatchEventRequest_Table_Filter{{
						Type: api.WatchEventRequest_Table_Filter_POST_POLICY, Init: true, PeerAddress: "127.0.1.1",
					}},
				}})
				if err == nil {
					_, err = stream.Recv()
				}
				return err
			},
			"AddDynamicNeighbor": func() error {
				_, err := c.AddDynamicNeighbor(ctx, &api.AddDynamicNeighborRequest{DynamicNeighbor: &api.DynamicNeighbor{Prefix: "10.0.0.0/8", PeerGroup: "nobody"}})
				return err
			},
			"DeleteDynamicNeighbor": func() error {
				_, err := c.DeleteDynamicNeighbor(ctx, &api.DeleteDynamicNeighborRequest{Prefix: "10.0.0.0/8", PeerGroup: "nobody"})
				return err
			},
			"AddPeer": func() error {
				_, err := c.AddPeer(ctx, &api.AddPeerRequest{Peer: &api.Peer{Conf: &api.PeerConf{NeighborAddress: "127.0.1.9", PeerAsn: 1}, AfiSafis: nameless}})
				return err
			},
			"UpdatePeer": func() error {
				_, err := c.UpdatePeer(ctx, &api.UpdatePeerRequest{Peer: &api.Peer{Conf: &api.PeerConf{NeighborAddress: "127.0.1.1", PeerAsn: 1}, AfiSafis: nameless}})
				return err
			},
			"AddPeerGroup": func() error {
				_, err := c.AddPeerGroup(ctx, &api.AddPeerGroupRequest{PeerGroup: &api.PeerGroup{Conf: &api.PeerGroupConf{PeerGroupName: "g"}, AfiSafis: nameless}})
				return err
			},
		}
		for name, call := range calls {
			want := codes.InvalidArgument
			if !writable && name != "WatchEvent" {
				want = codes.PermissionDenied
			}
			if err := call(); status.Code(err) != want {
				t.Errorf("%s, writable %t: %v, want %s", name, writable, err, want)
			}
		}
		if s := r.session("peer-1"); s.State == "" {
			t.Errorf("the speaker is gone: %+v", s)
		}
	}
}

func TestALeftoverGRPCSocketIsReplacedAndTheNewOneIsPrivate(t *testing.T) {
	file := filepath.Join(t.TempDir(), "gobgp.sock")
	old, err := net.ListenUnix("unix", &net.UnixAddr{Name: file})
	if err != nil {
		t.Fatal(err)
	}
	old.SetUnlinkOnClose(false)
	old.Close()
	r := newRig(t, Options{GRPCAddress: "unix://" + file + ",127.0.0.1:0"})
	r.eventually("a private socket", func() (string, bool) {
		info, err := os.Stat(file)
		if err != nil {
			return err.Error(), false
		}
		return info.Mode().String(), info.Mode().Perm() == 0o600
	})
}

func TestGRPCAddressesThatCannotWorkAreRefusedAtOnce(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	dir := t.TempDir()
	plain := filepath.Join(dir, "file")
	if err := os.WriteFile(plain, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	served := filepath.Join(dir, "served")
	l, err := net.Listen("unix", served)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, address := range []string{
		busy.Addr().String(), "unix://" + plain, "unix://" + served,
		"unix://" + filepath.Join(dir, "missing", "socket"), "no-port",
	} {
		if _, err := New(Options{Log: discard(), GRPCAddress: address}); err == nil || !strings.Contains(err.Error(), "gRPC address") {
			t.Errorf("%s: error %v", address, err)
		}
	}
	if content, err := os.ReadFile(plain); err != nil || string(content) != "precious" {
		t.Errorf("the file was touched: %q, %v", content, err)
	}
}

func TestOddReadsDoNotHarmTheSpeaker(t *testing.T) {
	r, c := client(t, false)
	p := r.fake(1)
	p.password = "s3cret-one"
	r.connect(p)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	families := []*api.Family{nil, {}, {Afi: api.Family_AFI_IP, Safi: api.Family_SAFI_UNICAST}, {Afi: api.Family_AFI_L2VPN, Safi: api.Family_SAFI_EVPN}, {Afi: 9999, Safi: 99}}
	for kind := range api.TableType_name {
		for _, family := range families {
			for _, name := range []string{"", "127.0.1.1", "nobody"} {
				if stream, err := c.ListPath(ctx, &api.ListPathRequest{TableType: api.TableType(kind), Family: family, Name: name, EnableFiltered: true}); err == nil {
					for err == nil {
						_, err = stream.Recv()
					}
				}
				c.GetTable(ctx, &api.GetTableRequest{TableType: api.TableType(kind), Family: family, Name: name})
			}
		}
	}
	for kind := range api.WatchEventRequest_Table_Filter_Type_name {
		for _, peer := range []string{"", "127.0.1.1", "nobody"} {
			if kind == int32(api.WatchEventRequest_Table_Filter_POST_POLICY) && peer != "" {
				continue // refused, as another test shows
			}
			watching, stop := context.WithTimeout(ctx, 20*time.Millisecond)
			if stream, err := c.WatchEvent(watching, &api.WatchEventRequest{Peer: &api.WatchEventRequest_Peer{}, Table: &api.WatchEventRequest_Table{
				Filters: []*api.WatchEventRequest_Table_Filter{{Type: api.WatchEventRequest_Table_Filter_Type(kind), Init: true, PeerAddress: peer}},
			}}); err == nil {
				for err == nil {
					_, err = stream.Recv()
				}
			}
			stop()
		}
	}
	if s := r.session("peer-1"); s.State != bgp.Established {
		t.Errorf("session %+v", s)
	}
}
