"""A session as a drawing (SVG): a bar for each peer on each corpus, on a scale of powers of ten."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from math import ceil, floor, log10

from benchmarks.figures import Measured, Session
from benchmarks.peers import OURS

_LABELS, _BARS, _LINE = 150, 420, 18
_WIDTH = _LABELS + _BARS + 90


def svg(session: Session) -> str:
    """The drawing."""
    parts: list[str] = []
    top = 10
    for measured in session.corpora:
        parts += _panel(session, measured, top)
        top += (len(measured.peers()) + 2) * _LINE
    parts.append(_text(10, top + _LINE, f"{session.machine['machine']}; {session.machine['date']}", "#666"))
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{top + 2 * _LINE}"'
    return "\n".join([f'{head} font-family="sans-serif" font-size="12">', *parts, "</svg>", ""])


def _panel(session: Session, measured: Measured, top: int) -> Iterator[str]:
    """One corpus: its name, and a bar for each peer with its range."""
    peers = [peer for peer in session.peers if peer in measured.peers()]
    rates = {peer: measured.rate(peer) for peer in peers}
    low = floor(log10(min(rate.least for rate in rates.values())))
    high = max(low + 1, ceil(log10(max(rate.most for rate in rates.values()))))

    def place(rate: float) -> float:
        return _LABELS + (log10(rate) - low) / (high - low) * _BARS

    yield _text(10, top + _LINE - 5, f"{measured.name}, files/s", "#000", "bold")
    for power in range(low, high + 1):
        x = place(10.0**power)
        foot = top + (len(peers) + 1) * _LINE
        yield f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{top + _LINE}" y2="{foot}" stroke="#ddd"/>'
    for number, peer in enumerate(peers, 1):
        y, rate = top + number * _LINE, rates[peer]
        colour = "#2a6f97" if peer in OURS else "#b5b5b5"
        width = max(1.0, place(rate.median) - _LABELS)
        yield _text(10, y + 13, session.peers[peer]["label"])
        yield f'<rect x="{_LABELS}" y="{y + 2}" width="{width:.1f}" height="{_LINE - 5}" fill="{colour}"/>'
        ends = f'x1="{place(rate.least):.1f}" x2="{place(rate.most):.1f}"'
        yield f'<line {ends} y1="{y + 8}" y2="{y + 8}" stroke="#000"/>'
        yield _text(place(rate.most) + 6, y + 13, f"{rate.median:,.3g}" if rate.median < 100 else f"{rate.median:,.0f}")


def _text(x: float, y: float, text: str, colour: str = "#000", weight: str = "normal") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}" font-weight="{weight}">{escape(text)}</text>'
