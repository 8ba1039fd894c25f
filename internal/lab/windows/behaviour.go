package windows

// AgentBehaviour says how a launch agent behaves when it is asked to run Sysprep.
type AgentBehaviour struct {
	// ReturnsBeforeSysprep makes the agent's command end as soon as it has
	// started sysprep.exe, as EC2Config and old versions of EC2Launch v2 do.
	ReturnsBeforeSysprep bool `json:"returns_before_sysprep"`
	// NeverStartsSysprep makes the agent's command do everything but start
	// sysprep.exe, and end with code Code.
	NeverStartsSysprep bool `json:"never_starts_sysprep"`
	Code               int  `json:"code"`
	// Hangs makes the agent's command never end and never start Sysprep.
	Hangs bool `json:"hangs"`
	// Prepares is how long the agent works before it starts Sysprep.
	Prepares Duration `json:"prepares"`
	// StatusCode is what EC2Launch.exe status ends with while there is a run
	// to tell of: 0 ok, 1 failed, 2 running, 3 unknown, 4 query error.
	StatusCode int `json:"status_code"`
	// RegistersNothing makes EC2Launch v1's scripts with -Schedule end with 0
	// without having registered their task.
	RegistersNothing bool `json:"registers_nothing"`
	// InvalidConfig makes EC2Launch.exe validate find a fault.
	InvalidConfig string `json:"invalid_config"`
}

// SysprepBehaviour says how Sysprep behaves. Some refusals follow from the
// description by themselves: a package that is installed and not provisioned,
// BitLocker on the system drive, no rearm left, an earlier generalize that did
// not end, an answer file that is missing or malformed.
type SysprepBehaviour struct {
	// Refuse makes Sysprep refuse at validation.
	Refuse *Refusal `json:"refuse"`
	// MessageBox says that a Sysprep that fails without /quiet stays behind a
	// message box that nobody can see, until it is ended.
	MessageBox bool `json:"message_box"`
	// DiesInGeneralize makes sysprep.exe vanish in the middle of generalize,
	// without a word. The image state stays UNDEPLOYABLE.
	DiesInGeneralize bool `json:"dies_in_generalize"`
	// FailsInGeneralize makes a provider fail in the middle of generalize.
	FailsInGeneralize *Refusal `json:"fails_in_generalize"`
	// HangsInGeneralize makes sysprep.exe never end, in the middle of generalize.
	HangsInGeneralize bool `json:"hangs_in_generalize"`
	// HangsAtEnd makes sysprep.exe stay after it has done everything.
	HangsAtEnd bool `json:"hangs_at_end"`
	// NoTag makes Sysprep leave no tag although the state is right.
	NoTag bool `json:"no_tag"`

	// Validate, Cleanup and Generalize are how long the phases take.
	Validate   Duration `json:"validate"`
	Cleanup    Duration `json:"cleanup"`
	Generalize Duration `json:"generalize"`
}

// Refusal is a provider of Sysprep's that fails.
type Refusal struct {
	// Lines are what the provider writes into setuperr.log before the verdict.
	Lines []string `json:"lines"`
	// Method and Library name the provider.
	Method  string `json:"method"`
	Library string `json:"library"`
	// Code is the Windows error code, such as 0x3cf2.
	Code uint32 `json:"code"`
}

// RefuseAppX is the refusal because of a package that is installed for a user
// and not provisioned for all.
func RefuseAppX(fullName string) *Refusal {
	return &Refusal{
		Lines: []string{
			"Package " + fullName + " was installed for a user, but not provisioned for all users. This package will not function properly in the sysprep image.",
			"Failed to remove apps for the current user: 0x80073cf2.",
			"Exit code of RemoveAllApps thread was 0x3cf2.",
		},
		Method: "SysprepGeneralizeValidate", Library: `C:\Windows\System32\AppxSysprep.dll`, Code: 0x3cf2,
	}
}

// RefuseBitLocker is the refusal because the system drive is encrypted.
func RefuseBitLocker() *Refusal {
	return &Refusal{
		Lines:  []string{"BitLocker-Sysprep: BitLocker is on for the OS volume. Turn BitLocker off to run Sysprep. (0x80310039)"},
		Method: "ValidateBitLockerState", Library: `C:\Windows\System32\BdeSysprep.dll`, Code: 0x80310039,
	}
}

// RefuseReservedStorage is the refusal because servicing holds reserved storage.
func RefuseReservedStorage() *Refusal {
	return &Refusal{
		Lines:  []string{"Audit mode cannot be turned on if reserved storage is in use. An update or servicing operation may be using reserved storage. (0x800F0975)"},
		Method: "Sysprep_Clean_Validate_Opk", Library: `C:\Windows\System32\spopk.dll`, Code: 0x975,
	}
}

// RefuseRearm is the failure in generalize because no rearm is left.
func RefuseRearm() *Refusal {
	return &Refusal{
		Lines:  []string{"SLReArmWindows: the rearm count has been used up, hr = 0xc004d307"},
		Method: "SLReArmWindows", Library: `C:\Windows\System32\slc.dll`, Code: 0xc004d307,
	}
}

// FailDTC is a failure of the provider of MSDTC in generalize.
func FailDTC() *Refusal {
	return &Refusal{Method: "SysPrepDtcGeneralize", Library: `C:\Windows\System32\msdtcprx.dll`, Code: 0x80070005}
}
