package windows

import (
	"strconv"
	"time"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/guest"
)

// acts carries out a list. It returns the failure that ended it. With all,
// every act is tried and failures are only noted.
func (s *sealer) acts(acts []guest.Act, all bool) string {
	for _, act := range acts {
		message := s.act(act)
		if message == "" {
			continue
		}
		text := act.Act + " " + act.Path + ": " + message
		s.trouble(text)
		if !all && !act.Optional {
			return text
		}
	}
	return ""
}

// act carries out one act and returns the message of its failure.
func (s *sealer) act(act guest.Act) (message string) {
	switch act.Act {
	case guest.ActRun:
		return s.actRun(act)
	case guest.ActDeleteFolder:
		return s.actDeleteFolder(act)
	}
	if !s.do(func(g *Guest) {
		var err error
		switch act.Act {
		case guest.ActCopy:
			source := g.disk.file(act.From)
			if source == nil {
				message = act.From + " does not exist"
				return
			}
			if _, err = g.disk.makeFolder(parent(clean(act.Path))); err == nil {
				var written *node
				if written, err = g.disk.write(act.Path, source.data); err == nil {
					written.version, written.modified = source.version, source.modified
				}
			}
		case guest.ActDelete:
			if g.disk.file(act.Path) != nil {
				_, err = g.disk.remove(act.Path, false)
			}
		case guest.ActRegistry:
			err = g.actRegistry(act)
		default:
			message = "unknown act " + act.Act
		}
		if err != nil {
			message = asCallError(err).Message
		}
	}) {
		return asCallError(errEnded).Message
	}
	return message
}

// actDeleteFolder deletes a folder. A file that somebody is just reading is
// gone a moment later.
func (s *sealer) actDeleteFolder(act guest.Act) string {
	for try := 1; ; try++ {
		var err error
		if !s.do(func(g *Guest) {
			if n := g.disk.find(act.Path); n != nil && n.folder {
				_, err = g.disk.remove(act.Path, true)
			}
		}) {
			return asCallError(errEnded).Message
		}
		switch {
		case err == nil:
			return ""
		case try == 5:
			return asCallError(err).Message
		case !s.wait(300 * time.Millisecond):
			return asCallError(errEnded).Message
		}
	}
}

func (g *Guest) actRegistry(act guest.Act) error {
	if err := g.checkKey(act.Path); err != nil {
		return err
	}
	if act.Set == nil || !act.Set.Exists {
		g.hive.deleteValue(act.Path, act.Name)
		return nil
	}
	value, err := checkedValue(*act.Set)
	if err != nil {
		return err
	}
	g.hive.write(act.Path, act.Name, value)
	return nil
}

func (s *sealer) actRun(act guest.Act) string {
	limit := act.Seconds
	if limit == 0 {
		limit = 60
	}
	child, err := s.launch(act.Path, act.Arguments, s.path("acts.txt"))
	if err != nil {
		return asCallError(err).Message
	}
	code, ended := s.awaitFor(child, seconds(limit))
	if !ended {
		s.do(func(g *Guest) { g.killTree(child) })
		return act.Path + " did not end within " + strconv.Itoa(limit) + " s"
	}
	if code != 0 {
		return act.Path + " ended with code " + strconv.Itoa(code)
	}
	return ""
}
