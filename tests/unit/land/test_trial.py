"""The dry run: every record accounted for, rejected ones found again in the source file, nothing written."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest
from typer import Typer
from typer.testing import CliRunner

from c360.cli.land import register
from c360.errors import C360Error
from c360.ingest.land import plan
from c360.ingest.mapping_trial import Trial, try_out

Write = Callable[..., Path]
MAPPING = """\
version: 1
target: shop.orders
where: Test IS DISTINCT FROM 'yes'
columns:
  order_id: Nr
  customer_id: Kunde
  ordered_at: {from: Datum, formats: "%d.%m.%Y"}
  status: Status
  currency: {value: USD}
  shipping_amount: {from: Versand, decimal: ","}
  updated_at: {from: Datum, formats: "%d.%m.%Y"}
"""
DATA = """\
Nr,Kunde,Datum,Status,Versand,Test
1,K1,01.02.2024,PAID,"4,95",
2,,01.02.2024,paid,"4,95",
3,K3,31.02.2024,paid,"4,95",
4,"K
4",01.02.2024,lost,"4,95",
1,K1,01.02.2024, paid ,"4,950",
5,K5,01.02.2024,paid,"4.95",
1,K9,01.02.2024,paid,"4,95",
6,K6,01.02.2024,paid,"1,00",yes
only,three,fields
7,K7,01.02.2024,paid,-1,
"""


@pytest.fixture
def trial(write: Write) -> Trial:
    return try_out(plan(write("o.csv", DATA), "shop.orders", write("m.yaml", MAPPING)))


def test_every_record_has_one_outcome(trial: Trial) -> None:
    assert (trial.tally.read, trial.tally.filtered, trial.tally.malformed) == (10, 1, 1)
    assert trial.received == 9 == trial.accepted + trial.deduplicated + trial.rejected
    assert (trial.accepted, trial.deduplicated) == (1, 1)
    assert trial.complete
    assert trial.rejected_share == pytest.approx(7 / 9)


def test_rejections_lead_back_to_the_line_and_the_value(trial: Trial) -> None:
    found = {(r.reason, r.column): [(s.place, s.value) for s in r.samples] for r in trial.rejections}
    (conflict,), (missing,) = found.pop(("conflicting_duplicate", None)), found.pop(("missing_required", "customer_id"))
    assert conflict[0] == "line 9"
    assert missing[0] == "line 3"
    assert missing[1] is not None
    assert '"order_id":"2"' in missing[1]  # without a value of its own, the whole record is shown
    assert found == {
        ("bad_type", "ordered_at"): [("line 4", "?31.02.2024")],
        ("not_allowed", "status"): [("line 5", "lost")],
        ("bad_type", "shipping_amount"): [("line 8", "?4.95")],
        ("malformed_record", None): [("line 11", '"only,three,fields"')],
        ("out_of_range", "shipping_amount"): [("line 12", "-1")],
    }
    assert [(s.place, s.key) for s in trial.duplicates] == [("line 7", "1|2024-02-01T00:00:00.000000Z")]


def test_repairs_are_shown_by_column(trial: Trial) -> None:
    (repair,) = trial.repairs
    assert (repair.column, repair.count, repair.examples) == ("status", 1, (("PAID", "paid"),))


def test_columns_left_aside_are_said(trial: Trial) -> None:
    assert trial.unused == ()
    assert trial.unmapped == ("channel", "location_id")


def test_a_sample_says_that_it_is_one(write: Write) -> None:
    seen = try_out(plan(write("o.csv", DATA), None, write("m.yaml", MAPPING)), sample=2)
    assert not seen.complete
    assert (seen.tally.read, seen.tally.malformed) == (2, 0)  # not the malformed record of line 11
    assert (seen.accepted, seen.rejected) == (1, 1)
    assert try_out(plan(write("o.csv", DATA), None, write("m.yaml", MAPPING)), sample=None).complete


@pytest.fixture
def app() -> Typer:
    made = Typer()
    register(made)
    return made


def test_a_dry_run_writes_nothing_anywhere(
    write: Write, app: Typer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, mapping, scratch = write("o.csv", DATA), write("m.yaml", MAPPING), tmp_path / "scratch"
    scratch.mkdir()
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("C360_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    monkeypatch.chdir(tmp_path / "home")
    before = {
        p: (p.stat().st_mtime_ns, p.read_bytes() if p.is_file() else b"") for p in tmp_path.rglob("*") if p != scratch
    }
    done = CliRunner().invoke(app, ["land", str(data), "--as", "shop.orders", "--mapping", str(mapping), "--dry-run"])
    assert done.exit_code == 1  # seven of nine is above the default share
    assert "nothing was written" in done.output
    assert {
        p: (p.stat().st_mtime_ns, p.read_bytes() if p.is_file() else b"") for p in tmp_path.rglob("*") if p != scratch
    } == before
    for words in (
        "line 4",
        "?31.02.2024",
        "not_allowed in status",
        "1 of 10 records left out by `where`",
        "'PAID' → 'paid'",
    ):
        assert words.replace(" ", "") in done.output.replace(" ", "").replace("\n", "")


@pytest.mark.parametrize(("share", "code"), [("0.8", 0), ("0.77", 1), ("0", 1), ("1", 0)])
def test_the_exit_code_follows_the_share(write: Write, app: Typer, share: str, code: int) -> None:
    arguments = ["land", str(write("o.csv", DATA)), "--as", "shop.orders", "--mapping", str(write("m.yaml", MAPPING))]
    done = CliRunner().invoke(app, [*arguments, "--dry-run", "--json", "--max-rejected", share])
    assert done.exit_code == code
    body = json.loads(done.output)
    assert body["rejected"] == 7
    assert body["above_max_rejected"] is (code == 1)


def test_too_many_rejected_land_nothing_and_few_land(
    write: Write, app: Typer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("C360_HOME", str(tmp_path / "home"))
    arguments = ["land", str(write("o.csv", DATA)), "--as", "shop.orders", "--mapping", str(write("m.yaml", MAPPING))]
    assert CliRunner().invoke(app, [*arguments, "--max-rejected", "0.5"]).exit_code == 1
    assert not (tmp_path / "home").exists()
    done = CliRunner().invoke(app, [*arguments, "--max-rejected", "0.9", "--batch-date", "2024-05-01"])
    assert done.exit_code == 0, done.output
    assert len(list((tmp_path / "home/landing/shop/orders/2024-05-01").iterdir())) == 2
    again = CliRunner().invoke(app, [*arguments, "--batch-date", "2024-05-01"])
    assert "has landed before" in again.output


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (["--batch-date", "1.5.2024"], "YYYY-MM-DD"),
        (["--lookup", "nation"], "NAME=PATH"),
        (["--as", "shop.order"], "did you mean"),
    ],
)
def test_wrong_options_are_refused(write: Write, app: Typer, options: list[str], word: str) -> None:
    arguments = ["land", str(write("o.csv", DATA)), "--as", "shop.orders", "--mapping", str(write("m.yaml", MAPPING))]
    done = CliRunner().invoke(app, [*arguments, *options])
    assert isinstance(done.exception, C360Error)
    assert word in str(done.exception)


def test_the_trial_is_plain_data(trial: Trial) -> None:
    assert json.loads(json.dumps(asdict(trial)))["target"] == "shop.orders"
