package sysprep

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/answerfile"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/aws"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/diagnosis/finding"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/generalize"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/guest"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/image"
	"github.com/golden-ami/packer-plugin-ec2-sysprep/internal/launchagent"
)

// optionText is an option with its text.
type optionText struct{ name, value string }

// settings are the settings that are given. Values that Packer does not know
// yet are left out.
func (a *AnswerFileConfig) settings() answerfile.Settings {
	text := func(value *string) *string {
		if value == nil || !aws.Known(*value) {
			return nil
		}
		return value
	}
	s := answerfile.Settings{
		CopyProfile: a.CopyProfile.ToBoolPointer(), TimeZone: text(a.TimeZone),
		InputLocale: text(a.InputLocale), SystemLocale: text(a.SystemLocale), UILanguage: text(a.UILanguage), UserLocale: text(a.UserLocale),
		RegisteredOrganization: text(a.RegisteredOrganization), RegisteredOwner: text(a.RegisteredOwner),
		PersistAllDeviceInstalls:      a.PersistAllDeviceInstalls.ToBoolPointer(),
		DoNotCleanUpNonPresentDevices: a.DoNotCleanUpNonPresentDevices.ToBoolPointer(),
		HideEULAPage:                  a.HideEULAPage.ToBoolPointer(), HideWirelessSetupInOOBE: a.HideWirelessSetupInOOBE.ToBoolPointer(),
		ProtectYourPC: a.ProtectYourPC, NetworkLocation: text(a.NetworkLocation),
		BluetoothTaskbarIconEnabled: a.BluetoothTaskbarIconEnabled.ToBoolPointer(),
		ComputerName:                text(a.ComputerName), ProductKey: text(a.ProductKey), AdministratorPassword: text(a.AdministratorPassword),
	}
	for _, c := range a.RunSynchronous {
		if aws.Known(c.Path) && aws.Known(c.Description) && aws.Known(c.WillReboot) {
			s.RunSynchronous = append(s.RunSynchronous, answerfile.Command{
				Order: c.Order, Description: c.Description, Path: c.Path, WillReboot: answerfile.Reboot(c.WillReboot),
			})
		}
	}
	return s
}

// texts are the settings that may still hold Packer's placeholder.
func (a *AnswerFileConfig) texts() []optionText {
	if a == nil {
		return nil
	}
	var texts []optionText
	for _, option := range []struct {
		name  string
		value *string
	}{
		{"time_zone", a.TimeZone},
		{"input_locale", a.InputLocale},
		{"system_locale", a.SystemLocale},
		{"ui_language", a.UILanguage},
		{"user_locale", a.UserLocale},
		{"registered_organization", a.RegisteredOrganization},
		{"registered_owner", a.RegisteredOwner},
		{"network_location", a.NetworkLocation},
		{"computer_name", a.ComputerName},
		{"product_key", a.ProductKey},
		{"administrator_password", a.AdministratorPassword},
	} {
		if option.value != nil {
			texts = append(texts, optionText{"answer_file." + option.name, *option.value})
		}
	}
	for _, c := range a.RunSynchronous {
		texts = append(texts, optionText{"answer_file.run_synchronous", c.Description + c.Path + c.WillReboot})
	}
	return texts
}

// secrets are the settings that no line may show.
func (a *AnswerFileConfig) secrets() []string {
	var secrets []string
	if a == nil {
		return nil
	}
	for _, secret := range []*string{a.ProductKey, a.AdministratorPassword} {
		if secret != nil && *secret != "" && aws.Known(*secret) {
			secrets = append(secrets, *secret)
		}
	}
	return secrets
}

// locales are the locales of the options, the one that decides first.
func (a *AnswerFileConfig) locales() []string {
	if a == nil {
		return nil
	}
	var locales []string
	for _, value := range []*string{a.UserLocale, a.SystemLocale, a.UILanguage, a.InputLocale} {
		if value != nil {
			locales = append(locales, *value)
		}
	}
	return locales
}

// loadAnswerFile reads, checks and edits the user's answer file, and checks the
// settings for the agent's.
func (c *Config) loadAnswerFile(wrong wrongFunc) {
	good := true
	if c.AnswerFile != nil {
		for _, err := range c.AnswerFile.settings().Validate() {
			option, problem, _ := strings.Cut(err.Error(), ": ")
			wrong("answer_file."+option, "%s", problem)
			good = false
		}
	}
	option, name := "answer_file_path", c.AnswerFilePath
	var data []byte
	switch {
	case c.AnswerFilePath != "" && c.AnswerFileContent != "":
		wrong("answer_file_content", "answer_file_path is given too; drop one of them")
		return
	case c.AnswerFilePath != "":
		if !aws.Known(c.AnswerFilePath) {
			return
		}
		var err error
		if data, err = os.ReadFile(c.AnswerFilePath); err != nil {
			wrong(option, "%w", err)
			return
		}
	case c.AnswerFileContent != "":
		if !aws.Known(c.AnswerFileContent) {
			return
		}
		option, name, data = "answer_file_content", "answer_file_content", []byte(c.AnswerFileContent)
	default:
		return
	}
	file, err := answerfile.Parse(name, data)
	if err != nil {
		wrong(option, "%w", err)
		return
	}
	for _, f := range file.Check(answerfile.CheckOptions{}) {
		if f.Severity == finding.Error {
			wrong(option, "%s", f)
			good = false
		} else if f.Severity == finding.Warning {
			c.warnings = append(c.warnings, f.String())
		}
	}
	if !good {
		return
	}
	if c.AnswerFile != nil {
		if err := file.Apply(c.AnswerFile.settings()); err != nil {
			wrong("answer_file", "%w", err)
			return
		}
	}
	c.answerFile = file
}

// prepareAnswerFile checks the answer file that will be used, with the settings
// of the options in it, and has it staged when it is not the agent's own one.
func (r *run) prepareAnswerFile(agent launchagent.Found, answer *guest.Call[guest.Piece], locale guest.Value) (*answerfile.File, error) {
	piece, err := wholeFile(answer, agent.AnswerFile())
	if err != nil {
		return nil, &image.Failure{Code: codeAnswerFile, Problem: "reading the agent's answer file " + agent.AnswerFile(), Cause: err}
	}
	file := r.config.answerFile
	var shipped *answerfile.File
	if piece.Exists {
		parsed, err := answerfile.Parse(r.expand(agent.AnswerFile()), piece.Data)
		switch {
		case err == nil:
			shipped = parsed
		case file == nil:
			return nil, &image.Failure{
				Code: codeAnswerFile, Problem: "the answer file on the guest is broken, and Sysprep would refuse it", Cause: err,
				Next: "repair it, or give an answer file of your own with answer_file_path",
			}
		}
	} else if file == nil {
		return nil, &image.Failure{
			Code: codeAnswerFile, Problem: "the agent's answer file " + agent.AnswerFile() + " is not there",
			Next: "repair " + agent.Title() + ", or give an answer file of your own with answer_file_path",
		}
	}
	options := answerfile.CheckOptions{
		Architecture: r.facts.Identity.Architecture, AdministratorName: r.facts.Administrator, Shipped: shipped,
	}
	switch {
	case file == nil && r.config.AnswerFile != nil:
		if file, err = answerfile.Parse(r.expand(agent.AnswerFile()), piece.Data); err != nil {
			return nil, err
		}
		if err := file.Apply(r.config.AnswerFile.settings()); err != nil {
			return nil, &image.Failure{
				Code: codeAnswerFile, Problem: "the settings of answer_file cannot be made in the agent's answer file", Cause: err,
				Next: "correct them, or give an answer file of your own with answer_file_path",
			}
		}
	case file == nil:
		file, options.Shipped = shipped, nil
	}
	secured, err := r.withPassword(agent, file)
	if err != nil {
		return nil, err
	}
	if secured != nil {
		file, options.Shipped = secured, shipped
	}
	removed := secured != nil && agent.ID() == (launchagent.EC2Config{}).ID()
	for _, f := range file.Check(options) {
		switch {
		case f.Severity == finding.Error:
			return nil, &image.Failure{Code: codeAnswerFile, Problem: f.String()}
		case removed && f.ID == "clear-text-secret" && strings.HasPrefix(f.Message, "<AdministratorPassword>"):
			r.say("Warning: the administrator's password stands in clear text in %s of the image, as EC2Config itself writes it; it removes it at an instance's first start (%s is turned on)", r.expand(agent.AnswerFile()), removeCredentials)
		case f.Severity == finding.Warning:
			r.say("Warning: %s", f)
		}
	}
	if fault := agent.AnswerFileFault(file.Bytes()); fault != "" {
		return nil, &image.Failure{
			Code: codeAnswerFile, Problem: "the answer file: " + fault,
			Next: "save it as UTF-8 with a byte order mark, or with ASCII characters alone",
		}
	}
	if file == shipped {
		return file, nil
	}
	if r.overPacker() && (file.HoldsSecret() || r.tells(file.Bytes())) {
		return nil, secretFailure("the answer file holds a password or a product key")
	}
	difference := []string{"the agent's own file cannot be compared with"}
	if shipped != nil {
		difference = nil
		for _, change := range answerfile.Diff(shipped, file).Changes {
			difference = append(difference, change.String())
		}
	}
	r.place("answer file", agent.AnswerFile(), file.Bytes(), difference)
	r.setLocale(agent, file, locale)
	return file, nil
}

// overPacker says that files go through Packer's WinRM communicator, which puts
// their bytes into command lines that Windows logs.
func (r *run) overPacker() bool { return r.client == nil && r.build.ConnType == "winrm" }

func secretFailure(what string) error {
	return &image.Failure{
		Code: codeSecret, Problem: what + ", and Packer's WinRM communicator would put it into command lines that Windows logs",
		Next: "let the provisioner connect by itself: transport = \"winrm\"",
	}
}

// localeName is where EC2Launch v2 takes the locale from that it writes into its
// answer file before it starts Sysprep. Source: the AWS user guide on EC2Launch v2.
var localeName = launchagent.Setting{Path: `HKU\.DEFAULT\Control Panel\International`, Name: "LocaleName"}

// setLocale makes EC2Launch v2 write the wanted locale: that of the user's own
// answer file, or of the options for the agent's. found is the guest's own.
func (r *run) setLocale(agent launchagent.Found, file *answerfile.File, found guest.Value) {
	if agent.ID() != (launchagent.EC2LaunchV2{}).ID() {
		return
	}
	locales := r.config.AnswerFile.locales()
	if r.config.answerFile != nil {
		locales = nil
		for _, option := range []string{"user_locale", "system_locale", "ui_language", "input_locale"} {
			if value, ok := file.Value(option); ok && value != "" {
				locales = append(locales, value)
			}
		}
	}
	if len(locales) == 0 {
		return
	}
	locale := locales[0]
	if errs := (answerfile.Settings{UserLocale: &locale}).Validate(); len(errs) > 0 {
		r.say("Warning: EC2Launch v2 writes the guest's own locale, %s, into its answer file, so that %s gets lost; give user_locale", found.Text, locale)
		return
	}
	for _, other := range locales[1:] {
		if other != locale {
			r.say("Warning: EC2Launch v2 writes one locale, %s, into all four settings of its answer file; %s may get lost", locale, other)
		}
	}
	if found.Text == locale {
		return
	}
	r.settings = append(r.settings, generalize.Setting{
		Setting: localeName, Value: guest.Value{Exists: true, Name: localeName.Name, Kind: guest.KindString, Text: locale},
	})
}

var errTooLarge = errors.New("it is too large")

// wholeFile is a file that was read, all of it.
func wholeFile(call *guest.Call[guest.Piece], path string) (guest.Piece, error) {
	piece, err := call.Answer()
	if err == nil && piece.Size > int64(len(piece.Data)) {
		return piece, fmt.Errorf("%s has %d bytes, and %d are read: %w", path, piece.Size, maxGuestFile, errTooLarge)
	}
	return piece, err
}
