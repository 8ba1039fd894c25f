"""Drives the lab's WinRM endpoint with pypsrp's WinRS client.

Arguments: host, port, tls (yes, no), auth (basic, ntlm, negotiate), CA file or "-", encryption (auto, never), user, password.
Prints one line for each thing that it has seen; the test compares them.
"""

import sys

from pypsrp.exceptions import AuthenticationError, WSManFaultError
from pypsrp.shell import Process, SignalCode, WinRS
from pypsrp.wsman import WSMan

host, port, tls, auth, ca, encryption, user, password = sys.argv[1:]


def connect(secret=password, **options):
    return WSMan(
        host, port=int(port), ssl=tls == "yes", auth=auth, username=user, password=secret, no_proxy=True,
        cert_validation=ca if ca != "-" else False, encryption=encryption, **options,
    )


with connect() as wsman:
    wsman.update_max_payload_size()
    print("payload", wsman.max_payload_size > 300000)
    with WinRS(wsman, environment={"COLOUR": "blue & green"}, working_directory="C:\\Work", no_profile=True, codepage=65001) as shell:
        print("shell", shell.id is not None, shell.owner, shell.idle_time_out)

        p = Process(shell, "show", ["one", "two & three"])
        p.invoke()
        p.signal(SignalCode.TERMINATE)
        print("show", p.stdout, p.stderr, p.rc)

        p = Process(shell, "reverse")
        p.begin_invoke()
        data = bytes(range(256)) * 400
        p.send(data, end=True)
        p.end_invoke()
        p.signal(SignalCode.TERMINATE)
        print("reverse", len(p.stdout), p.stdout == data[::-1], p.rc)

        p = Process(shell, "wait")
        p.begin_invoke()
        p.poll_invoke(timeout=1)
        print("poll", p.state.endswith("Pending") or p.state)
        p.signal(SignalCode.CTRL_C)
        p.end_invoke()
        print("ctrl-c", p.rc)

        p = Process(shell, "large")
        p.invoke()
        print("large", len(p.stdout), p.rc)

    try:
        shell.command("show", [])
        print("fault", None)
    except WSManFaultError as fault:
        print("fault", fault.code, "was not found" in fault.reason)

try:
    with connect(secret="wrong") as wsman, WinRS(wsman):
        print("wrong password", None)
except AuthenticationError:
    print("wrong password", "rejected")
