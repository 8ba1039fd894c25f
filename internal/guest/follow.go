package guest

// FollowArgs say what a Follow looks at. It goes on until its limit, until a
// line arrives on stdin (when it listens), or until the connection ends.
type FollowArgs struct {
	// Milliseconds between two looks.
	Milliseconds int64 `json:"milliseconds"`
	// Heartbeat is the number of milliseconds after which an event is sent
	// although nothing has changed.
	Heartbeat int64 `json:"heartbeat"`
	// Limit ends the Follow after so many milliseconds.
	Limit int64 `json:"limit"`
	// Listen ends the Follow when anything arrives on stdin. It must be false
	// where stdin is not the protocol's (through Packer's communicator).
	Listen bool `json:"listen,omitempty"`
	// Logs are files that grow; their new bytes are sent.
	Logs []FollowedLog `json:"logs,omitempty"`
	// Documents are small files that are sent whole whenever they change.
	Documents []string `json:"documents,omitempty"`
	// Values are registry values, sent whenever one changes.
	Values []RegistryArgs `json:"values,omitempty"`
	// Processes are process names, without ".exe".
	Processes []string `json:"processes,omitempty"`
}

// FollowedLog is a log and how much of it is known already.
type FollowedLog struct {
	Path   string `json:"path"`
	Offset int64  `json:"offset"`
}

// Event is what a Follow saw at one look. The first event of a Follow holds
// everything, the others what changed.
type Event struct {
	// N counts the events of this Follow from 1.
	N int64 `json:"n"`
	// Elapsed is in milliseconds since the Follow began, on a clock that
	// nobody sets.
	Elapsed int64 `json:"elapsed"`
	// Time is the guest's clock, UTC, RFC 3339.
	Time      string      `json:"time"`
	Logs      []LogPiece  `json:"logs,omitempty"`
	Documents []Document  `json:"documents,omitempty"`
	Values    []SeenValue `json:"values,omitempty"`
	// Processes are those of the followed names that run, always complete.
	Processes []Running `json:"processes,omitempty"`
}

// LogPiece is what was added to a log. At most 32 KiB travel at a time.
type LogPiece struct {
	Path   string `json:"path"`
	Offset int64  `json:"offset"`
	Data   []byte `json:"data"`
}

// Document is a small file as it is now, its first 64 KiB.
type Document struct {
	Path string `json:"path"`
	Data []byte `json:"data"`
}

// SeenValue is a followed registry value as it is now.
type SeenValue struct {
	Path  string `json:"path"`
	Name  string `json:"name"`
	Value Value  `json:"value"`
}

// Followed is the answer that ends a Follow.
type Followed struct {
	// Ended is "limit" or "input".
	Ended string `json:"ended"`
}

func follow(args FollowArgs) *Call[Followed] { return newCall[Followed]("follow", args) }
