package guest

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

func TestRequestTravelsInOneASCIILine(t *testing.T) {
	calls := []Asker{RegistryValue(`HKLM\SOFTWARE\größe`, "日本 😀"), Hello(), FileStat(`C:\a <b> & 'c'`)}
	request := Request{ID: 7}
	for _, call := range calls {
		raw, err := call.raw()
		if err != nil {
			t.Fatal(err)
		}
		request.Calls = append(request.Calls, raw)
	}
	line, err := EncodeRequest(request)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasSuffix(line, []byte("\n")) || bytes.Count(line, []byte("\n")) != 1 {
		t.Errorf("not one line: %q", line)
	}
	for _, b := range line[:len(line)-1] {
		if b < 0x20 || b > 0x7e {
			t.Fatalf("byte %#x in %q", b, line)
		}
	}
	if !bytes.Contains(line, []byte(`\ud83d\ude00`)) {
		t.Errorf("the astral character is no pair of escapes: %s", line)
	}
	var back Request
	if err := json.Unmarshal(line, &back); err != nil {
		t.Fatal(err)
	}
	var args RegistryArgs
	if err := json.Unmarshal(back.Calls[0].Args, &args); err != nil {
		t.Fatal(err)
	}
	if back.ID != 7 || back.Calls[0].Op != "registry.read" || back.Calls[1].Op != "hello" || args.Path != `HKLM\SOFTWARE\größe` || args.Name != "日本 😀" {
		t.Errorf("came back as %+v, %+v", back, args)
	}
}

func TestRequestThatIsTooLongIsRefused(t *testing.T) {
	args, err := json.Marshal(map[string]string{"data": strings.Repeat("a", MaxLine)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := EncodeRequest(Request{Calls: []RawCall{{Op: "file.write", Args: args}}}); err == nil {
		t.Error("no error")
	}
	if _, err := EncodeRequest(Request{Calls: []RawCall{{Op: "x", Args: json.RawMessage(`[1]`)}}}); err == nil {
		t.Error("arguments that are no object were taken")
	}
}

func TestReplyLines(t *testing.T) {
	reply := Reply{ID: 3, Answers: []json.RawMessage{json.RawMessage(`{"exists":true,"text":"é😀"}`)}}
	line, err := EncodeReply(reply)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		line    string
		ok, bad bool
	}{
		"as the guest writes it":             {string(line), true, false},
		"with a line end of Unix":            {strings.ReplaceAll(string(line), "\r\n", "\n"), true, false},
		"cut before its end":                 {string(line[:len(line)-4]), true, true},
		"cut in the middle":                  {string(line[:len(line)/2]), true, true},
		"with a broken text":                 {"#es1 {\"id\":} #end\r\n", true, true},
		"noise of a program":                 {"WARNING: something\r\n", false, false},
		"an empty line":                      {"\r\n", false, false},
		"a line that only resembles a reply": {" #es1 {} #end", false, false},
	} {
		t.Run(name, func(t *testing.T) {
			got, ok, err := DecodeReply([]byte(test.line))
			if ok != test.ok || (err != nil) != test.bad {
				t.Fatalf("ok %v, error %v", ok, err)
			}
			if ok && !test.bad {
				var value Value
				if err := json.Unmarshal(got.Answers[0], &value); err != nil || got.ID != 3 || value.Text != "é😀" {
					t.Errorf("read %+v, %v", got, err)
				}
			}
		})
	}
}

func FuzzDecodeReply(f *testing.F) {
	f.Add([]byte("#es1 {\"id\":1,\"answers\":[{\"exists\":true}]} #end\r\n"))
	f.Add([]byte("#es1 {\"id\":1,\"event\":{\"n\":1,\"logs\":[{\"data\":\"YQ==\"}]}} #end"))
	f.Add([]byte("#es1 {\"id\":1,\"error\":{\"kind\":\"failed\",\"message\":\"\\ud83d\"}} #end"))
	f.Add([]byte("#es1  #end"))
	f.Add([]byte("#es1-refused ConstrainedLanguage 5.1"))
	f.Fuzz(func(t *testing.T, line []byte) {
		reply, ok, err := DecodeReply(line)
		if !ok || err != nil {
			if !reflect.DeepEqual(reply, Reply{}) && !ok {
				t.Errorf("noise gave %+v", reply)
			}
			return
		}
		again, err := EncodeReply(reply)
		if err != nil {
			t.Fatal(err)
		}
		back, ok, err := DecodeReply(again)
		if !ok || err != nil || back.ID != reply.ID || len(back.Answers) != len(reply.Answers) {
			t.Errorf("%q came back as %+v, %v, %v", again, back, ok, err)
		}
		for _, b := range bytes.TrimSuffix(again, []byte("\r\n")) {
			if b >= 0x80 {
				t.Fatalf("byte %#x in %q", b, again)
			}
		}
	})
}

func TestCallsAreGroupedSoThatALineHoldsThem(t *testing.T) {
	var calls []Asker
	for _, call := range FileWrite(`C:\a`, make([]byte, 3*MaxPiece+1)) {
		calls = append(calls, call)
	}
	for range 5 {
		calls = append(calls, FileRead(`C:\a`, 0, MaxPiece))
	}
	calls = append(calls, Hello())
	var order []Asker
	for _, group := range groups(calls) {
		request := Request{ID: 1}
		answers := 0
		for _, call := range group {
			raw, err := call.raw()
			if err != nil {
				t.Fatal(err)
			}
			request.Calls = append(request.Calls, raw)
			answers += call.answerSize()
		}
		if _, err := EncodeRequest(request); err != nil {
			t.Error(err)
		}
		if answers > MaxLine {
			t.Errorf("the answers of a group may have %d bytes", answers)
		}
		order = append(order, group...)
	}
	if !reflect.DeepEqual(order, calls) {
		t.Error("the groups do not hold the calls in their order")
	}
	if n := len(groups(calls[len(calls)-1:])); n != 1 {
		t.Errorf("one call makes %d groups", n)
	}
}

func TestFileWriteCutsIntoPieces(t *testing.T) {
	for name, test := range map[string]struct{ size, pieces int }{
		"an empty file is one piece":             {0, 1},
		"a file of exactly one piece":            {MaxPiece, 1},
		"one byte more makes a second":           {MaxPiece + 1, 2},
		"a file of exactly two pieces stays two": {2 * MaxPiece, 2},
	} {
		t.Run(name, func(t *testing.T) {
			calls := FileWrite(`C:\a`, make([]byte, test.size))
			if len(calls) != test.pieces {
				t.Fatalf("%d pieces, want %d", len(calls), test.pieces)
			}
			for i, call := range calls {
				args := call.args.(FileArgs)
				if args.Offset != int64(i*MaxPiece) || (args.SHA256 != "") != (i == len(calls)-1) {
					t.Errorf("piece %d: offset %d, hash %q", i, args.Offset, args.SHA256)
				}
			}
		})
	}
}
