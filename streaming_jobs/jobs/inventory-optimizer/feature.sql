-- A line belongs to its order, which says when it was sold and whether it was cancelled; what else changes stands alone.
CREATE TEMPORARY VIEW change_of_owner AS
SELECT CASE kind WHEN 'order_items' THEN 'orders' ELSE kind END AS owner_kind,
  CASE kind WHEN 'stock' THEN part_id WHEN 'products' THEN product_id ELSE order_id END AS owner,
  kind, part_id, product_id, status, category, quantity, happened, changed
FROM change_of_shop;

CREATE TEMPORARY VIEW product_fact AS
SELECT product_id, fact, moment, about, units, category, status
FROM product_facts(
  change => TABLE change_of_owner PARTITION BY (owner_kind, owner), uid => 'product-facts');

CREATE TEMPORARY VIEW inventory_insights_rows AS
SELECT product_id, category, product_status, stock_on_hand, units_sold_7d, units_per_day, days_until_stock_out, status,
  dead_stock, last_sold_at, restock_quantity, restock_urgency, effective_at, version
FROM inventory_insights(
  fact => TABLE product_fact PARTITION BY product_id, uid => 'inventory-insights');
