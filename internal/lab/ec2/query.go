package ec2

import (
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	apiVersion   = "2016-11-15"
	apiNamespace = "http://ec2.amazonaws.com/doc/2016-11-15"
	// timeLayout is how EC2 writes a point in time.
	timeLayout = "2006-01-02T15:04:05.000Z"
)

// params are the parameters of a request, or those below a prefix of them.
type params struct {
	values url.Values
	prefix string
}

func (p params) get(name string) string { return p.values.Get(p.prefix + name) }

func (p params) has(name string) bool { return p.values.Has(p.prefix + name) }

// hasAny says whether there is a parameter that is name or lies below it.
func (p params) hasAny(name string) bool {
	full := p.prefix + name
	for key := range p.values {
		if key == full || strings.HasPrefix(key, full+".") {
			return true
		}
	}
	return false
}

// indexes returns the numbers n of all parameters that begin with name.n, in
// rising order. They need not be contiguous.
func (p params) indexes(name string) []int {
	var found []int
	for key := range p.values {
		rest, ok := strings.CutPrefix(key, p.prefix+name+".")
		if !ok {
			continue
		}
		number, _, _ := strings.Cut(rest, ".")
		if n, err := strconv.Atoi(number); err == nil && !slices.Contains(found, n) {
			found = append(found, n)
		}
	}
	slices.Sort(found)
	return found
}

// list returns the values of name.1, name.2, ...
func (p params) list(name string) []string {
	var values []string
	for _, n := range p.indexes(name) {
		values = append(values, p.get(fmt.Sprintf("%s.%d", name, n)))
	}
	return values
}

// structs returns the parameters below name.1, name.2, ...
func (p params) structs(name string) []params {
	var all []params
	for _, n := range p.indexes(name) {
		all = append(all, params{values: p.values, prefix: fmt.Sprintf("%s%s.%d.", p.prefix, name, n)})
	}
	return all
}

// under returns the parameters below name.
func (p params) under(name string) params {
	return params{values: p.values, prefix: p.prefix + name + "."}
}

// boolean returns a flag, false when it is absent.
func (p params) boolean(name string) (bool, *Error) {
	switch strings.ToLower(p.get(name)) {
	case "true":
		return true, nil
	case "", "false":
		return false, nil
	}
	return false, errorf("InvalidParameterValue", "Invalid value '%s' for %s. It must be a boolean", p.get(name), p.prefix+name)
}

// number returns a whole number, fallback when it is absent.
func (p params) number(name string, fallback int) (int, *Error) {
	if !p.has(name) {
		return fallback, nil
	}
	n, err := strconv.Atoi(p.get(name))
	if err != nil {
		return 0, errorf("InvalidParameterValue", "Invalid value '%s' for %s. It must be an integer", p.get(name), p.prefix+name)
	}
	return n, nil
}

// shape is the name of a parameter with # in place of its indexes.
func shape(name string) string {
	parts := strings.Split(name, ".")
	for i, part := range parts {
		if i > 0 && part != "" && strings.Trim(part, "0123456789") == "" {
			parts[i] = "#"
		}
	}
	return strings.Join(parts, ".")
}

// known checks that every parameter is one of the operation's.
func (p params) known(allowed []string) *Error {
	var unknown []string
	for name := range p.values {
		s := shape(name)
		if s != "Action" && s != "Version" && s != "DryRun" && !slices.Contains(allowed, s) {
			unknown = append(unknown, name)
		}
	}
	if len(unknown) == 0 {
		return nil
	}
	slices.Sort(unknown)
	return errorf("UnknownParameter", "The parameter %s is not recognized", unknown[0])
}

// signer is what the Authorization header says about the caller.
type signer struct{ accessKey, region, service string }

// readSigner takes the credential scope out of a SigV4 Authorization header
// ("AWS4-HMAC-SHA256 Credential=KEY/DATE/REGION/SERVICE/aws4_request, ...").
func readSigner(header string) signer {
	s := signer{region: DefaultRegion}
	_, rest, found := strings.Cut(header, "Credential=")
	if !found {
		return s
	}
	credential, _, _ := strings.Cut(rest, ",")
	parts := strings.Split(strings.TrimSpace(credential), "/")
	s.accessKey = parts[0]
	if len(parts) == 5 && parts[2] != "" {
		s.region, s.service = parts[2], parts[3]
	}
	return s
}

// answer is the part that all answers share; answers embed it.
type answer struct {
	RequestID string `xml:"requestId"`
}

func (a *answer) setRequestID(id string) { a.RequestID = id }

// reply is an answer that the server can complete and send.
type reply interface{ setRequestID(id string) }

// list is a list in an answer: its entries are elements named item.
type list[T any] struct {
	Items []T `xml:"item"`
}

func listOf[T any](items []T) list[T] { return list[T]{Items: items} }

// wrapped is a value in an element of its own, as attributes of resources are
// answered.
type wrapped struct {
	Value string `xml:"value,omitempty"`
}

// returned is the answer of an operation that has nothing to say but that it
// was done.
type returned struct {
	answer
	Return string `xml:"return"`
}

func done() *returned { return &returned{Return: "true"} }

func formatTime(t time.Time) string { return t.UTC().Format(timeLayout) }

// encode writes an answer as EC2 does: a root named after the action, in EC2's
// namespace.
func encode(action string, body reply) ([]byte, error) {
	var out strings.Builder
	out.WriteString(xml.Header)
	start := xml.StartElement{
		Name: xml.Name{Local: action + "Response"},
		Attr: []xml.Attr{{Name: xml.Name{Local: "xmlns"}, Value: apiNamespace}},
	}
	enc := xml.NewEncoder(&out)
	enc.Indent("", "    ")
	if err := enc.EncodeElement(body, start); err != nil {
		return nil, fmt.Errorf("writing the answer of %s: %w", action, err)
	}
	return []byte(out.String()), nil
}

// encodeError writes an error answer.
func encodeError(e *Error, requestID string) ([]byte, error) {
	type item struct {
		Code    string `xml:"Code"`
		Message string `xml:"Message"`
	}
	type response struct {
		XMLName   xml.Name `xml:"Response"`
		Errors    []item   `xml:"Errors>Error"`
		RequestID string   `xml:"RequestID"`
	}
	body, err := xml.Marshal(response{Errors: []item{{e.Code, e.Message}}, RequestID: requestID})
	if err != nil {
		return nil, fmt.Errorf("writing the error answer %s: %w", e.Code, err)
	}
	return append([]byte(xml.Header), body...), nil
}

func send(w http.ResponseWriter, status int, requestID string, body []byte) {
	h := w.Header()
	h.Set("Content-Type", "text/xml;charset=UTF-8")
	h.Set("Server", "AmazonEC2")
	h.Set("x-amzn-RequestId", requestID)
	w.WriteHeader(status)
	// A client that has gone away is no concern of ours.
	_, _ = w.Write(body)
}

// page cuts rows to one page. The token of a page names the last row on it, so
// that rows which come and go between two pages neither repeat nor hide others.
func page[T any](r *request, rows []T, seq func(T) int, least, most int) ([]T, string, *Error) {
	limit, err := r.params.number("MaxResults", 0)
	if err != nil {
		return nil, "", err
	}
	if r.params.has("MaxResults") && (limit < least || limit > most) {
		return nil, "", errorf("InvalidParameterValue",
			"Value ( %d ) for parameter maxResults is invalid. Expecting a value between %d and %d.", limit, least, most)
	}
	if limit == 0 || (r.server.opts.PageSize > 0 && r.server.opts.PageSize < limit) {
		limit = r.server.opts.PageSize
	}
	after := -1
	if token := r.params.get("NextToken"); token != "" {
		text, decodeErr := base64.URLEncoding.DecodeString(token)
		number, found := strings.CutPrefix(string(text), r.action+":")
		n, numberErr := strconv.Atoi(number)
		if decodeErr != nil || !found || numberErr != nil {
			return nil, "", errorf("InvalidNextToken", "The token '%s' is invalid", token)
		}
		after = n
	}
	start := 0
	for start < len(rows) && seq(rows[start]) <= after {
		start++
	}
	rows = rows[start:]
	if limit == 0 || len(rows) <= limit {
		return rows, "", nil
	}
	token := fmt.Sprintf("%s:%d", r.action, seq(rows[limit-1]))
	return rows[:limit], base64.URLEncoding.EncodeToString([]byte(token)), nil
}
