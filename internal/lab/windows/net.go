package windows

import "strings"

// runNet is net.exe user, start and stop. What else it can do, the model does
// not have.
func runNet(p *process) int {
	words := splitLine(p.arguments)
	if len(words) < 2 {
		return cannotRun(p)
	}
	switch strings.ToLower(words[0]) {
	case "user":
		return runNetUser(p, words[1:])
	case "start", "stop":
		return p.switchService(words[1], strings.EqualFold(words[0], "start"))
	}
	p.do(func(g *Guest) { g.note("not modelled: " + p.file + " " + words[0]) })
	return 0
}

// runNetUser is net.exe user: a name, perhaps a password, and options of which the
// model has /active, /add and /delete.
func runNetUser(p *process, words []string) int {
	name, password, given := words[0], "", false
	options := map[string]string{}
	for _, word := range words[1:] {
		if !strings.HasPrefix(word, "/") {
			password, given = word, true
			continue
		}
		option, value, _ := strings.Cut(strings.ToLower(word), ":")
		options[option] = value
	}
	message := ""
	p.do(func(g *Guest) {
		known, account, ok := g.account(name)
		_, add := options["/add"]
		_, remove := options["/delete"]
		switch {
		case add == ok:
			message = "The user name could not be found."
			if add {
				message = "The account already exists."
			}
			return
		case remove:
			delete(g.accounts, known)
			return
		case given && !strong(password, known):
			message = "The password does not meet the password policy requirements."
			return
		case add:
			known, account = name, Account{SID: machineSID + "-1002"}
		}
		if given {
			account.Password = password
			if strings.HasSuffix(account.SID, "-500") {
				g.origin = PasswordSpecified
			}
		}
		if active, ok := options["/active"]; ok {
			account.Disabled = active == "no"
		}
		g.accounts[known] = account
	})
	if message != "" {
		p.complain(message)
		return 2
	}
	p.say("The command completed successfully.")
	return 0
}

// scramble gives an account a password that nobody is told, as the agents'
// commands of the specialize pass do.
func (p *process) scramble(user string) int {
	done := false
	p.do(func(g *Guest) { done = g.setPassword(user, g.randomPassword(), passwordScrambled) })
	if !done {
		p.complain("The user name could not be found.")
		return 1
	}
	return 0
}
