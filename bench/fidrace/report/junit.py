"""The gate's checks as JUnit XML, which GitLab, Jenkins and others show beside tests.

The file is valid by both schemas that tools hold such files against: Jenkins' (junit-10.xsd of its xUnit plugin) and Apache
Ant's, which also demands properties, a host, times and the output of each suite.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree as xml

from fidrace.console import printable
from fidrace.report.gate import CHECK_HEADINGS, check_lines
from fidrace.report.terminal import note_line
from fidrace.score.checks import Check
from fidrace.score.estimates import FAILS, NOTHING, UNDECIDED

ELEMENTS = {FAILS: "failure", NOTHING: "error", UNDECIDED: "skipped"}  # by outcome; a check that holds has none
OUTCOME, FIGURES = CHECK_HEADINGS.index("outcome"), [CHECK_HEADINGS.index(name) for name in CHECK_HEADINGS[3:]]


def checks_junit(checks: Sequence[Check], folder: Path, against: Path | None, strict: bool) -> bytes:
    """One test case a check. What was not measured is an error, as for the exit code; a check that cannot tell is skipped, or
    if `strict` a failure."""
    elements = ELEMENTS | ({UNDECIDED: "failure"} if strict else {})
    found = [elements.get(check.outcome, "") for check in checks]
    told = [printable(note_line(CHECK_HEADINGS, line, FIGURES, OUTCOME)) for line in check_lines(checks)]
    counts = {"tests": len(found), "failures": found.count("failure"), "errors": found.count("error")}
    counts["skipped"] = found.count("skipped")
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S")
    about = {"name": "fidrace check", "package": "fidrace", "id": "0", "hostname": "localhost", "timestamp": now, "time": "0"}
    root = xml.Element("testsuites")
    suite = xml.SubElement(root, "testsuite", about | {name: str(count) for name, count in counts.items()})
    properties = xml.SubElement(suite, "properties")
    for name, value in (("folder", folder), ("against", against)):
        if value is not None:
            xml.SubElement(properties, "property", name=name, value=printable(str(value)))
    names = [printable(check.asked) for check in checks]
    for check, name, element, text in zip(checks, names, found, told, strict=True):
        case = xml.SubElement(suite, "testcase", name=name, classname=f"fidrace.{check.kind}", time="0")
        if element:
            kind = {} if element == "skipped" else {"type": check.outcome}  # which Ant's schema has for the two others only
            xml.SubElement(case, element, kind, message=text)
    xml.SubElement(suite, "system-out").text = "\n".join(": ".join(pair) for pair in zip(names, told, strict=True))
    xml.SubElement(suite, "system-err")
    xml.indent(root)
    return xml.tostring(root, encoding="utf-8", xml_declaration=True) + b"\n"
