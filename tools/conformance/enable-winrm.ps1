# Sets up what the conformance tests need on a throw-away Windows runner: a WinRM listener on the loopback interface and a test
# administrator whose password nobody knows but this run. Leaves these variables for the steps that follow:
#
#   GUEST_CONFORMANCE_HOST, _PORT, _SCHEME, _USER, _PASSWORD, and for https _SHA256, the fingerprint of the certificate
#
# Never run this on a machine that matters: it allows Basic authentication and, for http, unencrypted traffic.
param(
    [ValidateSet('http', 'https')]
    [string]$Scheme = 'https'
)

Set-StrictMode -Version 2
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'

if ($env:GITHUB_ACTIONS -ne 'true') {
    throw 'this script is for a throw-away runner of GitHub Actions'
}

# The password: 24 random characters and one of each class that a password policy may ask for.
$bytes = New-Object byte[] 18
$random = [Security.Cryptography.RandomNumberGenerator]::Create()
$random.GetBytes($bytes)
$password = [Convert]::ToBase64String($bytes) + 'aA1!'
# From here on the log shows stars in its place.
[Console]::Out.WriteLine('::add-mask::' + $password)

$user = 'conformance'
$secure = ConvertTo-SecureString -String $password -AsPlainText -Force
$account = New-LocalUser -Name $user -Password $secure -PasswordNeverExpires -AccountNeverExpires
Add-LocalGroupMember -SID 'S-1-5-32-544' -Member $account

# A local administrator's token over the network is otherwise stripped of its rights.
$policies = 'HKLM:\SOFTWARE\Microsoft\Windows\CurrentVersion\Policies\System'
New-ItemProperty -Path $policies -Name 'LocalAccountTokenFilterPolicy' -Value 1 -PropertyType 'DWord' -Force > $null

# Some of the service's settings are refused while a network counts as public.
Get-NetConnectionProfile | Set-NetConnectionProfile -NetworkCategory 'Private' -ErrorAction 'SilentlyContinue'
Enable-PSRemoting -SkipNetworkProfileCheck -Force > $null
Set-Item -Path 'WSMan:\localhost\Service\Auth\Basic' -Value $true -Force

$port = 5985
$fingerprint = ''
if ($Scheme -eq 'http') {
    Set-Item -Path 'WSMan:\localhost\Service\AllowUnencrypted' -Value $true -Force
} else {
    $port = 5986
    $certificate = New-SelfSignedCertificate -DnsName 'localhost' -CertStoreLocation 'Cert:\LocalMachine\My'
    Get-ChildItem -Path 'WSMan:\localhost\Listener' |
        Where-Object { $_.Keys -contains 'Transport=HTTPS' } |
        Remove-Item -Recurse -Force
    New-Item -Path 'WSMan:\localhost\Listener' -Transport 'HTTPS' -Address '*' -CertificateThumbPrint $certificate.Thumbprint -Force > $null
    $sha = [Security.Cryptography.SHA256]::Create()
    $fingerprint = [BitConverter]::ToString($sha.ComputeHash($certificate.RawData)).Replace('-', '').ToLowerInvariant()
}
Restart-Service -Name 'WinRM'

# One variable a line, without a byte order mark.
$lines = @(
    'GUEST_CONFORMANCE_HOST=localhost'
    'GUEST_CONFORMANCE_PORT=' + $port
    'GUEST_CONFORMANCE_SCHEME=' + $Scheme
    'GUEST_CONFORMANCE_USER=' + $user
    'GUEST_CONFORMANCE_PASSWORD=' + $password
    'GUEST_CONFORMANCE_SHA256=' + $fingerprint
)
[IO.File]::AppendAllText($env:GITHUB_ENV, ($lines -join "`n") + "`n")
