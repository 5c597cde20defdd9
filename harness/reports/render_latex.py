"""A table as a LaTeX float (booktabs) for \\input: results and cost as two tabulars, the paper in italics."""

from __future__ import annotations

import re

from harness.reports.table import Cell, Column, Table, header_groups

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"$<$",
    ">": r"$>$",
    "|": r"$|$",
    "×": r"$\times$",
    "±": r"$\pm$",
    "–": "--",
    "·": r"$\cdot$",
    "²": r"$^2$",
    "α": r"$\alpha$",
    "β": r"$\beta$",
    "τ": r"$\tau$",
    "≤": r"$\le$",
    "≥": r"$\ge$",
    "…": r"\ldots{}",
    "→": r"$\to$",
    "`": r"\textasciigrave{}",
    "'": "'",
    '"': r"\textquotedbl{}",
    "§": r"\S{}",
}
_PATTERN = re.compile("|".join(re.escape(mark) for mark in _SPECIAL))
NEEDS = "% Needs \\usepackage{booktabs,graphicx} and \\usepackage[T1]{fontenc}. \\input this file.\n"


def latex(table: Table) -> str:
    """The float: tabulars as wide as the text at most, caption above, reading, notes and signature below."""
    tabulars = "\n\\par\\medskip\n".join(_tabular(table, columns) for columns in table.panels())
    return (
        f"{NEEDS}\\begin{{table}}[tbp]\n\\centering\n"
        f"\\caption{{{escape(table.title)}. {escape(table.caption)}}}\n\\label{{tab:{table.name}}}\n"
        f"{tabulars}\n{_below(table)}\\end{{table}}\n"
    )


def escape(text: str) -> str:
    """Plain text as LaTeX; characters that LaTeX's default fonts lack are named or left out."""
    return _PATTERN.sub(lambda found: _SPECIAL[found.group()], text)


def _tabular(table: Table, columns: tuple[Column, ...]) -> str:
    layout = "".join("l" if c.source == "config" else "r" for c in columns)
    lines = [_groups(columns), _row([_header(c) for c in columns]), "\\midrule"]
    lines += [_row([_text(line.cells[c.key]) for c in columns]) for line in table.rows]
    body = "\n".join(line for line in lines if line)
    tabular = f"\\begin{{tabular}}{{{layout}}}\n\\toprule\n{body}\n\\bottomrule\n\\end{{tabular}}"
    return f"\\resizebox{{\\ifdim\\width>\\linewidth\\linewidth\\else\\width\\fi}}{{!}}{{%\n{tabular}}}"


def _groups(columns: tuple[Column, ...]) -> str:
    """The header line above the header, with a rule under each group that has a name."""
    cells, rules, first = [], [], 1
    for name, count in header_groups(columns):
        cells.append(f"\\multicolumn{{{count}}}{{c}}{{{escape(name)}}}" if name else " & ".join([""] * count))
        if name:
            rules.append(f"\\cmidrule(lr){{{first}-{first + count - 1}}}")
        first += count
    return f"{' & '.join(cells)} \\\\\n{' '.join(rules)}" if rules else ""


def _row(cells: list[str]) -> str:
    return " & ".join(cells) + " \\\\"


def _header(column: Column) -> str:
    return f"\\textit{{{escape(column.header)}}}" if column.source == "paper" else escape(column.header)


def _text(cell: Cell) -> str:
    return f"\\textit{{{escape(cell.text)}}}" if cell.source == "paper" else escape(cell.text)


def _below(table: Table) -> str:
    reading = [f"\\textbf{{Reading.}} {escape(table.reading)}"] if table.reading else []
    signature = [f"Signature: {escape(table.signature)}."] if table.signature else []
    lines = [*reading, *(escape(note) for note in table.notes), *signature]
    joined = "\\par\n".join(lines)
    opening = "\\par\\smallskip\n\\begin{minipage}{\\linewidth}\\footnotesize\\raggedright"
    return f"{opening}\n{joined}\n\\end{{minipage}}\n"
