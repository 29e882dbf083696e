# Reads reports as Mailman does, with flufl.bounce; prints what it has found as JSON, a
# line for each file: what scan_message says, then the temporary and the permanent
# failures.
import email
import json
import sys

from flufl.bounce import all_failures, scan_message


def addresses(found):
    return sorted(address.decode() for address in found)


for name in sys.argv[1:]:
    with open(name, "rb") as f:
        report = email.message_from_binary_file(f)
    temporary, permanent = all_failures(report)
    print(json.dumps({
        "scan": addresses(scan_message(report)),
        "temporary": addresses(temporary),
        "permanent": addresses(permanent),
    }))
