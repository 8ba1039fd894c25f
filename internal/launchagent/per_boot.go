package launchagent

import (
	"bytes"
	"strings"
)

// PerBootTask is the file with the definition of the task by which EC2Launch v1
// sets an instance up, as Windows keeps it.
const PerBootTask = `%windir%\System32\Tasks\` + initializeTask

// LosesPerBoot says that a guest whose task has this definition sets itself up
// at every boot, by InitializeInstance.ps1 -SchedulePerBoot of earlier, and that
// the order would make that a plain one: the instances from the image would be
// set up once. Source: the script of version 1.3.2003498, which registers its
// task with -KeepSchedule then.
func (EC2LaunchV1) LosesPerBoot(order Order, definition []byte) bool {
	// Definitions are in UTF-16.
	text := strings.ToLower(string(bytes.ReplaceAll(definition, []byte{0}, nil)))
	return !order.Schedules.PerBoot && strings.Contains(text, "-keepschedule") && !strings.Contains(text, "<enabled>false</enabled>")
}
