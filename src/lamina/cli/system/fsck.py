"""``lamina system fsck``."""

from __future__ import annotations

from lamina.cli.command import NO_ARGUMENTS, Command, Context, Options
from lamina.cli.flags import switch, text
from lamina.cli.listing import Column, Listing
from lamina.cli.units import human_size
from lamina.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lamina.layer.finding import Finding, Report

COMMAND = Command(
    usage="[OPTIONS]",
    summary="Check the data root, and repair it",
    description=(
        "List what on disk is unaccounted for or damaged.\n"
        "The exit code is 0 when nothing is wrong, or nothing any more, and 1 otherwise."
    ),
    arguments=NO_ARGUMENTS,
    flags=(
        switch("deep", "Read all content and compare it with its digests too"),
        text("format", "Format the output as json, or each finding using a Go template"),
        switch("repair", "Reclaim what nothing refers to and mend what can be mended"),
    ),
)


def run(context: Context, options: Options) -> int:
    repair = options.on("repair")
    report = context.engine().check(deep=options.on("deep"), repair=repair)
    template = options.text("format")
    if template == "json":
        _print_json(context, report)
    elif template and template != "table":
        _LISTING.write(context.stdout, report.findings, template)
    else:
        _print_text(context, report, repair=repair)
    return 0 if report.is_clean else 1


def _state(finding: Finding) -> str:
    if finding.repaired:
        return "repaired"
    if finding.failure:
        return f"repair failed: {finding.failure}"
    return "repairable" if finding.repairable else "not repairable"


_LISTING: Listing[Finding] = Listing(
    "*lamina.finding",
    (
        Column("Kind", "KIND", lambda finding: finding.kind),
        Column("Path", "PATH", lambda finding: finding.path),
        Column("What", "WHAT", lambda finding: finding.what),
        Column("Size", "SIZE", lambda finding: human_size(finding.size)),
        Column("State", "STATE", _state),
    ),
    ("Kind", "State", "Size", "Path", "What"),
)


def _print_text(context: Context, report: Report, *, repair: bool) -> None:
    if not report.findings:
        context.print("Nothing is wrong")
        return
    _LISTING.write(context.stdout, report.findings)
    context.print()
    if repair:
        context.print(f"Total reclaimed space: {human_size(report.reclaimed)}")
    elif repairable := sum(finding.repairable for finding in report.findings):
        context.print(f"{repairable} of {len(report.findings)} can be repaired with --repair")
    if any(not finding.repairable for finding in report.findings):
        context.print(
            "What can't be repaired: remove the containers and images that need it, and pull or load the images again"
        )


def _print_json(context: Context, report: Report) -> None:
    from lamina import json

    findings = [
        {
            "Kind": finding.kind,
            "Path": finding.path,
            "What": finding.what,
            "Size": finding.size,
            "Repairable": finding.repairable,
            "Repaired": finding.repaired,
            "Failure": finding.failure,
        }
        for finding in report.findings
    ]
    document = {"Clean": report.is_clean, "Findings": findings, "Reclaimed": report.reclaimed}
    context.print(json.dumps(document, indent=4, ensure_ascii=False))
