#!/usr/bin/env bash
# Generate TPC-H and land its five tables. Usage: docs/examples/tpch/land.sh [SCALE] [RAW_FOLDER]
# Needs `c360` and `tpchgen-cli` on PATH (`source .venv/bin/activate` puts both there).
set -euo pipefail

scale=${1:-0.1}
raw=${2:-${C360_HOME:-.c360}/tpch}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
day=2025-01-01 # the first landing day of the asset graph

tpchgen-cli csv --scale-factor "$scale" --output-dir "$raw" --overwrite --no-progress \
    --tables customer,nation,region,part,orders,lineitem

land() {
    c360 land "$raw/$1" --as "$2" --mapping "$here/$3" --batch-date "$day" --max-rejected 0
}
land customer.csv crm.customers customers.yaml
land customer.csv crm.locations locations.yaml
land part.csv catalog.products products.yaml
land orders.csv shop.orders orders.yaml
land lineitem.csv shop.order_items order_items.yaml
