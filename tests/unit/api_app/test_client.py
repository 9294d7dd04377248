"""The client against the real app and a real process: typed methods for all there is, and the same answers."""

from __future__ import annotations

import asyncio
import inspect
import shutil
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from api.client import ApiError, AsyncClient, Client, CursorExpiredError
from api.clientgen.__main__ import HERE, generated
from api.security.principal import Role
from tests.unit.api_app.test_answers import seen, served
from tests.unit.api_app.test_client_faults import answers, serving
from tests.unit.api_app.test_owasp import ROUTES, consenting

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.unit.api_app.conftest import World


def client(world: World, key: str, **more: Any) -> Client:
    """Within this process, without a connection."""
    return Client("http://testserver", key=key, http=world.client, **more)


@pytest.fixture
def address(server: dict[str, str]) -> str:
    return f"http://127.0.0.1:{server['C360_API_PORT']}"


class Statuses:
    """An HTTP client that keeps the statuses of what it was answered."""

    def __init__(self) -> None:
        self.seen: list[int] = []
        self.http = httpx2.Client(event_hooks={"response": [lambda answer: self.seen.append(answer.status_code)]})


@pytest.fixture
def statuses() -> Iterator[Statuses]:
    found = Statuses()
    with found.http:
        yield found


def test_the_committed_client_is_what_is_generated_of_this_document(world: World) -> None:
    """Else run ``make client``."""
    committed = {path.name: path.read_text(encoding="utf-8") for path in HERE.glob("[!_]*.py")}
    assert committed == generated(world.app.openapi())


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_every_operation_is_a_method_with_its_parameters(world: World, kind: type) -> None:
    methods = {name: each for name, each in vars(kind).items() if inspect.isfunction(each) and name[0] != "_"}
    assert methods.keys() - {"export_customers_arrow"} == ROUTES.keys()
    document = world.app.openapi()
    for path, each in document["paths"].items():
        for operation in each.values():
            asked = {found["name"] for found in operation.get("parameters", [])} - {"format"}
            body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
            if body:
                asked |= document["components"]["schemas"][body["$ref"].rpartition("/")[2]]["properties"].keys()
            signature = inspect.signature(methods[operation["operationId"]])
            plain = {name.replace("_", "") for name in signature.parameters} - {"self"}
            assert plain == {name.replace("_", "").lower() for name in asked}, path


def test_every_method_asks_its_operation(address: str, keys: dict[Role, str], world: World, statuses: Statuses) -> None:
    given: dict[str, Any] = {
        "customer_id": consenting(world), "product_id": "P00001", "segment": "VIP", "start": date(2025, 1, 1),
        "end": "2025-02-01",
    }  # fmt: skip
    asked: list[str] = []
    statuses.http.event_hooks["request"] = [lambda request: asked.append(f"{request.method} {request.url.path}")]
    with Client(address, key=keys[Role.PRIVACY], http=statuses.http) as privacy:
        for name, (method, path, body, _) in ROUTES.items():
            wanted = inspect.signature(getattr(Client, name)).parameters
            arguments = {key: value for key, value in given.items() if key in wanted} | (body or {})
            found = getattr(privacy, name)(**arguments)
            assert isinstance(found, dict) or list(found) is not None
            assert asked[0] == f"{method} {path.partition('?')[0].format(id=consenting(world))}"
            asked.clear()
    assert set(statuses.seen) == {200}


def test_forms_that_this_api_does_not_have_yet_are_generated_too(world: World) -> None:
    """Names that are no names of Python, lists of types, schemas without a name, streams of another kind."""
    text = {"type": "string"}
    body = {"properties": {"operationName": {"type": ["string", "null"]}, "id": text}, "required": ["id"]}
    answer = {"type": "object", "properties": {"data": {"type": ["object", "null"]}}}
    added = {
        "/v1/do": {"post": {
            "operationId": "do_it", "summary": "Do",
            "responses": {"200": {"content": {"application/json": {"schema": answer}}}},
            "requestBody": {"content": {"application/json": {"schema": body}}},
            "parameters": [{"name": "is-so", "in": "query", "schema": {"enum": ["a", "b"]}}],
        }},
        "/v1/live/{id}": {"get": {
            "operationId": "follow", "summary": "Follow", "responses": {"200": {"content": {"text/event-stream": {}}}},
            "parameters": [{"name": "id", "in": "path", "required": True, "schema": text}],
        }},
    }  # fmt: skip
    document = world.app.openapi()
    made = generated(document | {"paths": document["paths"] | added})["operations.py"]
    module: dict[str, Any] = {}
    exec(compile(made, "operations.py", "exec"), module)
    own = vars(module["Client"])
    assert own.keys() - vars(Client).keys() == {"do_it", "follow"}
    done = inspect.signature(own["do_it"])
    annotated = {name: each.annotation for name, each in done.parameters.items() if name != "self"}
    assert annotated == {"id_": "str", "is_so": "Literal['a', 'b'] | None", "operation_name": "str | None"}
    assert done.return_annotation == "dict[str, Any]"
    assert str(inspect.signature(own["follow"])) == "(self, id_: 'str') -> 'Iterator[bytes]'"
    with serving(answers(200, {"data": None}), answers(200, "x")) as server:
        following = module["Client"](server.address, key="k")
        assert following.do_it(id_="1", operation_name="o", is_so="a") == {"data": None}
        assert b"".join(following.follow("a b")) == b'"x"'
        assert server.paths == ["/v1/do?is-so=a", "/v1/live/a%20b"]
        assert server.bodies[0] == b'{"operationName":"o","id":"1"}'
        following.close()


def test_it_imports_nothing_of_the_server_and_runs_alone(tmp_path: Path) -> None:
    shutil.copytree(HERE.parent, tmp_path / "api" / "client", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "api" / "__init__.py").touch()
    code = f"""
import sys
sys.path.insert(0, {str(tmp_path)!r})
import api.client
assert api.client.__file__.startswith({str(tmp_path)!r}), api.client.__file__
print(*sorted(name for name in sys.modules if name.partition(".")[0] in {{"api", "c360", "c360_assets"}}))
print(*sorted({{"fastapi", "starlette", "pydantic", "pyarrow", "httpx", "orjson"}} & sys.modules.keys()))
"""
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    ours, others = done.stdout.splitlines()
    assert {name for name in ours.split() if not f"{name}.".startswith("api.client.")} == {"api"}
    assert others == ""


@pytest.mark.parametrize("role", [Role.PRIVACY, Role.ANALYST, Role.MARKETING])
def test_customers_are_as_the_role_may_see_them(world: World, keys: dict[Role, str], role: Role) -> None:
    asking = client(world, keys[role])
    wanted = [row for each in world.customers if (row := seen(role, each)) is not None]
    assert list(asking.search_customers(limit=7)) == wanted
    assert [asking.get_customer(row["customer_id"])["data"] for row in wanted] == wanted
    ids = [row["customer_id"] for row in world.customers]
    batch = asking.get_customers(ids=ids)
    assert batch["data"] == wanted
    assert batch["missing"] == sorted(set(ids) - {row["customer_id"] for row in wanted})


def test_filters_and_lists_of_a_customer_are_whole(world: World, keys: dict[Role, str]) -> None:
    privacy = client(world, keys[Role.PRIVACY])
    rows = world.customers
    vip = [row["customer_id"] for row in rows if row["segment"] == "VIP" and row["orders"] >= 2]
    assert vip
    assert [row["customer_id"] for row in privacy.search_customers(segment="VIP", min_orders=2, limit=1)] == vip
    wanted = {row["order_id"] for row in world.company.rows["gold.fact_orders"] if row["customer_id"] == vip[0]}
    found = [row["order_id"] for row in privacy.get_customer_orders(vip[0], limit=2)]
    assert sorted(map(str, found)) == sorted(wanted)
    assert [entry["kind"] for entry in privacy.get_customer_timeline(vip[0], limit=3)].count("orders") == len(wanted)


def test_an_export_is_all_customers_as_rows_and_as_batches(address: str, world: World, keys: dict[Role, str]) -> None:
    with Client(address, key=keys[Role.PRIVACY]) as privacy, Client(address, key=keys[Role.ANALYST]) as analyst:
        wanted = [seen(Role.PRIVACY, row) for row in world.customers]
        assert list(privacy.export_customers()) == wanted
        with privacy.export_customers_arrow(country_code="DE") as reader:
            found = [row for batch in reader for row in batch.to_pylist()]
        german = [row for row in wanted if row and row["country_code"] == "DE"]
        assert found == [row | {"customer_sk": str(row["customer_sk"])} for row in german]
        tokens = [row["customer_sk"] for row in analyst.export_customers()]
        assert tokens == analyst.export_customers_arrow().read_all()["customer_sk"].to_pylist()
        with pytest.raises(ApiError, match="422 not_valid"):
            list(privacy.export_customers(country_code="x"))


def test_the_other_client_gives_the_same(address: str, world: World, keys: dict[Role, str]) -> None:
    async def asked() -> list[object]:
        async with AsyncClient(address, key=keys[Role.PRIVACY], remember=9) as privacy:
            one = await asyncio.gather(*(privacy.get_customer(row["customer_id"]) for row in world.customers[:9]))
            again = await privacy.get_customer(world.customers[0]["customer_id"])
            listed = [row async for row in privacy.search_customers(limit=9)]
            exported = [row async for row in privacy.export_customers()]
            with pytest.raises(ApiError, match="404 not_found"):
                await privacy.get_customer("C9999999")
            return [[each["data"] for each in one], again["data"], listed, exported]

    rows = [seen(Role.PRIVACY, row) for row in world.customers]
    assert asyncio.run(asked()) == [rows[:9], rows[0], rows, rows]


def test_what_has_not_changed_is_not_sent_again(
    address: str, world: World, keys: dict[Role, str], statuses: Statuses
) -> None:
    customer, other = (row["customer_id"] for row in world.customers[:2])
    with Client(address, key=keys[Role.SUPPORT], http=statuses.http, remember=1) as support:
        first = support.get_customer(customer)
        first["data"]["segment"] = "changed by the caller"
        assert support.get_customer(customer)["data"]["segment"] != "changed by the caller"
        assert statuses.seen == [200, 304]
        support.get_customer(other)
        support.get_customer(customer)
        assert statuses.seen == [200, 304, 200, 200]


def test_a_refusal_says_what_and_never_with_which_key(world: World, keys: dict[Role, str]) -> None:
    key = keys[Role.SUPPORT]
    support = client(world, key)
    with pytest.raises(ApiError) as found:
        support.get_customer("C9999999")
    assert (found.value.status, found.value.code) == (404, "not_found")
    assert found.value.detail == "There is no such customer, or you may not see it."
    assert len(found.value.request_id) == 32
    with pytest.raises(ApiError, match="403") as denied:
        list(support.search_customers())
    with pytest.raises(ApiError, match=r"422 not_valid.*query\.limit: Input should be") as bounds:
        list(support.list_products(limit=1_000))
    with pytest.raises(ApiError, match="401 malformed") as wrong:
        client(world, "mine-alone").list_tables()
    for error in (found.value, denied.value, bounds.value, wrong.value):
        assert "mine-alone" not in f"{error!r} {error} {vars(error)}"
        assert key not in f"{error!r} {error} {vars(error)}"
    assert key not in f"{support!r}"


def test_tokens_and_purposes(world: World, keys: dict[Role, str]) -> None:
    given = iter([keys[Role.SUPPORT], "revoked"])
    renewed = Client("http://testserver", token=lambda: next(given), http=world.client)
    assert renewed.list_tables()["data"]
    with pytest.raises(ApiError, match="401"):
        renewed.list_tables()
    assert client(world, keys[Role.MARKETING], purpose="marketing").list_segments()["data"]
    with pytest.raises(ApiError, match="403 purpose_not_granted"):
        client(world, keys[Role.MARKETING], purpose="privacy").list_segments()


def test_what_cannot_be_meant_is_refused_before_it_is_asked(world: World, keys: dict[Role, str]) -> None:
    support = client(world, keys[Role.SUPPORT])
    for name in ("", ".", ".."):
        with pytest.raises(ValueError, match="customer_id"):
            support.get_customer(name)
    with pytest.raises(ApiError, match=r"404|422"):
        support.get_customer("../tables")
    with pytest.raises(ValueError, match="no time zone"):
        support.get_customer("C0000001", as_of=datetime(2025, 1, 1))  # noqa: DTZ001
    for given in ({}, {"key": "k", "token": "t"}, {"key": ""}, {"key": "k", "total": 0}, {"key": "k", "retries": -1}):
        with pytest.raises(ValueError, match=r"give either|greater than 0"):
            Client("https://c360.example.com", **given)
    for address in ("c360.example.com", "ftp://c360.example.com", "https://u:p@c360.example.com"):
        with pytest.raises(ValueError, match="base_url"):
            Client(address, key="k")


def test_as_of_and_lists_stay_in_their_release_until_it_is_gone(world: World, keys: dict[Role, str]) -> None:
    privacy = client(world, keys[Role.PRIVACY])
    row = world.customers[0]
    then, before = datetime.now(UTC).astimezone(), str(row["loyalty_tier"])
    pages = privacy.search_customers(limit=15).pages()
    first = next(pages)
    row["loyalty_tier"] = "changed"
    assert served(world, world.publish())
    assert privacy.get_customer(row["customer_id"])["data"]["loyalty_tier"] == "changed"
    old = privacy.get_customer(row["customer_id"], as_of=then)
    assert (old["data"]["loyalty_tier"], old["release"]) == (before, first["release"])
    assert privacy.get_customer(row["customer_id"], as_of=then.isoformat()) == old
    with pytest.raises(ApiError, match="422 as_of_not_valid"):
        privacy.get_customer(row["customer_id"], as_of=datetime.now(UTC) + timedelta(days=1))
    rest = list(pages)
    assert [page["release"] for page in rest] == [first["release"]] * 2
    found = [each["customer_id"] for page in (first, *rest) for each in page["data"]]
    assert found == [each["customer_id"] for each in world.customers]
    assert list(privacy.search_customers(limit=15, cursor=first["next"])) == [e for page in rest for e in page["data"]]

    items = iter(privacy.search_customers(limit=15))
    begun = [next(items) for _ in range(15)]
    gone = world.state.serving.now().id
    assert served(world, world.publish())
    shutil.rmtree(world.store.folder / gone)
    while world.state.serving._indexed(gone) is not None:
        pass
    with pytest.raises(CursorExpiredError, match="begin again without a cursor") as expired:
        next(items)
    assert (expired.value.status, len(begun)) == (410, 15)
