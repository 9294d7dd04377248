-- The model is part of the SQL: another one is a changed job, which `c360 streams upgrade` brings into operation with its state.
CREATE TEMPORARY VIEW churn_scores_rows AS
SELECT customer_id, churn_score(orders, spend, last_order_at, effective_at, ${model}) AS score,
  ${model_version} AS model_version, effective_at, version
FROM segment_of_customer;
