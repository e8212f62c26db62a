"""The report as one page that needs nothing else: tables, and plots drawn as SVG."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from testnet.report import GROWTH, PHASES

WIDTH, HEIGHT = 680, 220
_LEFT, _BOTTOM, _TOP, _RIGHT = 64, 28, 12, 24
_COLOURS = ("#2f7d4f", "#b5642a", "#3a5fa8", "#8a3f8f", "#9b8a1d", "#25868c", "#b03a48", "#5d6b74")
_UNITS = {"memory": "MiB resident", "files": "open files and sockets", "tasks": "tasks", "state": "MiB of state"}
_SCALE = {"memory": 1 / 2**20, "state": 1 / 2**20}

_STYLE = """
:root { color-scheme: light dark; --line: #8885; --soft: #8882; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1100px; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: 0; } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
p.sub { margin-top: .2rem; opacity: .75; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .9rem .25rem 0; text-align: left; border-bottom: 1px solid var(--line); vertical-align: top; }
td.n, th.n { text-align: right; }
.good { color: #2f7d4f; font-weight: 600; } .bad { color: #b03a48; font-weight: 600; }
.plots { display: flex; flex-wrap: wrap; gap: 1rem; } figure { margin: 0; } figcaption { opacity: .8; }
figcaption { max-width: 680px; }
svg { background: var(--soft); border-radius: 6px; max-width: 100%; height: auto; }
svg text { font: 11px system-ui, sans-serif; fill: currentColor; } svg .grid { stroke: var(--line); }
.tables { display: flex; flex-wrap: wrap; gap: 0 3rem; }
"""


def write_page(report: Mapping[str, Any], path: Path) -> None:
    """One HTML file."""
    net = report["testnet"]
    who = ", ".join(f"{count} {role}{'s' * (count != 1)}" for role, count in sorted(net["peers"].items()))
    cheats = ", ".join(f"{name} is a {kind}" for name, kind in net["cheats"].items()) or "everybody is honest"
    parts = [
        f"<h1>{escape(net['name'])}</h1>",
        f"<p class=sub>{escape(who)}, as {escape(net['engine'])} on {escape(net['chain'])}; {escape(cheats)}</p>",
        f"<div class=tables><section><h2>In short</h2>{_side_by_side(report)}</section>",
        f"<section><h2>Failures by cause</h2>{_counts(report['failures'], 'none')}</section></div>",
        "<h2>How long each phase takes</h2>",
        _phases(report),
        "<h2>Progress and resources</h2><div class=plots>",
        _figure("jobs ended, by seconds from the first one's asking", {"jobs": report["done"]}, 1.0),
        *(
            _figure(f"{_UNITS[what]}, by seconds", report["series"].get(what, {}), _SCALE.get(what, 1.0))
            for what in GROWTH
        ),
        "</div><h2>Money</h2>",
        _money(report["money"]),
        "<h2>What went wrong on purpose</h2>",
        _faults(net["scenario"]["faults"]),
    ]
    text = f"<!doctype html><meta charset=utf-8><title>{escape(net['name'])}</title><style>{_STYLE}</style>"
    path.write_text(text + "\n".join(parts) + "\n")


def summary(report: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The most telling figures, for a terminal and the top of the page."""
    yield "jobs", f"{report['jobs']}: " + ", ".join(f"{n} {what}" for what, n in sorted(report["outcomes"].items()))
    yield "deals", str(report["deals"])
    welfare = report["welfare"]
    share = "nothing to gain" if welfare["share"] is None else f"{welfare['share']:.1%} of the optimum"
    yield "welfare", f"{welfare['gained']}, {share}"
    yield "messages a deal", _number(report["messages_a_deal"])
    yield "bytes a deal", _number(report["bytes_a_deal"])
    yield "gas a deal", _number(report["gas_a_deal"])
    total = report["phases"]["total"]
    yield "request to paid", f"p50 {_number(total['p50'])} ms, p99 {_number(total['p99'])} ms"
    if report.get("money"):
        money = report["money"]
        yield "money explained", "every unit" if money["explained"] else "NO"
        yield "honest peers slashed", ", ".join(money["slashed"]) or "none"


def _side_by_side(report: Mapping[str, Any]) -> str:
    simulated = report.get("simulated")
    other = dict(summary(simulated)) if simulated else {}
    head = "<tr><th><th>here" + ("<th>in the simulator" if simulated else "")
    rows = [
        f"<tr><th>{escape(name)}<td>{escape(value)}" + (f"<td>{escape(other.get(name, ''))}" if simulated else "")
        for name, value in summary(report)
    ]
    notes = "".join(f"<p class=sub>{escape(note)}</p>" for note in (simulated or {}).get("notes", []))
    return f"<table>{head}{''.join(rows)}</table>{notes}"


def _phases(report: Mapping[str, Any]) -> str:
    simulated = report.get("simulated")
    heads = "<th class=n>p50, ms<th class=n>p99, ms"
    rows = []
    for phase in PHASES:
        found = [report["phases"][phase], *([simulated["phases"][phase]] if simulated else [])]
        cells = "".join(f"<td class=n>{_number(it['p50'])}<td class=n>{_number(it['p99'])}" for it in found)
        rows.append(f"<tr><th>{phase}{cells}")
    more = "<th class=n>simulated p50<th class=n>simulated p99" if simulated else ""
    return f"<table><tr><th>{heads}{more}{''.join(rows)}</table>"


def _money(money: Mapping[str, Any]) -> str:
    mark = (
        "<span class=good>every unit is explained</span>"
        if money["explained"]
        else "<span class=bad>not explained</span>"
    )
    calls = ", ".join(f"{name} {count}" for name, count in sorted(money["calls"].items()))
    rows = "".join(
        f"<tr><th>{escape(each['peer'])}<td>{escape(each['kind'])}"
        + "".join(f"<td class=n>{int(each[key]):,}" for key in ("began", "in", "out", "ended", "locked"))
        for each in money["statements"]
    )
    heads = "".join(f"<th class=n>{head}" for head in ("began with", "in", "out", "has now", "of it locked"))
    return (
        f"<p>{mark}: the vault holds {int(money['held']):,}, accounts and stakes come to {int(money['total']):,}. "
        f"Calls: {escape(calls)}.</p><table><tr><th>peer<th>kind{heads}{rows}</table>"
    )


def _faults(faults: Sequence[Mapping[str, Any]]) -> str:
    return _counts({f"after {each['at']:g} s: {' '.join(each['fault'])}": "" for each in faults}, "nothing")


def _counts(counts: Mapping[str, Any], nothing: str) -> str:
    if not counts:
        return f"<p>{nothing}</p>"
    return "<table>" + "".join(f"<tr><td>{escape(str(n))}<td>{escape(what)}" for what, n in counts.items()) + "</table>"


def _figure(title: str, lines: Mapping[str, Sequence[Sequence[float]]], scale: float) -> str:
    named = [
        f'<span style="color:{_COLOURS[number % len(_COLOURS)]}">{escape(name)}</span>'
        for number, name in enumerate(lines)
    ]
    whose = f": {', '.join(named)}" if len(named) > 1 else ""
    return f"<figure>{plot(lines, scale)}<figcaption>{escape(title)}{whose}</figcaption></figure>"


def plot(lines: Mapping[str, Sequence[Sequence[float]]], scale: float = 1.0) -> str:
    """Lines over time as SVG; each point is seconds and a value."""
    points = [(x, y * scale) for line in lines.values() for x, y in line]
    if not points:
        return "<p>nothing was sampled</p>"
    most_x, most_y = max(x for x, _ in points) or 1.0, max(y for _, y in points) or 1.0

    def place(x: float, y: float) -> tuple[float, float]:
        wide, high = WIDTH - _LEFT - _RIGHT, HEIGHT - _TOP - _BOTTOM
        return _LEFT + wide * x / most_x, _TOP + high * (1 - y / most_y)

    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img">']
    for step in range(5):
        value = most_y * step / 4
        _, y = place(0, value)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{_number(value)}</text>')
        x, _ = place(most_x * step / 4, 0)
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - 8}" text-anchor="middle">{_number(most_x * step / 4)}</text>')
    for number, (name, line) in enumerate(lines.items()):
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(x, y * scale) for x, y in line))
        colour = _COLOURS[number % len(_COLOURS)]
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5">')
        parts.append(f"<title>{escape(name)}</title></polyline>")
    parts.append("</svg>")
    return "".join(parts)


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 100 or value == round(value) else f"{value:.3g}"
