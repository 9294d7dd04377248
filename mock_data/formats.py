"""How clean values are written into the exports: plainly, in other ways that mean the same, or broken."""

from __future__ import annotations

import polars as pl

from mock_data.entities import DAYS, FLAG, MOMENT, TEXT, Entity
from mock_data.spoil import BROKEN

BAD_BYTE = "\x1a"
"""Stands for a byte that is no UTF-8 until the text becomes bytes; occurs in no value."""

_DATES = pl.select(pl.date_range(pl.date(1970, 1, 1), pl.date(2101, 1, 1)).dt.to_string("%Y-%m-%d")).to_series()
_CLOCK = pl.select(pl.time_range(interval="1s", closed="left").dt.to_string("%H:%M:%S")).to_series()
_MILLIS = pl.Series([f".{i:03d}" for i in range(1000)])
_SECOND, _DAY = 1_000_000, 86_400_000_000


def stamp(moment: pl.Expr, *, milliseconds: bool, between: str = "T", zone: str = "Z", shift_hours: int = 0) -> pl.Expr:
    """ISO 8601 by look-up, several times faster than formatting each value."""
    micros = moment.to_physical() + shift_hours * 3600 * _SECOND
    parts = [
        pl.lit(_DATES).gather(micros // _DAY),
        pl.lit(between),
        pl.lit(_CLOCK).gather((micros // _SECOND) % 86_400),
    ]
    if milliseconds:
        parts.append(pl.lit(_MILLIS).gather((micros // 1000) % 1000))
    return pl.concat_str([*parts, pl.lit(zone)])


def plain(entity: Entity) -> list[pl.Expr]:
    """Each column as text, as the source system writes it by default."""
    return [
        stamp(pl.col(c), milliseconds=entity.milliseconds).alias(c) if t == MOMENT
        else pl.col(c).dt.to_string("%Y-%m-%d") if t == DAYS
        else pl.col(c).cast(pl.String)
        for c, t in entity.columns.items()
    ]  # fmt: skip


def _phone(way: int) -> pl.Expr:
    number = pl.col("phone")
    start, middle, rest = number.str.slice(0, 3), number.str.slice(3, 3), number.str.slice(6)
    forms = [
        pl.concat_str(start, middle, rest, separator=" "),
        pl.concat_str(start, pl.lit(" ("), middle, pl.lit(") "), rest),
        pl.concat_str(start, middle, rest, separator="-"),
        pl.concat_str(pl.lit(" "), start, middle, pl.lit("."), rest),
    ]
    return pl.when(number.str.starts_with("+")).then(forms[way]).otherwise(number)


def rewritten(entity: Entity, way: int, *, typed: bool = False) -> list[pl.Expr]:
    """Each column in another way that standardises to the same value.

    Takes typed columns and gives text; with ``typed``, columns that are not text keep their type (Parquet).
    """
    out: list[pl.Expr] = []
    for name, type_ in entity.columns.items():
        column = pl.col(name)
        if type_ != TEXT and typed:
            out.append(column)
        elif type_ == MOMENT:
            ms = entity.milliseconds
            out.append([
                stamp(column, milliseconds=ms, zone="+02:00", shift_hours=2),
                stamp(column, milliseconds=ms, between=" ", zone=""),
                stamp(column, milliseconds=ms, zone="+00:00"),
                stamp(column, milliseconds=ms, zone="-05:00", shift_hours=-5),
            ][way])  # fmt: skip
        elif name == "phone":
            out.append(_phone(way))
        elif name in entity.lower or name in entity.upper or type_ == FLAG:
            text = column.cast(pl.String)
            swapped = text.str.to_lowercase() if name in entity.upper else text.str.to_uppercase()
            out.append([swapped, "  " + text + " ", text.str.to_titlecase(), text + " "][way])
        elif name in entity.written:
            # a hidden mark of direction, a NUL, a space that does not break, a line end within quotes
            odd = column.str.replace(" ", "\n" if name == "street" else "\u00a0 ", literal=True)
            out.append([
                column.str.normalize("NFD"),
                " " + column.str.replace_all(" ", "   ", literal=True) + "  ",
                "\u202e" + column + "\x00",
                odd + " ",
            ][way])  # fmt: skip
        else:
            text = column.dt.to_string("%Y-%m-%d") if type_ == DAYS else column.cast(pl.String)
            short = text.str.strip_chars_end("0").str.strip_chars_end(".") if type_.is_decimal() else text
            out.append([text, " " + text + " ", short, text][way])
    return [expression.alias(name) for expression, name in zip(out, entity.columns, strict=True)]


def fields(entity: Entity) -> list[pl.Expr]:
    """Texts of a CSV file's columns with the quotes they need; null becomes the empty field."""
    return [
        pl.when(pl.col(c).str.contains_any([",", '"', "\n"]))
        .then('"' + pl.col(c).str.replace_all('"', '""', literal=True) + '"')
        .otherwise(pl.col(c))
        .fill_null("")
        .alias(c)
        if c in entity.written
        else pl.col(c).fill_null("")
        for c in entity.columns
    ]


def tokens(entity: Entity, *, quoted: bool = False, flags: bool = False) -> list[pl.Expr]:
    """Texts as JSON values; null stays null (the key is left out).

    ``quoted``: numbers as strings too; ``flags``: booleans as strings too.
    """
    return [
        ('"' + _escaped(name) + '"' if quoted or type_ in (TEXT, MOMENT) or (flags and type_ == FLAG) else pl.col(name))
        .alias(name)
        for name, type_ in entity.columns.items()
    ]  # fmt: skip


def joined(entity: Entity) -> pl.Expr:
    """One line, with its end, from fields or tokens."""
    if entity.format == "csv":
        line = pl.concat_str([*_between([pl.col(c) for c in entity.columns]), pl.lit("\n")])
    else:
        pairs = [pl.lit(f',"{c}":') + pl.col(c) for c in entity.columns]
        line = pl.concat_str([pl.lit("{"), pl.concat_str(pairs, ignore_nulls=True).str.slice(1), pl.lit("}\n")])
    return line.alias("line")


def _between(columns: list[pl.Expr]) -> list[pl.Expr]:
    return [part for column in columns for part in (pl.lit(","), column)][1:]


def objects(entity: Entity) -> pl.Expr:
    """One JSON line from the plain texts: as tokens and joined would give, in one pass over the many plain records."""
    parts: list[pl.Expr] = []
    pending = "{"
    for name, type_ in entity.columns.items():
        quote = '"' if type_ in (TEXT, MOMENT) else ""
        value = _escaped(name)
        opening = ("," if name != next(iter(entity.columns)) else "") + f'"{name}":{quote}'
        if name in entity.required:
            parts += [pl.lit(pending + opening), value]
            pending = quote
        else:
            pair = pl.concat_str([pl.lit(opening), value, pl.lit(quote)])
            parts += [pl.lit(pending), pair.fill_null("")]
            pending = ""
    return pl.concat_str([*parts, pl.lit(pending + "}\n")]).alias("line")


def _escaped(name: str) -> pl.Expr:
    """Text as it stands within JSON quotes; the payload is the one column whose values need escapes."""
    return pl.col(name).str.replace_many(["\\", '"'], ["\\\\", '\\"']) if name == "payload" else pl.col(name)


def broken(entity: Entity, defect: str, frame: pl.DataFrame) -> pl.DataFrame:
    """Give one column of each record (of fields or tokens) a value nobody may accept; column ``way`` says which."""
    ways = BROKEN[entity.name][defect]
    for column in dict.fromkeys(c for c, _ in ways):
        value = pl.col(column)
        for number, (spoilt, text) in enumerate(ways):
            if spoilt == column:
                value = pl.when(pl.col("way") == number).then(_literal(entity, column, text)).otherwise(value)
        frame = frame.with_columns(value.alias(column))
    return frame


def _literal(entity: Entity, column: str, text: str) -> pl.Expr:
    if entity.format == "parquet":
        return pl.lit(text or None).cast(entity.columns[column])
    if entity.format == "csv":
        return pl.lit(text)
    if not text:
        return pl.lit(None, dtype=pl.String)
    bare = text.removeprefix("-").replace(".", "", 1).isdigit() and entity.columns[column] != TEXT
    return pl.lit(text if bare else f'"{text}"')


def malformed(entity: Entity) -> pl.Expr:
    """A line that is no record, from a good ``line`` and its columns (of fields or tokens)."""
    line = pl.col("line")
    if entity.format == "csv":
        whole = pl.concat_str([pl.col(c) for c in entity.columns], separator=",").str.replace_all("\n", " ")
        few = pl.concat_str([pl.col(c) for c in list(entity.columns)[:-2]], separator=",").str.replace_all("\n", " ")
        ways = [few + "\n", whole + ",surplus,fields\n", pl.lit("\n")]
    else:
        cut = line.str.slice(0, line.str.len_chars() // 2) + "\n"
        ways = [cut, pl.lit("<html>502 Bad Gateway</html>\n"), line.str.replace("}\n", "\n", literal=True)]
    return pl.when(pl.col("way") == 0).then(ways[0]).when(pl.col("way") == 1).then(ways[1]).otherwise(ways[2])


def ill_encoded(entity: Entity) -> pl.Expr:
    """The line with one byte that is no UTF-8 within a value."""
    line = pl.col("line")
    if entity.format == "jsonl":
        return line.str.replace('":"', f'":"{BAD_BYTE}', literal=True)
    at_end = line.str.head(-1) + f"{BAD_BYTE}\n"
    return pl.when(pl.col("way") == 0).then(BAD_BYTE + line).otherwise(at_end)
