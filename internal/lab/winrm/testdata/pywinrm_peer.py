"""Drives the lab's WinRM endpoint with pywinrm, a client that was not written for it.

Arguments: endpoint, transport (basic, ntlm), CA file or "-", user, password.
Prints one line for each thing that it has seen; the test compares them.
"""

import sys

from winrm.exceptions import InvalidCredentialsError, WinRMOperationTimeoutError, WSManFaultError
from winrm.protocol import Protocol

endpoint, transport, ca, user, password = sys.argv[1:]


def client(secret=password, **options):
    if ca == "-":
        options["server_cert_validation"] = "ignore"
    else:
        options["ca_trust_path"] = ca
    return Protocol(endpoint=endpoint, transport=transport, username=user, password=secret, proxy=None, **options)


p = client()
shell = p.open_shell(working_directory="C:\\Work", env_vars={"COLOUR": "blue & green"}, noprofile=True, codepage=65001)
print("shell", len(shell) > 0)

command = p.run_command(shell, "show", ["one", "two & three"])
out, err, code = p.get_command_output(shell, command)
p.cleanup_command(shell, command)
print("show", out, err, code)

command = p.run_command(shell, "exit", ["3221225786"])
print("exit", p.get_command_output(shell, command))
p.cleanup_command(shell, command)

command = p.run_command(shell, "reverse")
p.send_command_input(shell, command, b"hello \x00\xff", end=False)
p.send_command_input(shell, command, b"world", end=True)
print("reverse", p.get_command_output(shell, command))
p.cleanup_command(shell, command)

command = p.run_command(shell, "large")
out, err, code = p.get_command_output(shell, command)
print("large", len(out), len(err), code)
p.cleanup_command(shell, command)

# A long poll over an OperationTimeout of one second, on the same shell.
short = client(operation_timeout_sec=1, read_timeout_sec=10)
command = short.run_command(shell, "wait")
try:
    short.get_command_output_raw(shell, command)
    print("poll", "output")
except WinRMOperationTimeoutError:
    print("poll", "timed out")
short.send_command_input(shell, command, b"go on", end=True)
print("wait", short.get_command_output(shell, command))
short.cleanup_command(shell, command)

try:
    p.run_command("00000000-0000-0000-0000-000000000000", "show")
    print("fault", None)
except WSManFaultError as fault:
    print("fault", fault.wsman_fault_code, fault.fault_code, fault.fault_subcode, "was not found" in fault.reason)

p.close_shell(shell)

try:
    client(secret="wrong").open_shell()
    print("wrong password", None)
except InvalidCredentialsError:
    print("wrong password", "rejected")
