"""Landing: complete or not at all, once only, and the same bytes every time."""

from __future__ import annotations

import hashlib
import os
import resource
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from c360.errors import LandingError
from c360.ingest import land as module
from c360.ingest.land import Landed, land, plan
from c360.ingest.mapping import MappingError
from c360.ingest.mapping_target import find_target
from c360.ingest.readers import read_landing_file

Write = Callable[..., Path]
DAY = date(2024, 5, 1)
MAPPING = """\
version: 1
target: catalog.stock
columns:
  movement_id: {key: "M{id}"}
  product_id: sku
  warehouse: {value: main}
  movement_type: {from: t, map: {S: sale}}
  quantity: {from: q, multiply: -1}
  moved_at: {from: d, formats: "%d.%m.%Y"}
"""
DATA = "id,sku,t,q,d\n1,A,S,2,01.02.2024\n2,B,S,x,02.02.2024\n"


def tree(root: Path) -> dict[str, str]:
    """Every file and folder below, with the digest of its content."""
    return {
        p.relative_to(root).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() if p.is_file() else "folder"
        for p in sorted(root.rglob("*"))
    }


@pytest.fixture
def landing(tmp_path: Path) -> Path:
    return tmp_path / "landing"


@pytest.fixture
def once(write: Write, landing: Path) -> Callable[..., Landed]:
    def run(
        data: str | bytes = DATA, mapping: str = MAPPING, name: str = "stock export.csv", day: date = DAY
    ) -> Landed:
        return land(plan(write(name, data), "catalog.stock", write("m.yaml", mapping)), landing, day)

    return run


def test_the_landed_file_has_the_contracts_columns_as_text(once: Callable[..., Landed], landing: Path) -> None:
    landed = once()
    (name,) = landed.files
    assert name.startswith("catalog/stock/2024-05-01/stock_export-")
    assert not landed.already
    table = pq.read_table(landing / name)
    assert table.column_names == list(find_target("catalog.stock").fields)
    assert {str(t) for t in table.schema.types} == {"string"}
    assert [tuple(row.values()) for row in table.to_pylist()] == [
        ("M1", "A", "main", "sale", "-2", "2024-02-01T00:00:00.000000Z"),
        ("M2", "B", "main", "sale", "?x", "2024-02-02T00:00:00.000000Z"),
    ]
    assert landed.tally.unreadable == {"quantity": 1}
    assert landed.unused == ()


def test_landing_again_is_a_no_op_on_any_day(once: Callable[..., Landed], landing: Path) -> None:
    first = once()
    before, stamps = tree(landing), {p: p.stat().st_mtime_ns for p in landing.rglob("*")}
    again = once()
    later = once(day=date(2024, 6, 1))
    reworded = once(
        mapping="# the same, said otherwise\n" + MAPPING.replace('formats: "%d.%m.%Y"', "formats: ['%d.%m.%Y']")
    )
    for landed in (again, later, reworded):
        assert landed.already
        assert landed.files == first.files
    assert tree(landing) == before
    assert {p: p.stat().st_mtime_ns for p in landing.rglob("*")} == stamps


def test_the_same_bytes_every_time(once: Callable[..., Landed], landing: Path) -> None:
    once()
    first = tree(landing)
    for file in landing.rglob("*.parquet"):
        file.unlink()
    once()
    assert tree(landing) == first


def test_other_content_or_mapping_gets_another_file(once: Callable[..., Landed], landing: Path) -> None:
    files = {
        once().files,
        once(data=DATA + "3,C,S,1,03.02.2024\n").files,
        once(mapping=MAPPING.replace("main", "east")).files,
    }
    assert len(files) == 3
    assert len(list(landing.rglob("*.parquet"))) == 3


def test_a_digest_that_collides_in_its_first_digits_gets_a_longer_name(
    once: Callable[..., Landed], landing: Path, write: Write
) -> None:
    (name,) = once().files
    other = plan(write("stock export.csv", DATA + "3,C,S,1,03.02.2024\n"), None, write("m.yaml", MAPPING))
    digest = Path(name).stem.rpartition("-")[2]
    collided = module.Plan(
        other.path, other.mapping, other.target, other.lookups, digest + other.digest[8:], other.stats
    )
    landed = land(collided, landing, DAY)
    assert not landed.already
    assert landed.files == (f"catalog/stock/2024-05-01/stock_export-{collided.digest}.parquet",)


def test_records_that_do_not_split_land_as_malformed(once: Callable[..., Landed], landing: Path) -> None:
    landed = once('id,sku,t,q,d\n1,A,S,2,01.02.2024\nbro"ken,"x"\n2,B\n4,B,S,1,02.02.2024\n')
    assert (landed.tally.read, landed.tally.written, landed.tally.malformed) == (4, 2, 2)
    main, bad = sorted(landed.files, key=len)
    assert bad == main.removesuffix(".parquet") + ".malformed.csv"
    bronze = read_landing_file(landing / bad, bad, find_target("catalog.stock").bronze, DAY)
    assert bronze.column("_error").to_pylist() == ["malformed_record"] * 2
    assert [(raw or "").strip('"') for raw in bronze.column("_raw").to_pylist()] == ['bro""ken,""x', "2,B"]
    assert once('id,sku,t,q,d\n1,A,S,2,01.02.2024\nbro"ken,"x"\n2,B\n4,B,S,1,02.02.2024\n').files == landed.files


@pytest.mark.parametrize(
    ("data", "mapping", "word"),
    [
        (DATA, MAPPING.replace("columns:", "where: id = 'none'\ncolumns:"), "2 filtered out by `where`"),
        ("id,sku,t,q,d\n1\n2\n", MAPPING, "2 not splittable"),
        ("id,sku,t,q,d\n", MAPPING, "the file has none"),
        (
            DATA,
            MAPPING.replace("product_id: sku", "product_id: {expr: 'number(sku)::VARCHAR'}"),
            "line 2: an expression fails",
        ),
        (DATA.encode() + b"3,\xff,S,1,01.02.2024\n", MAPPING, "line 4 has a byte that is not utf-8"),
        (DATA + '3,"A,S,1,01.02.2024\n', MAPPING, "line 4: a quote opens"),
        (DATA, MAPPING.replace("sku", "skuu"), "did you mean 'sku'"),
        ("", MAPPING, "is empty"),
    ],
)
def test_a_refusal_leaves_nothing_behind(
    once: Callable[..., Landed], tmp_path: Path, landing: Path, data: str | bytes, mapping: str, word: str
) -> None:
    with pytest.raises((LandingError, MappingError), match=word):
        once(data, mapping)
    assert not landing.exists()


def test_an_interruption_leaves_nothing_behind(write: Write, landing: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepared = plan(write("s.csv", DATA), None, write("m.yaml", MAPPING))

    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        land(prepared, landing, DAY, interrupted)
    assert not landing.exists()


def test_a_file_that_changes_meanwhile_is_refused(write: Write, landing: Path) -> None:
    path = write("s.csv", DATA)
    prepared = plan(path, None, write("m.yaml", MAPPING))
    path.write_text(DATA + "3,C,S,1,03.02.2024\n")
    with pytest.raises(LandingError, match="changed while it was read"):
        land(prepared, landing, DAY)
    assert not landing.exists()


def test_leftovers_of_killed_runs_are_swept_when_old(once: Callable[..., Landed], landing: Path) -> None:
    day = landing / "catalog/stock/2024-05-01"
    day.mkdir(parents=True)
    old, fresh = day / ".x.parquet.1a.part", day / ".y.parquet.2b.part"
    for part in (old, fresh):
        part.write_bytes(b"half")
    os.utime(old, (time.time() - 90_000,) * 2)
    once()
    assert not old.exists()
    assert fresh.exists()


def test_a_damaged_landed_file_is_not_taken_for_the_real_one(once: Callable[..., Landed], landing: Path) -> None:
    (name,) = once().files
    (landing / name).write_bytes(b"PAR1")
    with pytest.raises(LandingError, match="is damaged"):
        once()


@pytest.mark.parametrize(
    ("lookups", "word"), [({}, "n.csv of the look-up 'n' is missing"), ({"m": Path("x")}, "no look-up 'm'")]
)
def test_lookup_files_must_be_there(write: Write, lookups: dict[str, Path], word: str) -> None:
    mapping = MAPPING.replace("columns:", "lookups: {n: {file: n.csv, on: {sku: id}}}\ncolumns:")
    with pytest.raises((LandingError, MappingError), match=word):
        plan(write("s.csv", DATA), None, write("m.yaml", mapping), lookups)


def test_lookup_files_are_part_of_the_identity(write: Write, landing: Path) -> None:
    mapping = write(
        "maps/m.yaml",
        MAPPING.replace("columns:", "lookups: {n: {file: n.csv, on: {sku: id}}}\ncolumns:").replace(
            "{value: main}", "n.w"
        ),
    )
    data = write("s.csv", DATA)
    write("maps/n.csv", "id,w\nA,w1\nB,w1\n")
    first = land(plan(data, None, mapping), landing, DAY)
    write("maps/n.csv", "id,w\nA,w1\nB,w2\n")
    second = land(plan(data, None, mapping), landing, DAY)
    given = plan(data, None, mapping, {"n": write("elsewhere.csv", "id,w\nA,w1\nB,w1\n")})
    assert not second.already
    assert land(given, landing, DAY).files == first.files


def test_an_unwritable_landing_folder(write: Write, tmp_path: Path) -> None:
    prepared = plan(write("s.csv", DATA), None, write("m.yaml", MAPPING))
    blocked = write("landing", "a file in its place")
    with pytest.raises(LandingError, match="cannot be written"):
        land(prepared, blocked, DAY)
    assert blocked.read_text() == "a file in its place"


@pytest.fixture
def ordinary_user() -> Iterator[None]:
    """The superuser may write everywhere, so become somebody else for a while."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    yield
    os.seteuid(user)


def test_a_read_only_landing_folder(write: Write, request: pytest.FixtureRequest) -> None:
    prepared = plan(write("s.csv", DATA), None, write("m.yaml", MAPPING))
    with tempfile.TemporaryDirectory() as folder:
        landing = Path(folder)
        landing.chmod(0o555)
        request.getfixturevalue("ordinary_user")
        with pytest.raises(LandingError, match=r"cannot be written: Permission denied.*C360_LANDING"):
            land(prepared, landing, DAY)
        assert tree(landing) == {}
        os.seteuid(os.getuid())


def test_a_read_only_file_system(write: Write) -> None:
    prepared = plan(write("s.csv", DATA), None, write("m.yaml", MAPPING))
    with pytest.raises(LandingError, match="cannot be written"):
        land(prepared, Path("/proc/landing"), DAY)


def test_a_full_disk_leaves_nothing_behind(write: Write, landing: Path) -> None:
    """A limit on the file size fails the same write calls as a full disk, without needing a file system of its own."""
    rows = "".join(f"{n},{hashlib.md5(str(n).encode()).hexdigest()},S,1,01.02.2024\n" for n in range(40_000))
    data, mapping = write("s.csv", "id,sku,t,q,d\n" + rows), write("m.yaml", MAPPING)
    landing.mkdir()
    script = textwrap.dedent(f"""
        import signal, sys, resource
        from datetime import date
        from pathlib import Path
        from c360.errors import LandingError
        from c360.ingest.land import land, plan
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        sys.dont_write_bytecode = True
        prepared = plan(Path({str(data)!r}), None, Path({str(mapping)!r}))
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
        try:
            land(prepared, Path({str(landing)!r}), date(2024, 5, 1))
        except LandingError as error:
            print(error)
            sys.exit(3)
    """)
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert done.returncode == 3, done.stderr
    assert "no space left" in done.stdout
    assert tree(landing) == {}
