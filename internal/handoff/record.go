// Package handoff holds the record that the provisioner leaves for the
// post-processor: what was done to which instance, and what was seen that
// proves it. The two components are separate processes without a channel
// between them, so the record is a file.
//
// The package knows the record's fields, where it lies and how it is written;
// what a proof is worth is decided by the post-processor (package image).
package handoff

import "time"

// Version is the version of the record's form. A reader refuses any other.
const Version = 1

// Stage is how far the provisioner came.
type Stage string

// The stages, in the order in which a build passes them. StageRefused ends a
// build that must not become an image.
const (
	// StagePlanned: the guest has been looked at, nothing has been changed.
	StagePlanned Stage = "planned"
	// StageStaged: the files lie in the working folder, nothing else has been changed.
	StageStaged Stage = "staged"
	// StageTriggered: the sealer was told to start; nobody has seen it run.
	StageTriggered Stage = "triggered"
	// StageSealerConfirmed: the sealer was seen running; its verdict was not seen.
	StageSealerConfirmed Stage = "sealer-confirmed"
	// StageSealed: the seal was seen on the guest (see Proof).
	StageSealed Stage = "sealed"
	// StageShutdown: the guest is going down, or is down, after its verdict was seen.
	StageShutdown Stage = "shutdown"
	// StageRefused: Sysprep did not seal the guest. No image may be made.
	StageRefused Stage = "refused"
)

// ProofKind names what a proof rests on. DESIGN: "The record between the two".
type ProofKind string

// The kinds of proof.
const (
	// ProofSeen: ImageState, tag and the end of sysprep.exe were read on the guest.
	ProofSeen ProofKind = "seen"
	// ProofConsole: the sealer's line with this build's token stood in EC2's console output.
	ProofConsole ProofKind = "console"
	// ProofByShutdown: a confirmed sealer that shuts down only a sealed guest, and a guest-initiated stop within its limit.
	ProofByShutdown ProofKind = "by-shutdown"
	// ProofNotGeneralized: the action "shutdown" was carried out; the guest is not generalized.
	ProofNotGeneralized ProofKind = "not-generalized"
)

// Record is the whole hand-over. It holds no secret.
type Record struct {
	Version     int    `json:"version"`
	Plugin      string `json:"plugin"`
	RunUUID     string `json:"run_uuid,omitempty"`
	BuilderType string `json:"builder_type,omitempty"`
	SourceName  string `json:"source_name,omitempty"`

	// Token is this build's own random word. The sealer repeats it in its
	// state and in its line on COM1, so that an older build's words are never
	// taken for this one's.
	Token string `json:"token"`
	Stage Stage  `json:"stage"`
	// Action is what was asked for: "sysprep" or "shutdown".
	Action string `json:"action"`
	// Shutdown is who shuts the guest down: "sealed", "agent" or "none".
	Shutdown string `json:"shutdown"`

	InstanceID string `json:"instance_id,omitempty"`
	AccountID  string `json:"account_id,omitempty"`
	Region     string `json:"region,omitempty"`
	// LaunchTime is EC2's LaunchTime of the instance, zero when nobody could
	// tell. A later one voids every proof: the instance has been started again.
	LaunchTime time.Time `json:"launch_time,omitzero"`
	// BootTime is when the guest's Windows last booted, by its own clock.
	BootTime time.Time `json:"boot_time,omitzero"`

	Agent   Agent             `json:"agent"`
	Windows Windows           `json:"windows"`
	Facts   map[string]string `json:"facts,omitempty"`
	Files   []File            `json:"files,omitempty"`

	Timeline []Moment `json:"timeline,omitempty"`
	Proof    *Proof   `json:"proof,omitempty"`

	// TriggeredAt is when the sealer was started, and SealerDeadline the last
	// moment by which it must have shut the guest down, both by the clock of
	// the machine that ran Packer. A stop after the deadline is not a proof.
	TriggeredAt    time.Time `json:"triggered_at,omitzero"`
	SealerDeadline time.Time `json:"sealer_deadline,omitzero"`
	// ClockOffset is the guest's clock minus Packer's, at the survey.
	ClockOffset time.Duration `json:"clock_offset,omitempty"`
	Limits      Limits        `json:"limits"`

	UpdatedAt time.Time `json:"updated_at,omitzero"`
}

// Agent is the launch agent that did the work.
type Agent struct {
	// Name is "ec2launch-v2", "ec2launch-v1" or "ec2config".
	Name    string `json:"name,omitempty"`
	Version string `json:"version,omitempty"`
}

// Windows says which Windows was sealed.
type Windows struct {
	Caption      string `json:"caption,omitempty"`
	Version      string `json:"version,omitempty"`
	Build        string `json:"build,omitempty"`
	Architecture string `json:"architecture,omitempty"`
	Hostname     string `json:"hostname,omitempty"`
}

// File is a file that was put on the guest.
type File struct {
	Path   string `json:"path"`
	SHA256 string `json:"sha256"`
	Size   int64  `json:"size"`
}

// Moment is one entry of the timeline.
type Moment struct {
	At         time.Time `json:"at"`
	Phase      string    `json:"phase"`
	ImageState string    `json:"image_state,omitempty"`
	Note       string    `json:"note,omitempty"`
}

// Proof is what was seen on the guest, or later on EC2.
type Proof struct {
	Kind       ProofKind `json:"kind"`
	SeenAt     time.Time `json:"seen_at"`
	ImageState string    `json:"image_state,omitempty"`
	// Tag says that Sysprep_succeeded.tag was there, newer than the trigger.
	Tag bool `json:"tag,omitempty"`
	// SysprepEnded says that sysprep.exe was seen and gone.
	SysprepEnded bool   `json:"sysprep_ended,omitempty"`
	Detail       string `json:"detail,omitempty"`
}

// Limits are the limits that the build was given.
type Limits struct {
	Sysprep  time.Duration `json:"sysprep"`
	Stall    time.Duration `json:"stall"`
	Shutdown time.Duration `json:"shutdown"`
}

// ConsoleLine is the line that the sealer writes to COM1, where EC2's console
// output shows it: the plugin's name, the build's token and the verdict
// ("sealed", "failed" or "not-generalized").
func ConsoleLine(token, verdict string) string {
	return "packer-plugin-ec2-sysprep " + token + " " + verdict
}
