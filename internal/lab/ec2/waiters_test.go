package ec2

import (
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// selectPath follows a path such as Reservations[].Instances[].State.Name.
func selectPath(value any, path string) []any {
	part, rest, more := strings.Cut(path, ".")
	name, each := strings.CutSuffix(part, "[]")
	fields, _ := value.(map[string]any)
	found := []any{fields[name]}
	if each {
		found, _ = fields[name].([]any)
	}
	if !more {
		return found
	}
	var all []any
	for _, f := range found {
		all = append(all, selectPath(f, rest)...)
	}
	return all
}

// matches says whether an acceptor of a waiter applies to an answer.
func (a apiAcceptor) matches(t *testing.T, value map[string]any, code string) bool {
	t.Helper()
	switch a.Matcher {
	case "error":
		return code != "" && code == a.Expected
	case "pathAll", "pathAny":
		found := selectPath(value, a.Argument)
		is := func(v any) bool { return reflect.DeepEqual(v, a.Expected) }
		if a.Matcher == "pathAny" {
			return slices.ContainsFunc(found, is)
		}
		return len(found) > 0 && !slices.ContainsFunc(found, func(v any) bool { return !is(v) })
	case "path":
		inner := strings.TrimSuffix(strings.TrimPrefix(a.Argument, "length("), ") > `0`")
		if inner == a.Argument {
			t.Fatalf("the expression %s is not known to the test", a.Argument)
		}
		return (len(selectPath(value, inner)) > 0) == a.Expected
	}
	t.Fatalf("the matcher %s is not known to the test", a.Matcher)
	return false
}

func TestTheWaitersOfTheModel(t *testing.T) {
	type setting struct {
		*talker
		id string
	}
	const home = "eu-central-1"
	image := func(k setting) string {
		return "ImageId.1=" + k.ask(home, "CreateImage", "InstanceId="+k.id, "Name=golden")["ImageId"].(string)
	}
	for _, test := range []struct {
		name, waiter string
		act          func(k setting) string // returns the parameter to ask with
		want         string                 // the verdict
		least, most  time.Duration
	}{
		{"an instance that starts runs", "InstanceRunning", func(k setting) string {
			k.ask(home, "StopInstances", "InstanceId.1="+k.id)
			k.wait(time.Minute)
			k.ask(home, "StartInstances", "InstanceId.1="+k.id)
			return "InstanceId.1=" + k.id
		}, "success", 10 * time.Second, 20 * time.Second},
		{"an instance that stops will not run", "InstanceRunning", func(k setting) string {
			k.ask(home, "StopInstances", "InstanceId.1="+k.id)
			return "InstanceId.1=" + k.id
		}, "failure", 0, 0},
		{"an instance that is stopped stops", "InstanceStopped", func(k setting) string {
			k.ask(home, "StopInstances", "InstanceId.1="+k.id)
			return "InstanceId.1=" + k.id
		}, "success", 15 * time.Second, 30 * time.Second},
		{"a guest that shuts down stops its instance", "InstanceStopped", func(k setting) string {
			k.server.GuestShutdown(k.id)
			return "InstanceId.1=" + k.id
		}, "success", 10 * time.Second, 15 * time.Second},
		{"a guest that shuts down terminates its instance if told so", "InstanceStopped", func(k setting) string {
			k.ask(home, "ModifyInstanceAttribute", "InstanceId="+k.id, "InstanceInitiatedShutdownBehavior.Value=terminate")
			k.server.GuestShutdown(k.id)
			return "InstanceId.1=" + k.id
		}, "failure", 10 * time.Second, 15 * time.Second},
		{"an instance that is terminated ends", "InstanceTerminated", func(k setting) string {
			k.ask(home, "TerminateInstances", "InstanceId.1="+k.id)
			return "InstanceId.1=" + k.id
		}, "success", 30 * time.Second, 45 * time.Second},
		{"the status checks pass", "InstanceStatusOk", func(k setting) string { return "InstanceId.1=" + k.id }, "success", 2 * time.Minute, 2*time.Minute + 15*time.Second},
		{"the system's status checks pass", "SystemStatusOk", func(k setting) string { return "InstanceId.1=" + k.id }, "success", 2 * time.Minute, 2*time.Minute + 15*time.Second},
		{"an image becomes available", "ImageAvailable", image, "success", 4 * time.Minute, 4*time.Minute + 15*time.Second},
		{"an image fails", "ImageAvailable", func(k setting) string {
			k.server.FailNextImage("Client.InternalError", "broken")
			return image(k)
		}, "failure", 4 * time.Minute, 4*time.Minute + 15*time.Second},
		{"an image that cannot be seen yet comes to exist", "ImageExists", func(k setting) string {
			k.server.HideNew(2)
			return image(k)
		}, "success", 30 * time.Second, 30 * time.Second},
		{"an instance exists", "InstanceExists", func(k setting) string { return "InstanceId.1=" + k.id }, "success", 0, 0},
		{"a snapshot is completed", "SnapshotCompleted", func(k setting) string {
			image(k)
			return "SnapshotId.1=" + k.server.Images(home)[0].Mappings[0].SnapshotID
		}, "success", 3 * time.Minute, 4 * time.Minute},
		{"a volume in use is in use", "VolumeInUse", func(k setting) string {
			in, _ := k.server.Instance(k.id)
			return "VolumeId.1=" + in.Volumes[0].ID
		}, "success", 0, 0},
		{"a volume is deleted with its instance", "VolumeDeleted", func(k setting) string {
			in, _ := k.server.Instance(k.id)
			k.ask(home, "TerminateInstances", "InstanceId.1="+k.id)
			return "VolumeId.1=" + in.Volumes[0].ID
		}, "success", 30 * time.Second, 45 * time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := New(Options{})
				defer s.Close()
				k := setting{talker: &talker{t: t, server: s, model: loadModel(t, "ec2"), driven: map[string]bool{}}}
				var err error
				if k.id, err = s.AddInstance(Instance{Region: home}); err != nil {
					t.Fatal(err)
				}
				parameter := test.act(k)
				waiter := k.model.Waiters[test.waiter]
				begin := s.Now()
				verdict := "retry"
				for n := 0; n < waiter.MaxAttempts && verdict == "retry"; n++ {
					if n > 0 {
						k.wait(time.Duration(waiter.Delay) * time.Second)
					}
					verdict = k.judge(waiter, parameter)
				}
				if took := s.Now().Sub(begin); verdict != test.want || took < test.least || took > test.most {
					t.Errorf("the verdict after %v is %s, want %s after %v to %v", took, verdict, test.want, test.least, test.most)
				}
			})
		})
	}
}

// judge asks once and returns the state of the first acceptor that matches.
func (k *talker) judge(waiter apiWaiter, parameter string) string {
	k.t.Helper()
	w := post(k.server, "eu-central-1", form(waiter.Operation, parameter))
	var value map[string]any
	var failure node
	code := ""
	if w.Code == http.StatusOK {
		r := &reader{model: k.model}
		value = r.answer(waiter.Operation, w.Body.Bytes())
		for _, wrong := range r.wrong {
			k.t.Error(wrong)
		}
	} else {
		code = errorCode(k.t, w, &failure)
	}
	for _, acceptor := range waiter.Acceptors {
		if acceptor.matches(k.t, value, code) {
			return acceptor.State
		}
	}
	if code != "" {
		k.t.Fatalf("%s: %s", waiter.Operation, code)
	}
	return "retry"
}
