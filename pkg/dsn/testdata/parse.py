# Reads reports with the email package of Python; prints what it has found as JSON, a line
# for each file: the subject, the types of the parts, and the groups of fields about
# recipients. What the package calls a defect is an error.
import email
import email.policy
import json
import sys

for name in sys.argv[1:]:
    with open(name, "rb") as f:
        report = email.message_from_binary_file(f, policy=email.policy.default)
    for part in report.walk():
        assert not part.defects, (name, part.get_content_type(), part.defects)
    parts = report.get_payload()
    print(json.dumps({
        "subject": report["Subject"],
        "type": report.get_content_type(),
        "parts": [part.get_content_type() for part in parts],
        "text": parts[0].get_content(),
        "recipients": [{name.lower(): value for name, value in group.items()} for group in parts[1].get_payload()[1:]],
    }))
