"""A table follows its contract: columns are added and widened, partitions changed; a breaking change is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyiceberg.exceptions import ResolveError
from pyiceberg.schema import promote
from pyiceberg.table.update.schema import UpdateSchema
from pyiceberg.table.update.spec import UpdateSpec

from c360.contracts import to_iceberg_schema, to_partition_spec, to_properties
from c360.errors import ContractError

if TYPE_CHECKING:
    from pyiceberg.schema import Schema
    from pyiceberg.table import Table, Transaction

    from c360.contracts import Contract


def evolve(table: Table, contract: Contract) -> Transaction | None:
    """The change that brings ``table`` to ``contract``; None when it is there already.

    Raises ContractError when a column was dropped, narrowed, or newly required.
    """
    transaction = table.transaction()
    wanted = to_iceberg_schema(contract)
    broken = refusals(table.schema(), wanted)
    if broken:
        raise ContractError(
            f"Contract {contract.name} {contract.version} breaks its table: {'; '.join(broken)}",
            "keep the column, or give the changed table a new name",
        )
    _evolve_columns(transaction, table.schema(), wanted)
    _evolve_partitions(transaction, contract)
    properties = {k: v for k, v in to_properties(contract).items() if k != "format-version"}
    changed = {key: value for key, value in properties.items() if table.properties.get(key) != value}
    if changed:
        transaction.set_properties(changed)
    return transaction if transaction._updates else None


def refusals(current: Schema, wanted: Schema) -> list[str]:
    """Why ``wanted`` cannot replace ``current``, one phrase each; empty if it can."""
    found = []
    for field in current.fields:
        if field.name not in wanted.column_names:
            found.append(f"column {field.name} is gone")
            continue
        new = wanted.find_field(field.name)
        if new.required and field.optional:
            found.append(f"column {field.name} became required")
        if new.field_type != field.field_type:
            try:
                promote(field.field_type, new.field_type)
            except ResolveError:
                found.append(f"column {field.name} changed from {field.field_type} to {new.field_type}")
    found += [
        f"new column {f.name} is required" for f in wanted.fields if f.name not in current.column_names and f.required
    ]
    return found


def _evolve_columns(transaction: Transaction, current: Schema, wanted: Schema) -> None:
    update = UpdateSchema(transaction)
    touched = False
    for i, field in enumerate(wanted.fields):
        if field.name not in current.column_names:
            update.add_column(field.name, field.field_type, doc=field.doc)
            if i == 0:
                update.move_first(field.name)
            else:
                update.move_after(field.name, wanted.fields[i - 1].name)
            touched = True
            continue
        old = current.find_field(field.name)
        if old.field_type != field.field_type or (old.doc or None) != (field.doc or None):
            update.update_column(field.name, field.field_type, doc=field.doc)
            touched = True
        if old.required and field.optional:
            identifiers = set(current.identifier_field_names()) - {field.name}
            if identifiers != set(current.identifier_field_names()):
                update.set_identifier_fields(*identifiers)
            update.make_column_optional(field.name)
            touched = True
    if touched:
        update.commit()


def _evolve_partitions(transaction: Transaction, contract: Contract) -> None:
    metadata = transaction.table_metadata
    schema, spec = metadata.schema(), metadata.spec()
    wanted = {(f.source_id, f.transform): f.name for f in to_partition_spec(contract, schema).fields}
    current = {(f.source_id, f.transform): f.name for f in spec.fields}
    if wanted.keys() == current.keys():
        return
    update = UpdateSpec(transaction)
    for key, name in current.items():
        if key not in wanted:
            update.remove_field(name)
    for key, name in wanted.items():
        if key not in current:
            column = schema.find_column_name(key[0])
            assert column is not None
            update.add_field(column, key[1], name)
    update.commit()
