# The guest's half of the protocol of packer-plugin-ec2-sysprep.
#
# Reads one JSON request a line, writes one JSON answer a line. Every call is a
# primitive; nothing here knows what it is for. No state is kept between two
# requests. Windows PowerShell 3.0 to 5.1, PowerShell 7.
param($Reader)

Set-StrictMode -Version 2
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'
$WarningPreference = 'SilentlyContinue'
$VerbosePreference = 'SilentlyContinue'

$Invariant = [Globalization.CultureInfo]::InvariantCulture
$OnWindows = ($env:OS -eq 'Windows_NT')

# ---- lines ----

function Send-Reply($Value) {
    $json = ConvertTo-Json -InputObject $Value -Compress -Depth 12
    $json = [regex]::Replace($json, '[^\x20-\x7e]', { param($m) '\u{0:x4}' -f [int][char]$m.Value })
    [Console]::Out.WriteLine('#es1 ' + $json + ' #end')
    [Console]::Out.Flush()
}

# Stop-Call ends a call with a failure of a certain kind.
function Stop-Call([string]$Kind, [string]$Message) {
    throw ('es1:' + $Kind + ':' + $Message)
}

function Get-Failure($Record) {
    $problem = $Record.Exception
    while (($problem -is [Management.Automation.MethodInvocationException]) -and ($null -ne $problem.InnerException)) {
        $problem = $problem.InnerException
    }
    $message = [string]$problem.Message
    $kind = 'failed'
    if ($message -match '(?s)^es1:([a-z]+):(.*)$') {
        $kind = $matches[1]
        $message = $matches[2]
    } elseif (($problem -is [UnauthorizedAccessException]) -or ($problem -is [Security.SecurityException])) {
        $kind = 'denied'
    } elseif (($problem -is [IO.FileNotFoundException]) -or ($problem -is [IO.DirectoryNotFoundException]) -or ($problem -is [Management.Automation.CommandNotFoundException])) {
        $kind = 'missing'
    }
    return @{ error = @{ kind = $kind; message = $message } }
}

# Get-Field returns a field of a request, or a default. A list comes back
# unrolled: callers put @( ) around it.
function Get-Field($Call, [string]$Name, $Default) {
    $property = $Call.PSObject.Properties[$Name]
    if ($null -eq $property) { return $Default }
    if ($null -eq $property.Value) { return $Default }
    return $property.Value
}

function Get-FilePath($Call, [string]$Name) {
    $path = [string](Get-Field $Call $Name '')
    if ($path.Length -eq 0) { Stop-Call 'invalid' ('no ' + $Name) }
    return [Environment]::ExpandEnvironmentVariables($path)
}

function Format-Time([DateTime]$Time) {
    return $Time.ToUniversalTime().ToString('o', $Invariant)
}

# ---- registry ----

function Open-Key([string]$Path, [bool]$Write, [bool]$Create) {
    $hiveName = $Path
    $subkey = ''
    $cut = $Path.IndexOf('\')
    if ($cut -ge 0) {
        $hiveName = $Path.Substring(0, $cut)
        $subkey = $Path.Substring($cut + 1)
    }
    $hives = @{ HKLM = 'LocalMachine'; HKU = 'Users'; HKCR = 'ClassesRoot'; HKCU = 'CurrentUser' }
    if (-not $hives.ContainsKey($hiveName)) { Stop-Call 'invalid' ('unknown hive in ' + $Path) }
    $hive = [Microsoft.Win32.RegistryHive]$hives[$hiveName]
    $base = [Microsoft.Win32.RegistryKey]::OpenBaseKey($hive, [Microsoft.Win32.RegistryView]::Registry64)
    if ($Create) { return $base.CreateSubKey($subkey) }
    return $base.OpenSubKey($subkey, $Write)
}

function Close-Key($Key) {
    if ($null -ne $Key) { $Key.Close() }
}

# Read-Value goes by what .NET hands out, which may differ from what the kind
# says: a value can have any number of bytes.
function Read-Value($Key, [string]$Name) {
    if ($null -eq $Key) { return @{ exists = $false } }
    if (-not (@($Key.GetValueNames()) -contains $Name)) { return @{ exists = $false } }
    $kind = [string]$Key.GetValueKind($Name)
    $value = $Key.GetValue($Name, $null, [Microsoft.Win32.RegistryValueOptions]::DoNotExpandEnvironmentNames)
    $answer = @{ exists = $true; name = $Name; kind = $kind }
    if ($kind -eq 'MultiString') {
        $answer.texts = @($value)
    } elseif ($value -is [int]) {
        $answer.text = [BitConverter]::ToUInt32([BitConverter]::GetBytes([int]$value), 0).ToString($Invariant)
    } elseif ($value -is [long]) {
        $answer.text = [BitConverter]::ToUInt64([BitConverter]::GetBytes([long]$value), 0).ToString($Invariant)
    } elseif ($value -is [byte[]]) {
        $answer.text = [Convert]::ToBase64String($value)
    } else {
        $answer.text = [string]$value
    }
    return $answer
}

function Get-RegistryAnswer($Call) {
    $key = Open-Key ([string](Get-Field $Call 'path' '')) $false $false
    try {
        if (-not [bool](Get-Field $Call 'key' $false)) {
            return (Read-Value $key ([string](Get-Field $Call 'name' '')))
        }
        if ($null -eq $key) { return @{ exists = $false } }
        $values = New-Object Collections.ArrayList
        foreach ($name in @($key.GetValueNames())) { [void]$values.Add((Read-Value $key $name)) }
        return @{ exists = $true; keys = @($key.GetSubKeyNames()); values = $values.ToArray() }
    } finally {
        Close-Key $key
    }
}

# Get-ValueText turns a value into one text, so that two can be compared (by
# their characters: -ceq goes by words and takes some characters for nothing).
function Get-ValueText($Value) {
    if (-not [bool](Get-Field $Value 'exists' $false)) { return 'absent' }
    $texts = @(Get-Field $Value 'texts' @()) -join "`n"
    return ([string](Get-Field $Value 'kind' '')) + '|' + ([string](Get-Field $Value 'text' '')) + '|' + $texts
}

function Set-RegistryAnswer($Call) {
    $path = [string](Get-Field $Call 'path' '')
    $name = [string](Get-Field $Call 'name' '')
    $set = Get-Field $Call 'set' $null
    if ($null -eq $set) { Stop-Call 'invalid' 'nothing to set' }
    $key = Open-Key $path $false $false
    try {
        $now = Get-ValueText (New-Object PSObject -Property (Read-Value $key $name))
    } finally {
        Close-Key $key
    }
    if ([string]::CompareOrdinal($now, (Get-ValueText $set)) -eq 0) { return @{ changed = $false } }
    $expect = Get-Field $Call 'expect' $null
    if (($null -ne $expect) -and ([string]::CompareOrdinal($now, (Get-ValueText $expect)) -ne 0)) {
        Stop-Call 'conflict' ('another value was found in ' + $path + ', ' + $name)
    }
    $text = [string](Get-Field $set 'text' '')
    $kind = [string](Get-Field $set 'kind' '')
    $key = Open-Key $path $true $true
    try {
        if ($kind -eq 'DWord') {
            $number = [BitConverter]::ToInt32([BitConverter]::GetBytes([uint32]::Parse($text, $Invariant)), 0)
            $key.SetValue($name, $number, [Microsoft.Win32.RegistryValueKind]::DWord)
        } elseif ($kind -eq 'QWord') {
            $number = [BitConverter]::ToInt64([BitConverter]::GetBytes([uint64]::Parse($text, $Invariant)), 0)
            $key.SetValue($name, $number, [Microsoft.Win32.RegistryValueKind]::QWord)
        } elseif ($kind -eq 'MultiString') {
            $key.SetValue($name, [string[]]@(Get-Field $set 'texts' @()), [Microsoft.Win32.RegistryValueKind]::MultiString)
        } elseif ($kind -eq 'Binary') {
            $key.SetValue($name, [byte[]][Convert]::FromBase64String($text), [Microsoft.Win32.RegistryValueKind]::Binary)
        } elseif ($kind -eq 'ExpandString') {
            $key.SetValue($name, $text, [Microsoft.Win32.RegistryValueKind]::ExpandString)
        } elseif ($kind -eq 'String') {
            $key.SetValue($name, $text, [Microsoft.Win32.RegistryValueKind]::String)
        } else {
            Stop-Call 'invalid' ('unknown kind of value ' + $kind)
        }
    } finally {
        $key.Close()
    }
    return @{ changed = $true }
}

function Remove-RegistryAnswer($Call) {
    $path = [string](Get-Field $Call 'path' '')
    if ([bool](Get-Field $Call 'key' $false)) {
        $cut = $path.LastIndexOf('\')
        if ($cut -lt 1) { Stop-Call 'invalid' 'a hive cannot be deleted' }
        $parent = Open-Key $path.Substring(0, $cut) $true $false
        if ($null -eq $parent) { return @{ changed = $false } }
        try {
            $child = $path.Substring($cut + 1)
            if (-not (@($parent.GetSubKeyNames()) -contains $child)) { return @{ changed = $false } }
            $parent.DeleteSubKeyTree($child)
        } finally {
            $parent.Close()
        }
        return @{ changed = $true }
    }
    $name = [string](Get-Field $Call 'name' '')
    $key = Open-Key $path $true $false
    if ($null -eq $key) { return @{ changed = $false } }
    try {
        if (-not (@($key.GetValueNames()) -contains $name)) { return @{ changed = $false } }
        $key.DeleteValue($name)
    } finally {
        $key.Close()
    }
    return @{ changed = $true }
}

# ---- files ----

function Open-Shared([string]$Path) {
    return [IO.File]::Open($Path, [IO.FileMode]::Open, [IO.FileAccess]::Read, [IO.FileShare]'ReadWrite,Delete')
}

# Get-Sha256 hashes a file. The provider is the one that a FIPS policy allows.
function Get-Sha256([string]$Path) {
    if ($PSVersionTable.PSVersion.Major -ge 6) {
        $algorithm = [Security.Cryptography.SHA256]::Create()
    } else {
        $algorithm = New-Object Security.Cryptography.SHA256CryptoServiceProvider
    }
    $stream = Open-Shared $Path
    try {
        $hash = $algorithm.ComputeHash($stream)
    } finally {
        $stream.Dispose()
    }
    return [BitConverter]::ToString($hash).Replace('-', '').ToLowerInvariant()
}

function Get-FileAnswer($Call) {
    $path = Get-FilePath $Call 'path'
    if ([IO.Directory]::Exists($path)) {
        $item = New-Object IO.DirectoryInfo($path)
        return @{ exists = $true; folder = $true; modified = (Format-Time $item.LastWriteTimeUtc); created = (Format-Time $item.CreationTimeUtc) }
    }
    if (-not [IO.File]::Exists($path)) { return @{ exists = $false } }
    $item = New-Object IO.FileInfo($path)
    $answer = @{ exists = $true; folder = $false; size = $item.Length; modified = (Format-Time $item.LastWriteTimeUtc); created = (Format-Time $item.CreationTimeUtc) }
    if (@('.exe', '.dll') -contains $item.Extension) {
        $version = [Diagnostics.FileVersionInfo]::GetVersionInfo($path)
        $answer.version = ('{0}.{1}.{2}.{3}' -f $version.FileMajorPart, $version.FileMinorPart, $version.FileBuildPart, $version.FilePrivatePart)
    }
    if ([bool](Get-Field $Call 'hash' $false)) { $answer.sha256 = Get-Sha256 $path }
    return $answer
}

function Get-FolderListing($Call) {
    $path = Get-FilePath $Call 'path'
    if (-not [IO.Directory]::Exists($path)) { return @{ exists = $false } }
    $pattern = [string](Get-Field $Call 'pattern' '')
    if ($pattern.Length -eq 0) { $pattern = '*' }
    $entries = New-Object Collections.ArrayList
    $more = $false
    foreach ($item in (New-Object IO.DirectoryInfo($path)).GetFileSystemInfos($pattern)) {
        if ($entries.Count -ge 1000) {
            $more = $true
            break
        }
        $entry = @{ name = $item.Name; folder = ($item -is [IO.DirectoryInfo]); modified = (Format-Time $item.LastWriteTimeUtc) }
        if ($item -is [IO.FileInfo]) { $entry.size = $item.Length }
        [void]$entries.Add($entry)
    }
    return @{ exists = $true; entries = $entries.ToArray(); more = $more }
}

# Read-Piece returns a part of a file, as an answer.
function Read-Piece([string]$Path, [long]$Offset, [long]$Length) {
    if (-not [IO.File]::Exists($Path)) { return @{ exists = $false } }
    $stream = Open-Shared $Path
    try {
        $size = $stream.Length
        if ($Offset -lt 0) { $Offset = [Math]::Max([long]0, $size + $Offset) }
        if ($Offset -gt $size) { $Offset = $size }
        $count = [int][Math]::Max([long]0, [Math]::Min($Length, $size - $Offset))
        $buffer = New-Object byte[] $count
        [void]$stream.Seek($Offset, [IO.SeekOrigin]::Begin)
        $done = 0
        while ($done -lt $count) {
            $got = $stream.Read($buffer, $done, $count - $done)
            if ($got -le 0) { break }
            $done += $got
        }
    } finally {
        $stream.Dispose()
    }
    return @{ exists = $true; size = $size; offset = $Offset; data = [Convert]::ToBase64String($buffer, 0, $done) }
}

function Get-PieceAnswer($Call) {
    $path = Get-FilePath $Call 'path'
    return (Read-Piece $path ([long](Get-Field $Call 'offset' 0)) ([long](Get-Field $Call 'length' 0)))
}

function Write-FileAnswer($Call) {
    $path = Get-FilePath $Call 'path'
    $data = [Convert]::FromBase64String([string](Get-Field $Call 'data' ''))
    $offset = [long](Get-Field $Call 'offset' 0)
    $wanted = [string](Get-Field $Call 'sha256' '')
    $size = $offset + $data.Length
    $exists = [IO.File]::Exists($path)
    if ($exists -and ($wanted.Length -gt 0) -and ((New-Object IO.FileInfo($path)).Length -eq $size)) {
        if ((Get-Sha256 $path) -ceq $wanted) { return @{ changed = $false; size = $size; sha256 = $wanted } }
    }
    $mode = [IO.FileMode]::OpenOrCreate
    if ([bool](Get-Field $Call 'new' $false)) {
        if ($exists) { Stop-Call 'conflict' ($path + ' exists already') }
        $mode = [IO.FileMode]::CreateNew
    }
    if ($offset -gt 0) {
        if ((-not $exists) -or ((New-Object IO.FileInfo($path)).Length -lt $offset)) {
            Stop-Call 'conflict' ('the part of ' + $path + ' before this piece is missing')
        }
    }
    try {
        $stream = [IO.File]::Open($path, $mode, [IO.FileAccess]::Write, [IO.FileShare]::Read)
    } catch [IO.IOException] {
        # Somebody else may have created it since the look above.
        if (($mode -eq [IO.FileMode]::CreateNew) -and [IO.File]::Exists($path)) { Stop-Call 'conflict' ($path + ' exists already') }
        throw
    }
    try {
        [void]$stream.Seek($offset, [IO.SeekOrigin]::Begin)
        $stream.Write($data, 0, $data.Length)
        $stream.SetLength($size)
        $stream.Flush($true)
    } finally {
        $stream.Dispose()
    }
    if ($wanted.Length -eq 0) { return @{ changed = $true; size = $size } }
    $found = Get-Sha256 $path
    if ($found -cne $wanted) { Stop-Call 'failed' ($path + ' has the hash ' + $found + ' after it was written') }
    return @{ changed = $true; size = $size; sha256 = $found }
}

function Move-FileAnswer($Call) {
    $from = Get-FilePath $Call 'path'
    $to = Get-FilePath $Call 'to'
    $wanted = [string](Get-Field $Call 'sha256' '')
    if (-not [IO.File]::Exists($from)) {
        if (($wanted.Length -gt 0) -and [IO.File]::Exists($to)) {
            if ((Get-Sha256 $to) -ceq $wanted) { return @{ changed = $false } }
        }
        Stop-Call 'missing' ($from + ' does not exist')
    }
    if (($wanted.Length -gt 0) -and ((Get-Sha256 $from) -cne $wanted)) { Stop-Call 'conflict' ($from + ' has other content') }
    if ([IO.File]::Exists($to)) {
        [IO.File]::Replace($from, $to, [NullString]::Value)
    } else {
        [IO.File]::Move($from, $to)
    }
    return @{ changed = $true }
}

function Remove-FileAnswer($Call) {
    $path = Get-FilePath $Call 'path'
    if ([IO.Directory]::Exists($path)) {
        if (-not [bool](Get-Field $Call 'recurse' $false)) { Stop-Call 'invalid' ($path + ' is a folder') }
        Remove-Item -LiteralPath $path -Recurse -Force
        return @{ changed = $true }
    }
    if (-not [IO.File]::Exists($path)) { return @{ changed = $false } }
    Remove-Item -LiteralPath $path -Force
    return @{ changed = $true }
}

function New-FolderAnswer($Call) {
    $path = Get-FilePath $Call 'path'
    $existed = [IO.Directory]::Exists($path)
    if ((-not $OnWindows) -or (-not [bool](Get-Field $Call 'private' $false))) {
        [void][IO.Directory]::CreateDirectory($path)
        return @{ changed = (-not $existed) }
    }
    # Full control for SYSTEM and Administrators, nothing inherited.
    $rights = New-Object Security.AccessControl.DirectorySecurity
    $rights.SetSecurityDescriptorSddlForm('D:PAI(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)', [Security.AccessControl.AccessControlSections]::Access)
    if ((-not $existed) -and ($PSVersionTable.PSVersion.Major -lt 6)) {
        [void][IO.Directory]::CreateDirectory($path, $rights)
    } else {
        [void][IO.Directory]::CreateDirectory($path)
        Set-Acl -LiteralPath $path -AclObject $rights
    }
    return @{ changed = (-not $existed) }
}

# ---- the system ----

function Get-Identity {
    $answer = @{
        protocol = 1
        powershell = [string]$PSVersionTable.PSVersion
        edition = 'Desktop'
        language = [string]$ExecutionContext.SessionState.LanguageMode
        windows = $OnWindows
        os64 = [Environment]::Is64BitOperatingSystem
        process64 = [Environment]::Is64BitProcess
        architecture = [string]$env:PROCESSOR_ARCHITECTURE
        computer = [Environment]::MachineName
        user = [Environment]::UserName
        sid = ''
        administrator = $false
        culture = [Globalization.CultureInfo]::CurrentCulture.Name
        time = (Format-Time ([DateTime]::UtcNow))
        boot = ''
    }
    if ($PSVersionTable.PSVersion.Major -ge 6) { $answer.edition = 'Core' }
    $folders = @{}
    foreach ($name in @('ProgramData', 'ProgramFiles', 'windir', 'SystemDrive', 'TEMP')) {
        $folders[$name] = [string][Environment]::GetEnvironmentVariable($name)
    }
    $answer.folders = $folders
    if ($OnWindows) {
        $identity = [Security.Principal.WindowsIdentity]::GetCurrent()
        $answer.user = $identity.Name
        $answer.sid = $identity.User.Value
        $principal = New-Object Security.Principal.WindowsPrincipal($identity)
        $answer.administrator = $principal.IsInRole([Security.Principal.WindowsBuiltInRole]::Administrator)
        try {
            $system = Get-CimInstance -ClassName Win32_OperatingSystem -Property LastBootUpTime -OperationTimeoutSec 30
            $answer.boot = Format-Time $system.LastBootUpTime
        } catch {
            $answer.boot = ''
        }
    }
    return $answer
}

function Format-Property($Value) {
    if ($null -eq $Value) { return '' }
    if ($Value -is [DateTime]) { return (Format-Time $Value) }
    if ($Value -is [array]) {
        $parts = New-Object Collections.ArrayList
        foreach ($part in $Value) { [void]$parts.Add((Format-Property $part)) }
        return ($parts.ToArray() -join "`n")
    }
    return [Convert]::ToString($Value, $Invariant)
}

function Get-QueryAnswer($Call) {
    $names = [string[]]@(Get-Field $Call 'properties' @())
    $query = @{
        Namespace = [string](Get-Field $Call 'namespace' 'root\cimv2')
        ClassName = [string](Get-Field $Call 'class' '')
        OperationTimeoutSec = [uint32](Get-Field $Call 'seconds' 30)
    }
    $filter = [string](Get-Field $Call 'filter' '')
    if ($filter.Length -gt 0) { $query.Filter = $filter }
    if ($names.Length -gt 0) { $query.Property = $names }
    try {
        $found = @(Get-CimInstance @query)
    } catch {
        if ($_.Exception.GetType().Name -eq 'CimException') {
            $code = [string]$_.Exception.NativeErrorCode
            if (@('InvalidClass', 'InvalidNamespace', 'NotFound') -contains $code) { Stop-Call 'missing' $_.Exception.Message }
            if ($code -eq 'AccessDenied') { Stop-Call 'denied' $_.Exception.Message }
        }
        throw
    }
    $objects = New-Object Collections.ArrayList
    foreach ($instance in $found) {
        $object = @{}
        foreach ($name in $names) {
            $property = $instance.CimInstanceProperties[$name]
            if (($null -ne $property) -and ($null -ne $property.Value)) { $object[$name] = (Format-Property $property.Value) }
        }
        [void]$objects.Add($object)
    }
    return @{ objects = $objects.ToArray() }
}

# Get-RunningList writes its entries one by one: callers put @( ) around it. (A
# list that a function returns as one object may be serialised as an object.)
function Get-RunningList([string[]]$Names) {
    if ($Names.Length -eq 0) { return }
    foreach ($process in @(Get-Process -Name $Names -ErrorAction SilentlyContinue)) {
        @{ name = $process.ProcessName; pid = $process.Id }
    }
}

function Get-ProcessAnswer($Call) {
    return @{ processes = @(Get-RunningList ([string[]]@(Get-Field $Call 'names' @()))) }
}

# Get-Tail returns the last 64 KiB of what was collected, in base64.
function Get-Tail($Store) {
    $bytes = $Store.ToArray()
    $from = [Math]::Max(0, $bytes.Length - 65536)
    return [Convert]::ToBase64String($bytes, $from, $bytes.Length - $from)
}

# Start-RunAnswer runs a program to its end. Both pipes are read all the time,
# so that a talkative program does not block; a grandchild that keeps them open
# is waited for two seconds.
function Start-RunAnswer($Call) {
    $info = New-Object Diagnostics.ProcessStartInfo
    $info.FileName = Get-FilePath $Call 'file'
    $info.Arguments = [string](Get-Field $Call 'arguments' '')
    $info.UseShellExecute = $false
    $info.CreateNoWindow = $true
    $info.RedirectStandardInput = $true
    $info.RedirectStandardOutput = $true
    $info.RedirectStandardError = $true
    $limit = [long](Get-Field $Call 'milliseconds' 60000)
    $bytes = [Convert]::FromBase64String([string](Get-Field $Call 'input' ''))
    $watch = [Diagnostics.Stopwatch]::StartNew()
    try {
        $process = [Diagnostics.Process]::Start($info)
    } catch {
        Stop-Call 'missing' ($info.FileName + ' could not be started: ' + (Get-Failure $_).error.message)
    }
    $streams = @($process.StandardOutput.BaseStream, $process.StandardError.BaseStream)
    $stores = @((New-Object IO.MemoryStream), (New-Object IO.MemoryStream))
    $buffers = @((New-Object byte[] 8192), (New-Object byte[] 8192))
    $pending = @($streams[0].BeginRead($buffers[0], 0, 8192, $null, $null), $streams[1].BeginRead($buffers[1], 0, 8192, $null, $null))
    try {
        if ($bytes.Length -gt 0) { $process.StandardInput.BaseStream.Write($bytes, 0, $bytes.Length) }
        $process.StandardInput.Close()
    } catch [IO.IOException] {
        # The program ended, or closed its stdin, before it had read everything.
        $bytes = $null
    }
    $timedOut = $false
    $exitedAt = -1
    while (($null -ne $pending[0]) -or ($null -ne $pending[1]) -or (-not $process.HasExited)) {
        $busy = $false
        foreach ($i in @(0, 1)) {
            if (($null -ne $pending[$i]) -and $pending[$i].IsCompleted) {
                $busy = $true
                $got = $streams[$i].EndRead($pending[$i])
                if ($got -le 0) {
                    $pending[$i] = $null
                } else {
                    $stores[$i].Write($buffers[$i], 0, $got)
                    $pending[$i] = $streams[$i].BeginRead($buffers[$i], 0, 8192, $null, $null)
                }
            }
        }
        if ($process.HasExited) {
            if ($exitedAt -lt 0) { $exitedAt = $watch.ElapsedMilliseconds }
            if (($watch.ElapsedMilliseconds - $exitedAt) -gt 2000) { break }
        } elseif ($watch.ElapsedMilliseconds -gt $limit) {
            $timedOut = $true
            try { $process.Kill() } catch { $busy = $true }
            [void]$process.WaitForExit(5000)
            break
        }
        if (-not $busy) { Start-Sleep -Milliseconds 20 }
    }
    $code = -1
    if ($process.HasExited) { $code = $process.ExitCode }
    return @{ code = $code; timed_out = $timedOut; stdout = (Get-Tail $stores[0]); stderr = (Get-Tail $stores[1]) }
}

# Start-Detached starts a program that survives this session.
function Start-Detached($Call) {
    $file = [string](Get-Field $Call 'file' '')
    $arguments = [string](Get-Field $Call 'arguments' '')
    $folder = [string](Get-Field $Call 'folder' '')
    if ([string](Get-Field $Call 'via' '') -eq 'task') {
        $service = New-Object -ComObject Schedule.Service
        $service.Connect()
        $task = $service.NewTask(0)
        # S4U logon: the user's own token, no password kept, no network identity.
        $task.Principal.UserId = [Security.Principal.WindowsIdentity]::GetCurrent().User.Value
        $task.Principal.LogonType = 2
        $task.Principal.RunLevel = 1
        $task.Settings.Priority = 4
        $task.Settings.ExecutionTimeLimit = 'PT0S'
        $task.Settings.DisallowStartIfOnBatteries = $false
        $task.Settings.StopIfGoingOnBatteries = $false
        $task.Settings.MultipleInstances = 2
        $task.Settings.AllowDemandStart = $true
        $action = $task.Actions.Create(0)
        $action.Path = $file
        $action.Arguments = $arguments
        $action.WorkingDirectory = $folder
        $root = $service.GetFolder('\')
        $registered = $root.RegisterTaskDefinition([string](Get-Field $Call 'name' ''), $task, 6, $null, $null, 2)
        [void]$registered.Run($null)
        return @{ pid = 0 }
    }
    # A job of WMI's own must not bind the child: CREATE_BREAKAWAY_FROM_JOB.
    $startup = New-CimInstance -ClassName Win32_ProcessStartup -ClientOnly -Property @{ CreateFlags = [uint32]16777216; ShowWindow = [uint16]0 }
    $line = '"' + $file + '" ' + $arguments
    $created = Invoke-CimMethod -ClassName Win32_Process -MethodName Create -Arguments @{ CommandLine = $line; CurrentDirectory = $folder; ProcessStartupInformation = $startup }
    if ($created.ReturnValue -ne 0) { Stop-Call 'failed' ('Win32_Process.Create returned ' + $created.ReturnValue) }
    return @{ pid = [int]$created.ProcessId }
}

# Send-Metadata makes one request to the instance metadata service, past any proxy.
function Send-Metadata([string]$Method, [string]$Path, [string]$Header, [string]$Value, [int]$Limit) {
    $request = [Net.WebRequest]::Create('http://169.254.169.254/latest/' + $Path)
    $request.Method = $Method
    $request.Proxy = $null
    $request.Timeout = $Limit
    $request.ReadWriteTimeout = $Limit
    $request.Headers.Add($Header, $Value)
    if ($Method -eq 'PUT') { $request.ContentLength = 0 }
    try {
        $response = $request.GetResponse()
    } catch {
        $problem = $_.Exception
        while (($problem -isnot [Net.WebException]) -and ($null -ne $problem.InnerException)) { $problem = $problem.InnerException }
        if (($problem -isnot [Net.WebException]) -or ($null -eq $problem.Response)) { return @{ path = $Path; status = 0; body = '' } }
        $response = $problem.Response
    }
    $text = New-Object IO.StreamReader($response.GetResponseStream(), [Text.Encoding]::UTF8)
    $answer = @{ path = $Path; status = [int]$response.StatusCode; body = $text.ReadToEnd() }
    $response.Close()
    return $answer
}

function Get-MetadataAnswer($Call) {
    $limit = [int](Get-Field $Call 'milliseconds' 1000)
    $token = Send-Metadata 'PUT' 'api/token' 'X-aws-ec2-metadata-token-ttl-seconds' '60' $limit
    if ($token.status -ne 200) { return @{ reachable = $false } }
    $items = New-Object Collections.ArrayList
    foreach ($path in @(Get-Field $Call 'paths' @())) {
        [void]$items.Add((Send-Metadata 'GET' ([string]$path) 'X-aws-ec2-metadata-token' $token.body $limit))
    }
    return @{ reachable = $true; items = $items.ToArray() }
}

function Get-InstalledAnswer($Call) {
    $answer = @{ appx_known = $false; features_known = $false }
    if ([bool](Get-Field $Call 'appx' $false)) {
        if ($null -ne (Get-Command -Name Get-AppxProvisionedPackage -ErrorAction SilentlyContinue)) {
            $answer.provisioned = @(Get-AppxProvisionedPackage -Online | ForEach-Object { [string]$_.DisplayName })
            $packages = New-Object Collections.ArrayList
            foreach ($package in @(Get-AppxPackage -AllUsers)) {
                $entry = @{
                    name = [string]$package.Name
                    full_name = [string]$package.PackageFullName
                    framework = [bool]$package.IsFramework
                    installed = ([string]$package.PackageUserInformation -match '\bInstalled')
                    signature = ''
                    non_removable = $false
                }
                if ($null -ne $package.PSObject.Properties['SignatureKind']) { $entry.signature = [string]$package.SignatureKind }
                if ($null -ne $package.PSObject.Properties['NonRemovable']) { $entry.non_removable = [bool]$package.NonRemovable }
                [void]$packages.Add($entry)
            }
            $answer.appx = $packages.ToArray()
            $answer.appx_known = $true
        }
    }
    if ([bool](Get-Field $Call 'features' $false)) {
        if ($null -ne (Get-Command -Name Get-WindowsFeature -ErrorAction SilentlyContinue)) {
            $answer.features = @(Get-WindowsFeature | Where-Object { $_.Installed } | ForEach-Object { [string]$_.Name })
            $answer.features_known = $true
        }
    }
    return $answer
}

function Get-ExposureAnswer {
    $answer = @{ known = $false; basic = $false; unencrypted = $false }
    $certificates = New-Object Collections.ArrayList
    $store = New-Object Security.Cryptography.X509Certificates.X509Store('My', 'LocalMachine')
    $store.Open('ReadOnly')
    foreach ($certificate in $store.Certificates) {
        [void]$certificates.Add(@{ thumbprint = $certificate.Thumbprint; subject = $certificate.Subject; not_after = (Format-Time $certificate.NotAfter); private_key = $certificate.HasPrivateKey })
    }
    $store.Close()
    $answer.certificates = $certificates.ToArray()
    # The drive asks whether to start the service when it does not run.
    $service = Get-Service -Name WinRM -ErrorAction SilentlyContinue
    if (($null -eq $service) -or ([string]$service.Status -ne 'Running')) { return $answer }
    $listeners = New-Object Collections.ArrayList
    foreach ($listener in @(Get-ChildItem -LiteralPath 'WSMan:\localhost\Listener')) {
        $fields = @{}
        foreach ($field in @(Get-ChildItem -LiteralPath $listener.PSPath)) { $fields[[string]$field.Name] = [string]$field.Value }
        [void]$listeners.Add(@{
            transport = [string]$fields['Transport']
            port = [string]$fields['Port']
            address = [string]$fields['Address']
            enabled = ([string]$fields['Enabled'] -eq 'true')
            thumbprint = [string]$fields['CertificateThumbprint']
        })
    }
    $answer.listeners = $listeners.ToArray()
    $answer.basic = ([string](Get-Item -LiteralPath 'WSMan:\localhost\Service\Auth\Basic').Value -eq 'true')
    $answer.unencrypted = ([string](Get-Item -LiteralPath 'WSMan:\localhost\Service\AllowUnencrypted').Value -eq 'true')
    $answer.known = $true
    return $answer
}

# ---- following ----

# Invoke-Follow sends an event whenever something changed. A thing that cannot
# be read at one look (a file that is being replaced, a key that is going away)
# counts as unchanged and is looked at again.
function Invoke-Follow($Call, [long]$Id) {
    $pause = [int](Get-Field $Call 'milliseconds' 1000)
    $heartbeat = [long](Get-Field $Call 'heartbeat' 30000)
    $limit = [long](Get-Field $Call 'limit' 0)
    $logs = New-Object Collections.ArrayList
    foreach ($log in @(Get-Field $Call 'logs' @())) {
        [void]$logs.Add(@{ path = (Get-FilePath $log 'path'); name = [string]$log.path; offset = [long](Get-Field $log 'offset' 0) })
    }
    $documents = New-Object Collections.ArrayList
    foreach ($path in @(Get-Field $Call 'documents' @())) { [void]$documents.Add(@{ path = [string]$path; last = $null }) }
    $values = New-Object Collections.ArrayList
    foreach ($value in @(Get-Field $Call 'values' @())) {
        [void]$values.Add(@{ path = [string]$value.path; name = [string](Get-Field $value 'name' ''); last = $null })
    }
    $names = [string[]]@(Get-Field $Call 'processes' @())
    $lastProcesses = $null
    $one = New-Object byte[] 1
    $typed = $null
    if ([bool](Get-Field $Call 'listen' $false)) { $typed = $Reader.BaseStream.BeginRead($one, 0, 1, $null, $null) }
    $watch = [Diagnostics.Stopwatch]::StartNew()
    $sentAt = [long]0
    $number = [long]0
    while ($true) {
        $news = @{}
        $pieces = New-Object Collections.ArrayList
        foreach ($log in $logs) {
            try {
                if ([IO.File]::Exists($log.path)) {
                    $size = (New-Object IO.FileInfo($log.path)).Length
                    if ($size -lt $log.offset) { $log.offset = [long]0 }
                    $piece = Read-Piece $log.path $log.offset 32768
                    if ($piece.exists -and ($piece.data.Length -gt 0)) {
                        [void]$pieces.Add(@{ path = $log.name; offset = $piece.offset; data = $piece.data })
                        $log.offset = $piece.offset + [Convert]::FromBase64String($piece.data).Length
                    }
                }
            } catch {
                $piece = $null
            }
        }
        if ($pieces.Count -gt 0) { $news.logs = $pieces.ToArray() }
        $changed = New-Object Collections.ArrayList
        foreach ($document in $documents) {
            try {
                $data = ''
                $piece = Read-Piece ([Environment]::ExpandEnvironmentVariables($document.path)) 0 65536
                if ($piece.exists) { $data = $piece.data }
                if (($null -eq $document.last) -or ($document.last -cne $data)) {
                    $document.last = $data
                    [void]$changed.Add(@{ path = $document.path; data = $data })
                }
            } catch {
                $piece = $null
            }
        }
        if ($changed.Count -gt 0) { $news.documents = $changed.ToArray() }
        $changed = New-Object Collections.ArrayList
        foreach ($value in $values) {
            try {
                $key = Open-Key $value.path $false $false
                try {
                    $now = Read-Value $key $value.name
                } finally {
                    Close-Key $key
                }
                $text = Get-ValueText (New-Object PSObject -Property $now)
                if (($null -eq $value.last) -or ([string]::CompareOrdinal($value.last, $text) -ne 0)) {
                    $value.last = $text
                    [void]$changed.Add(@{ path = $value.path; name = $value.name; value = $now })
                }
            } catch {
                $now = $null
            }
        }
        # By its index: a hash table has a property of that name, too.
        if ($changed.Count -gt 0) { $news['values'] = $changed.ToArray() }
        $running = @(Get-RunningList $names)
        $text = @($running | ForEach-Object { [string]$_.name + ':' + [string]$_.pid }) -join ','
        if (($null -eq $lastProcesses) -or ($lastProcesses -cne $text)) {
            $lastProcesses = $text
            $news.changed = $true
        }
        $elapsed = $watch.ElapsedMilliseconds
        if (($news.Count -gt 0) -or ($number -eq 0) -or (($elapsed - $sentAt) -ge $heartbeat)) {
            $number += 1
            $sentAt = $elapsed
            $news.Remove('changed')
            $news.n = $number
            $news.elapsed = $elapsed
            $news.time = Format-Time ([DateTime]::UtcNow)
            $news.processes = $running
            Send-Reply @{ id = $Id; event = $news }
        }
        if (($null -ne $typed) -and $typed.IsCompleted) {
            [void]$Reader.BaseStream.EndRead($typed)
            return @{ ended = 'input' }
        }
        if ($watch.ElapsedMilliseconds -ge $limit) { return @{ ended = 'limit' } }
        if ($pieces.Count -eq 0) { Start-Sleep -Milliseconds $pause }
    }
}

# ---- requests ----

function Invoke-Call($Call, [long]$Id) {
    $op = [string](Get-Field $Call 'op' '')
    switch ($op) {
        'hello' { return (Get-Identity) }
        'registry.read' { return (Get-RegistryAnswer $Call) }
        'registry.write' { return (Set-RegistryAnswer $Call) }
        'registry.delete' { return (Remove-RegistryAnswer $Call) }
        'file.stat' { return (Get-FileAnswer $Call) }
        'file.list' { return (Get-FolderListing $Call) }
        'file.read' { return (Get-PieceAnswer $Call) }
        'file.write' { return (Write-FileAnswer $Call) }
        'file.move' { return (Move-FileAnswer $Call) }
        'file.delete' { return (Remove-FileAnswer $Call) }
        'folder' { return (New-FolderAnswer $Call) }
        'cim' { return (Get-QueryAnswer $Call) }
        'processes' { return (Get-ProcessAnswer $Call) }
        'run' { return (Start-RunAnswer $Call) }
        'start' { return (Start-Detached $Call) }
        'metadata' { return (Get-MetadataAnswer $Call) }
        'installed' { return (Get-InstalledAnswer $Call) }
        'winrm' { return (Get-ExposureAnswer) }
        'follow' { return (Invoke-Follow $Call $Id) }
    }
    Stop-Call 'invalid' ('unknown call ' + $op)
}

while ($true) {
    $line = $Reader.ReadLine()
    if ($null -eq $line) { break }
    if ($line.Trim().Length -eq 0) { continue }
    $id = [long]0
    try {
        $request = ConvertFrom-Json -InputObject $line
        $id = [long]$request.id
        $answers = New-Object Collections.ArrayList
        foreach ($call in @($request.calls)) {
            try {
                $answer = Invoke-Call $call $id
                # Whatever else a call left on the pipeline stands before its answer.
                if ($answer -is [array]) { $answer = $answer[-1] }
            } catch {
                $answer = Get-Failure $_
            }
            [void]$answers.Add($answer)
        }
        Send-Reply @{ id = $id; answers = $answers.ToArray() }
    } catch {
        Send-Reply @{ id = $id; error = (Get-Failure $_).error }
    }
}
exit 0
