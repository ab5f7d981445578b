package bgp

// AddPaths says in which directions a session may carry several paths to a prefix (RFC 7911).
type AddPaths struct {
	// Receive asks the peer for all of its paths.
	Receive bool
	// SendMax is how many paths to a prefix the peer is told at most; 0: the best alone. It
	// counts what is told while the session is up; what is there when it comes up is told whole.
	SendMax uint8
}
