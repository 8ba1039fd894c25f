# The sealer of packer-plugin-ec2-sysprep.
#
# Runs outside the WinRM session. Carries out plan.json of its folder, decides
# by what it sees whether Sysprep sealed this Windows, and then either shuts it
# down or puts back what was changed and stays up. Writes what it knows to
# state.json. Windows PowerShell 3.0 to 5.1, PowerShell 7.
param([string]$Folder)

Set-StrictMode -Version 2
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'
$WarningPreference = 'SilentlyContinue'

# Whoever starts this may have left the process standing in the working folder,
# which then could not be deleted.
[Environment]::CurrentDirectory = $env:windir
Set-Location -LiteralPath $env:windir

$Invariant = [Globalization.CultureInfo]::InvariantCulture
$Watch = [Diagnostics.Stopwatch]::StartNew()
$Troubles = New-Object Collections.ArrayList
$State = @{
    token = ''
    seq = [long]0
    phase = 'started'
    pid = [Diagnostics.Process]::GetCurrentProcess().Id
    image_state = ''
    tag = $false
    sysprep_seen = $false
    sysprep_runs = $false
    command_ended = $false
    command_code = 0
    reason = ''
    detail = ''
}

# ---- what it tells ----

function Get-Message($Record) {
    $problem = $Record.Exception
    while (($problem -is [Management.Automation.MethodInvocationException]) -and ($null -ne $problem.InnerException)) {
        $problem = $problem.InnerException
    }
    return [string]$problem.Message
}

# Save-State replaces state.json in one step, so that a reader never sees half
# of it. A reader that has it open delays the replacement: it is tried again.
function Save-State([string]$Phase) {
    $State.phase = $Phase
    $State.seq += 1
    $State.elapsed = $Watch.ElapsedMilliseconds
    $State.time = [DateTime]::UtcNow.ToString('o', $Invariant)
    $State.troubles = $Troubles.ToArray()
    $json = ConvertTo-Json -InputObject $State -Compress -Depth 4
    $json = [regex]::Replace($json, '[^\x20-\x7e]', { param($m) '\u{0:x4}' -f [int][char]$m.Value })
    $path = $Folder + '\state.json'
    for ($try = 0; $try -lt 50; $try++) {
        try {
            [IO.File]::WriteAllText($path + '.new', $json, [Text.Encoding]::ASCII)
            if ([IO.File]::Exists($path)) {
                [IO.File]::Replace($path + '.new', $path, [NullString]::Value)
            } else {
                [IO.File]::Move($path + '.new', $path)
            }
            return
        } catch {
            Start-Sleep -Milliseconds 100
        }
    }
}

# Write-Console puts one line on COM1, where EC2's console output shows it. The
# port may be taken by the agent's service or by SAC: it is tried for a second.
function Write-Console([string]$Line) {
    try {
        $port = New-Object IO.Ports.SerialPort('COM1', 115200)
        $port.WriteTimeout = 1000
        $port.Open()
        try {
            $port.Write($Line + "`r`n")
        } finally {
            $port.Close()
        }
    } catch {
        [void]$Troubles.Add('COM1: ' + (Get-Message $_))
    }
}

# ---- single acts ----

function Get-Field($Object, [string]$Name, $Default) {
    $property = $Object.PSObject.Properties[$Name]
    if ($null -eq $property) { return $Default }
    if ($null -eq $property.Value) { return $Default }
    return $property.Value
}

function Open-Key([string]$Path, [bool]$Write) {
    $cut = $Path.IndexOf('\')
    $hives = @{ HKLM = 'LocalMachine'; HKU = 'Users'; HKCR = 'ClassesRoot'; HKCU = 'CurrentUser' }
    $hive = [Microsoft.Win32.RegistryHive]$hives[$Path.Substring(0, $cut)]
    $base = [Microsoft.Win32.RegistryKey]::OpenBaseKey($hive, [Microsoft.Win32.RegistryView]::Registry64)
    if ($Write) { return $base.CreateSubKey($Path.Substring($cut + 1)) }
    return $base.OpenSubKey($Path.Substring($cut + 1))
}

function Set-RegistryAct([string]$Path, [string]$Name, $Set) {
    if (($null -eq $Set) -or (-not [bool](Get-Field $Set 'exists' $false))) {
        $key = Open-Key $Path $false
        if ($null -eq $key) { return }
        $key.Close()
        $key = Open-Key $Path $true
        $key.DeleteValue($Name, $false)
        $key.Close()
        return
    }
    $text = [string](Get-Field $Set 'text' '')
    $kind = [string](Get-Field $Set 'kind' '')
    $key = Open-Key $Path $true
    if ($kind -eq 'DWord') {
        $number = [BitConverter]::ToInt32([BitConverter]::GetBytes([uint32]::Parse($text, $Invariant)), 0)
        $key.SetValue($Name, $number, [Microsoft.Win32.RegistryValueKind]::DWord)
    } elseif ($kind -eq 'QWord') {
        $number = [BitConverter]::ToInt64([BitConverter]::GetBytes([uint64]::Parse($text, $Invariant)), 0)
        $key.SetValue($Name, $number, [Microsoft.Win32.RegistryValueKind]::QWord)
    } elseif ($kind -eq 'MultiString') {
        $key.SetValue($Name, [string[]]@(Get-Field $Set 'texts' @()), [Microsoft.Win32.RegistryValueKind]::MultiString)
    } elseif ($kind -eq 'Binary') {
        $key.SetValue($Name, [byte[]][Convert]::FromBase64String($text), [Microsoft.Win32.RegistryValueKind]::Binary)
    } elseif ($kind -eq 'ExpandString') {
        $key.SetValue($Name, $text, [Microsoft.Win32.RegistryValueKind]::ExpandString)
    } elseif ($kind -eq 'String') {
        $key.SetValue($Name, $text, [Microsoft.Win32.RegistryValueKind]::String)
    } else {
        throw ('unknown kind of value ' + $kind)
    }
    $key.Close()
}

function Start-Silent([string]$File, [string]$Arguments) {
    $info = New-Object Diagnostics.ProcessStartInfo
    $info.FileName = $File
    $info.Arguments = $Arguments
    # Not the working folder: a process that stands in it keeps it from being deleted.
    $info.WorkingDirectory = $env:windir
    $info.UseShellExecute = $false
    $info.CreateNoWindow = $true
    return [Diagnostics.Process]::Start($info)
}

# Start-Program starts a program through cmd.exe, which takes its output into
# a file; the outer pair of quotes is cmd's own and is dropped by /s.
function Start-Program([string]$File, [string]$Arguments, [string]$Output) {
    return (Start-Silent ($env:windir + '\System32\cmd.exe') ('/d /s /c ""' + $File + '" ' + $Arguments + ' >> "' + $Output + '" 2>&1"'))
}

# Stop-Tree ends a program with all that it started: an agent that goes on would
# start Sysprep after everything has been put back.
function Stop-Tree($Process) {
    if (($null -eq $Process) -or $Process.HasExited) { return }
    try {
        $killer = Start-Silent ($env:windir + '\System32\taskkill.exe') ('/f /t /pid ' + $Process.Id)
        [void]$killer.WaitForExit(10000)
        if (-not $Process.WaitForExit(2000)) { $Process.Kill() }
    } catch {
        [void]$Troubles.Add('ending a program: ' + (Get-Message $_))
    }
}

function Invoke-Act($Act) {
    $kind = [string](Get-Field $Act 'act' '')
    $path = [string](Get-Field $Act 'path' '')
    if ($kind -eq 'copy') {
        $from = [string](Get-Field $Act 'from' '')
        if (-not [IO.File]::Exists($from)) { throw ($from + ' does not exist') }
        if ([IO.File]::Exists($path)) { [IO.File]::SetAttributes($path, [IO.FileAttributes]::Normal) }
        [void][IO.Directory]::CreateDirectory([IO.Path]::GetDirectoryName($path))
        [IO.File]::Copy($from, $path, $true)
    } elseif ($kind -eq 'delete') {
        if ([IO.File]::Exists($path)) { Remove-Item -LiteralPath $path -Force }
    } elseif ($kind -eq 'delete-folder') {
        # A file that somebody is just reading is gone a moment later.
        foreach ($try in @(1, 2, 3, 4, 5)) {
            if (-not [IO.Directory]::Exists($path)) { break }
            try {
                Remove-Item -LiteralPath $path -Recurse -Force
            } catch {
                if ($try -eq 5) { throw }
                Start-Sleep -Milliseconds 300
            }
        }
    } elseif ($kind -eq 'registry') {
        Set-RegistryAct $path ([string](Get-Field $Act 'name' '')) (Get-Field $Act 'set' $null)
    } elseif ($kind -eq 'run') {
        $seconds = [int](Get-Field $Act 'seconds' 60)
        $process = Start-Program $path ([string](Get-Field $Act 'arguments' '')) ($Folder + '\acts.txt')
        if (-not $process.WaitForExit($seconds * 1000)) {
            Stop-Tree $process
            throw ($path + ' did not end within ' + $seconds + ' s')
        }
        if ($process.ExitCode -ne 0) { throw ($path + ' ended with code ' + $process.ExitCode) }
    } else {
        throw ('unknown act ' + $kind)
    }
}

# Invoke-Acts carries out a list. It returns the text of the failure that ended
# it, or nothing. With $All every act is tried and failures are only noted.
function Invoke-Acts($Acts, [bool]$All) {
    foreach ($act in @($Acts)) {
        if ($null -eq $act) { continue }
        try {
            $null = Invoke-Act $act
        } catch {
            $text = [string](Get-Field $act 'act' '') + ' ' + [string](Get-Field $act 'path' '') + ': ' + (Get-Message $_)
            [void]$Troubles.Add($text)
            if ((-not $All) -and (-not [bool](Get-Field $act 'optional' $false))) { return $text }
        }
    }
    return ''
}

# ---- what it sees ----

function Test-Sysprep {
    return (@(Get-Process -Name $Plan.process -ErrorAction SilentlyContinue).Count -gt 0)
}

function Stop-Sysprep {
    foreach ($process in @(Get-Process -Name $Plan.process -ErrorAction SilentlyContinue)) {
        try {
            $process.Kill()
            [void]$process.WaitForExit(10000)
        } catch {
            [void]$Troubles.Add('ending ' + $Plan.process + ': ' + (Get-Message $_))
        }
    }
}

function Get-ImageState {
    try {
        $key = Open-Key 'HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Setup\State' $false
        if ($null -eq $key) { return '' }
        $text = [string]$key.GetValue('ImageState', '')
        $key.Close()
        return $text
    } catch {
        return ''
    }
}

function Get-Length([string]$Path) {
    if ([IO.File]::Exists($Path)) { return (New-Object IO.FileInfo($Path)).Length }
    return [long]0
}

# Read-News returns what was added to a log since it was $From bytes long. The
# log is decoded as single bytes, but for UTF-16, whose zero bytes are dropped:
# what is looked for is plain ASCII.
function Read-News([string]$Path, [long]$From) {
    try {
        $size = Get-Length $Path
        if ($size -lt $From) { $From = [long]0 }
        if ($size -eq $From) { return '' }
        $count = [int][Math]::Min($size - $From, [long]1048576)
        $stream = [IO.File]::Open($Path, [IO.FileMode]::Open, [IO.FileAccess]::Read, [IO.FileShare]'ReadWrite,Delete')
        try {
            $buffer = New-Object byte[] $count
            [void]$stream.Seek($size - $count, [IO.SeekOrigin]::Begin)
            $got = $stream.Read($buffer, 0, $count)
        } finally {
            $stream.Dispose()
        }
        return [Text.Encoding]::GetEncoding(28591).GetString($buffer, 0, $got).Replace([string][char]0, '')
    } catch {
        return ''
    }
}

function Test-GivenUp([string]$Text) {
    foreach ($pattern in @($Plan.give_up)) {
        if ($null -eq $pattern) { continue }
        $found = [regex]::Match($Text, $pattern)
        if ($found.Success) {
            $State.detail = $found.Value
            return $true
        }
    }
    return $false
}

# Wait-Seal watches Sysprep and returns the reason why it did not seal, or
# nothing when it did.
function Wait-Seal($Command) {
    $endedAt = [long]-1
    $wrongSince = [long]-1
    $rightSince = [long]-1
    $shown = ''
    $moved = ''
    $movedAt = $Watch.ElapsedMilliseconds
    while ($true) {
        $now = $Watch.ElapsedMilliseconds
        if ((-not $State.command_ended) -and $Command.HasExited) {
            $State.command_ended = $true
            $State.command_code = $Command.ExitCode
            $endedAt = $now
        }
        $State.sysprep_runs = Test-Sysprep
        if ($State.sysprep_runs) { $State.sysprep_seen = $true }
        $State.image_state = Get-ImageState
        $State.tag = [IO.File]::Exists($Plan.tag)
        $text = [string]$State.command_ended + $State.sysprep_seen + $State.sysprep_runs + $State.image_state + $State.tag
        if ($text -cne $shown) {
            $shown = $text
            Save-State 'command'
        }
        $text = $text + '|' + (Get-Length $Plan.error_log) + '|' + (Get-Length $Plan.action_log)
        if ($text -cne $moved) {
            $moved = $text
            $movedAt = $now
        }
        $gone = (-not $State.sysprep_runs) -and ($State.sysprep_seen -or $State.command_ended)
        $right = ($State.image_state -ceq $Plan.image_state) -and $State.tag
        $gaveUp = $false
        if (-not $right) { $gaveUp = (Test-GivenUp (Read-News $Plan.error_log $ErrorFrom)) -or (Test-GivenUp (Read-News $Plan.action_log $ActionFrom)) }

        # A second at least, so that a state that is just being written is not
        # believed; and the agent may finish what it does after Sysprep.
        if (-not ($gone -and $right)) {
            $rightSince = [long]-1
        } elseif ($rightSince -lt 0) {
            $rightSince = $now
        } elseif (($now - $rightSince) -ge 1000) {
            if ($State.command_ended -or (($now - $rightSince) -ge ([long]$Plan.limits.grace * 1000))) { return '' }
        }

        $wrong = (-not $right) -and ($gaveUp -or ((-not $State.sysprep_runs) -and $State.sysprep_seen))
        if (-not $wrong) {
            $wrongSince = [long]-1
        } elseif ($wrongSince -lt 0) {
            $wrongSince = $now
        } elseif (($now - $wrongSince) -ge ([long]$Plan.limits.grace * 1000)) {
            if ($gaveUp) { return 'sysprep-gave-up' }
            return 'image-state'
        }
        if ((-not $right) -and (-not $State.sysprep_seen) -and ($endedAt -ge 0) -and (($now - $endedAt) -ge ([long]$Plan.limits.appear * 1000))) {
            $State.detail = 'the agent ended with code ' + $State.command_code
            return 'sysprep-never-seen'
        }
        if (($now - $movedAt) -ge ([long]$Plan.limits.stall * 1000)) { return 'stalled' }
        if ($now -ge ([long]$Plan.limits.total * 1000)) { return 'timeout' }
        Start-Sleep -Milliseconds 500
    }
}

# ---- what it does ----

function Stop-Windows {
    Save-State 'shutdown'
    try {
        $process = Start-Silent ($env:windir + '\System32\shutdown.exe') '/s /t 0 /f /d p:2:4'
        [void]$process.WaitForExit(30000)
        # 1115: a shutdown is in progress; 1190: one is scheduled.
        if ($process.HasExited -and (@(0, 1115, 1190) -contains $process.ExitCode)) { return }
        $system = Get-CimInstance -ClassName Win32_OperatingSystem
        $result = Invoke-CimMethod -InputObject $system -MethodName Win32Shutdown -Arguments @{ Flags = [int]5 }
        if ($result.ReturnValue -ne 0) { throw ('Win32Shutdown returned ' + $result.ReturnValue) }
    } catch {
        [void]$Troubles.Add('shutting down: ' + (Get-Message $_))
        Save-State 'staying-up'
    }
}

function Exit-Failed([string]$Reason, [string]$Detail) {
    $State.reason = $Reason
    if ($Detail.Length -gt 0) { $State.detail = $Detail }
    Save-State 'failed'
    Write-Console $Plan.console_failed
    Stop-Tree $Command
    if ($Plan.generalize) { Stop-Sysprep }
    [void](Invoke-Acts $Plan.failed $true)
    $State.image_state = Get-ImageState
    Save-State 'put-back'
    exit 1
}

$Plan = ConvertFrom-Json -InputObject ([IO.File]::ReadAllText($Folder + '\plan.json'))
$State.token = [string]$Plan.token

# The claim: nothing has been changed before it, nothing is changed without it.
try {
    $claim = [IO.File]::Open($Folder + '\claim', [IO.FileMode]::CreateNew, [IO.FileAccess]::Write, [IO.FileShare]::Read)
    $word = [Text.Encoding]::ASCII.GetBytes('sealer')
    $claim.Write($word, 0, $word.Length)
    $claim.Dispose()
} catch {
    exit 2
}

$Command = $null
$ErrorFrom = [long]0
$ActionFrom = [long]0
try {
    Save-State 'started'
    if (([string]$Plan.task).Length -gt 0) {
        try {
            $service = New-Object -ComObject Schedule.Service
            $service.Connect()
            $service.GetFolder('\').DeleteTask([string]$Plan.task, 0)
        } catch {
            [void]$Troubles.Add('deleting the task: ' + (Get-Message $_))
        }
    }
    Save-State 'applying'
    $failure = [string](Invoke-Acts $Plan.apply $false)
    if ($failure.Length -gt 0) { Exit-Failed 'apply' $failure }

    $commands = @($Plan.commands)
    if ($Plan.generalize) {
        if ([IO.File]::Exists($Plan.tag)) { Remove-Item -LiteralPath $Plan.tag -Force }
        $ErrorFrom = [long](Get-Length $Plan.error_log)
        $ActionFrom = [long](Get-Length $Plan.action_log)
    }
    $State.image_state = Get-ImageState
    Save-State 'command'
    for ($i = 0; $i -lt $commands.Count; $i++) {
        try {
            $Command = Start-Program ([string]$commands[$i].file) ([string]$commands[$i].arguments) ($Folder + '\agent.txt')
        } catch {
            Exit-Failed 'command' (Get-Message $_)
        }
        $last = ($i -eq ($commands.Count - 1))
        if ((-not $last) -or (-not $Plan.generalize)) {
            $left = [Math]::Max([long]1000, ([long]$Plan.limits.total * 1000) - $Watch.ElapsedMilliseconds)
            if (-not $Command.WaitForExit([int][Math]::Min($left, [long]2000000000))) {
                Exit-Failed 'timeout' ([string]$commands[$i].file + ' did not end')
            }
            if ($Command.ExitCode -ne 0) {
                $State.command_code = $Command.ExitCode
                Exit-Failed 'command' ([string]$commands[$i].file + ' ended with code ' + $Command.ExitCode)
            }
        }
    }
    if ($Plan.generalize) {
        $reason = [string](Wait-Seal $Command)
        if ($reason.Length -gt 0) { Exit-Failed $reason '' }
    } else {
        $State.command_ended = $true
    }
} catch {
    Exit-Failed 'error' (Get-Message $_)
}

# Sealed. From here on nothing is put back.
Save-State 'sealed'
Write-Console $Plan.console_sealed
$sealedAt = $Watch.ElapsedMilliseconds
while ((-not [IO.File]::Exists($Folder + '\seen')) -and (($Watch.ElapsedMilliseconds - $sealedAt) -lt ([long]$Plan.limits.seen * 1000))) {
    Start-Sleep -Milliseconds 250
}
[void](Invoke-Acts $Plan.sealed $true)
if ($Plan.shutdown -eq 'sealed') { Stop-Windows } else { Save-State 'staying-up' }
exit 0
