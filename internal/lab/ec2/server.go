package ec2

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/lab/clock"
)

const (
	// DefaultRegion is the region of requests that name none.
	DefaultRegion = "us-east-1"
	// DefaultAccountID is the account that owns everything.
	DefaultAccountID = "123456789012"
	// maxBody is the largest request that is read, as the API's own limit.
	maxBody = 1 << 20
)

// Options are the settings of a [Server]. The zero value is useful.
type Options struct {
	// Clock is the lab's time. Nil means real time.
	Clock *clock.Clock
	// Timing says how long things take.
	Timing Timing
	// AccountID is the account that owns everything. Default
	// [DefaultAccountID].
	AccountID string
	// PageSize is the most rows that a Describe answer holds, also when the
	// client asked for more or set no limit. Zero means no limit.
	PageSize int
	// Deny says which actions an access key is not allowed, in dry runs too;
	// they end with UnauthorizedOperation. Nil allows everything.
	Deny func(action, accessKey string) bool
	// Authentic says which access keys exist; requests with others end with
	// AuthFailure. Nil accepts every key, and requests without a signature.
	Authentic func(accessKey string) bool
	// Launch returns the machine for an instance that RunInstances made, or
	// nil. It is called without the server's lock. Nil means no machines.
	Launch func(Instance) Machine
}

// Call is one request that reached the server.
type Call struct {
	// Time is when it arrived, on the lab's clock.
	Time time.Time
	// Action, Region and AccessKey are what was asked, where, by whom.
	Action, Region, AccessKey string
	// Params are the request's parameters.
	Params url.Values
	// Status is the HTTP status of the answer, 0 if the answer was lost.
	Status int
	// Code is the error code of the answer, empty on success.
	Code string
}

// Server is the API. Make one with [New]; its methods may be called from
// several goroutines.
type Server struct {
	opts   Options
	timing Timing
	ops    map[string]operation

	mu       sync.Mutex
	regions  map[string]*region
	seq      int
	calls    []Call
	faults   []*Fault
	hideNew  int
	failures []imageFailure
	tokens   map[string]idempotent
	roles    map[string]string // access keys of assumed roles, with the session's ARN
	closed   bool

	// effects are calls to machines that state changes have caused, in order.
	effects  []func()
	draining bool
	timers   map[*time.Timer]struct{}
	inflight sync.WaitGroup
}

// region holds the resources of one region.
type region struct {
	name      string
	instances table[*instance]
	volumes   table[*volume]
	images    table[*image]
	snapshots table[*snapshot]
}

// request is one request on its way through the server. The server's lock is
// held while an operation works on it.
type request struct {
	server *Server
	region *region
	action string
	params params
	signer signer
	now    time.Time
}

// operation is one action of the API: the parameters it has (# stands for an
// index), those it needs, and what it does.
type operation struct {
	params   []string
	required []string
	do       func(*request) (reply, *Error)
}

// New returns a server. Close it when it is no longer needed.
func New(opts Options) *Server {
	if opts.AccountID == "" {
		opts.AccountID = DefaultAccountID
	}
	return &Server{
		opts:    opts,
		timing:  opts.Timing.complete(),
		ops:     operations(),
		regions: map[string]*region{},
		tokens:  map[string]idempotent{},
		roles:   map[string]string{},
		timers:  map[*time.Timer]struct{}{},
	}
}

// Close stops the server's timers and waits for machines that are just being
// switched. Requests that come later are answered, but no machine is switched
// any more.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	s.effects = nil
	for timer := range s.timers {
		if timer.Stop() {
			s.inflight.Done()
		}
	}
	clear(s.timers)
	s.mu.Unlock()
	s.inflight.Wait()
}

// Calls returns all requests so far, in the order of their arrival.
func (s *Server) Calls() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls)
}

// Count returns how many requests asked for an action so far.
func (s *Server) Count(action string) int {
	n := 0
	for _, call := range s.Calls() {
		if call.Action == action {
			n++
		}
	}
	return n
}

// Now returns the lab's time.
func (s *Server) Now() time.Time { return s.opts.Clock.Now() }

// ServeHTTP answers a request of the EC2 Query protocol.
func (s *Server) ServeHTTP(w http.ResponseWriter, httpRequest *http.Request) {
	requestID := s.requestID()
	values, err := readForm(httpRequest)
	if err != nil {
		s.sendError(w, err, requestID, false)
		return
	}
	r := &request{
		server: s, action: values.Get("Action"), params: params{values: values},
		signer: readSigner(httpRequest.Header.Get("Authorization")), now: s.Now(),
	}
	index := s.record(Call{
		Time: r.now, Action: r.action, Region: r.signer.region,
		AccessKey: r.signer.accessKey, Params: values,
	})
	fault := s.takeFault(r.action)
	if fault.Delay > 0 && s.opts.Clock.Wait(httpRequest.Context(), fault.Delay) != nil {
		return
	}
	if fault.Drop {
		hangUp(w)
		return
	}
	r.now = s.Now()

	var status int
	var body []byte
	var failure *Error
	switch {
	case fault.Code != "":
		failure = &Error{Status: fault.Status, Code: fault.Code, Message: fault.message()}
	case s.isSTS(r):
		body, failure = s.answerSTS(r, requestID)
	default:
		body, failure = s.answerEC2(r, requestID)
	}
	s.drain()
	status = http.StatusOK
	code := ""
	if failure != nil {
		status, code = failure.status(), failure.Code
	}
	if fault.Lose {
		s.settleCall(index, 0, code)
		hangUp(w)
		return
	}
	s.settleCall(index, status, code)
	if failure != nil {
		s.sendError(w, failure, requestID, s.isSTS(r))
		return
	}
	send(w, status, requestID, body)
}

// answerEC2 checks a request in the order of the API (action, caller,
// permission, parameters, dry run) and carries it out.
func (s *Server) answerEC2(r *request, requestID string) ([]byte, *Error) {
	op, known := s.ops[r.action]
	switch {
	case r.action == "":
		return nil, missingParameter("Action")
	case !known:
		return nil, errorf("InvalidAction", "The action %s is not valid for this web service.", r.action)
	case r.params.get("Version") != apiVersion:
		return nil, errorf("NoSuchVersion", "The requested version (%s) is not valid.", r.params.get("Version"))
	case !s.authentic(r.signer.accessKey):
		return nil, errorf("AuthFailure", "AWS was not able to validate the provided access credentials")
	case s.opts.Deny != nil && s.opts.Deny(r.action, r.signer.accessKey):
		return nil, s.unauthorized(r)
	}
	if err := r.params.known(op.params); err != nil {
		return nil, err
	}
	for _, name := range op.required {
		if !r.params.hasAny(name) {
			return nil, missingParameter(name)
		}
	}
	dryRun, err := r.params.boolean("DryRun")
	if err != nil {
		return nil, err
	}
	if dryRun {
		return nil, errorf("DryRunOperation", "Request would have succeeded, but DryRun flag is set.")
	}
	answer, err := s.carryOut(r, op)
	if err != nil {
		return nil, err
	}
	answer.setRequestID(requestID)
	body, encodeErr := encode(r.action, answer)
	if encodeErr != nil {
		return nil, errorf("InternalError", "An internal error has occurred: %v", encodeErr)
	}
	return body, nil
}

func (s *Server) carryOut(r *request, op operation) (reply, *Error) {
	if r.action == "GetConsoleOutput" {
		s.readConsole(r)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r.region = s.region(r.signer.region)
	s.settle(r.now)
	return op.do(r)
}

func (s *Server) unauthorized(r *request) *Error {
	return errorf("UnauthorizedOperation",
		"You are not authorized to perform this operation. User: %s is not authorized to perform: ec2:%s because no identity-based policy allows the ec2:%s action. Encoded authorization failure message: %s",
		s.callerARN(r.signer), r.action, r.action, s.digest("denied", r.action))
}

// region returns a region, which exists from its first use. The lock is held.
func (s *Server) region(name string) *region {
	if name == "" {
		name = DefaultRegion
	}
	found, ok := s.regions[name]
	if !ok {
		found = &region{
			name:      name,
			instances: table[*instance]{kind: instanceKind, blank: &instance{}},
			volumes:   table[*volume]{kind: volumeKind, blank: &volume{}},
			images:    table[*image]{kind: imageKind, blank: &image{}},
			snapshots: table[*snapshot]{kind: snapshotKind, blank: &snapshot{}},
		}
		s.regions[name] = found
	}
	return found
}

// settle brings every region up to the moment now. The lock is held.
func (s *Server) settle(now time.Time) {
	for _, reg := range s.regions {
		s.settleInstances(reg, now)
		for _, im := range reg.images.rows {
			im.settle(now)
		}
	}
}

// newRow returns the shared part of a new resource. The lock is held.
func (s *Server) newRow(hidden int) row {
	s.seq++
	return row{seq: s.seq, hidden: hidden, labels: map[string]string{}}
}

// newID returns the next id with this prefix. Ids depend on nothing but the
// order in which they are asked for. The lock is held.
func (s *Server) newID(prefix string) string {
	s.seq++
	return prefix + "0" + s.digest(prefix, fmt.Sprint(s.seq))[:16]
}

func (s *Server) digest(parts ...string) string {
	sum := sha256.New()
	for _, part := range append([]string{s.opts.AccountID}, parts...) {
		_, _ = fmt.Fprintf(sum, "%s\n", part) // a hash never fails
	}
	return hex.EncodeToString(sum.Sum(nil))
}

func (s *Server) requestID() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.digest("request", fmt.Sprint(len(s.calls)))
	return d[:8] + "-" + d[8:12] + "-4" + d[13:16] + "-a" + d[17:20] + "-" + d[20:32]
}

func (s *Server) record(call Call) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, call)
	return len(s.calls) - 1
}

func (s *Server) settleCall(index, status int, code string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls[index].Status, s.calls[index].Code = status, code
}

func (s *Server) sendError(w http.ResponseWriter, failure *Error, requestID string, sts bool) {
	write := encodeError
	if sts {
		write = encodeSTSError
	}
	body, err := write(failure, requestID)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	send(w, failure.status(), requestID, body)
}

// readForm returns a request's parameters, from the body of a POST or the
// query of a GET.
func readForm(r *http.Request) (url.Values, *Error) {
	switch r.Method {
	case http.MethodGet:
		return r.URL.Query(), nil
	case http.MethodPost:
	default:
		return nil, &Error{Status: http.StatusMethodNotAllowed, Code: "InvalidAction", Message: "The method " + r.Method + " is not allowed"}
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err != nil {
		return nil, errorf("InvalidRequest", "The request could not be read: %v", err)
	}
	if len(body) > maxBody {
		return nil, errorf("RequestEntityTooLarge", "The request is larger than %d bytes", maxBody)
	}
	values, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, errorf("MalformedQueryString", "The query string is not well-formed: %v", err)
	}
	return values, nil
}
