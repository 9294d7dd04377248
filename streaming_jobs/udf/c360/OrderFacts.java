package c360;

import org.apache.flink.table.annotation.ArgumentHint;
import org.apache.flink.table.annotation.ArgumentTrait;
import org.apache.flink.table.annotation.DataTypeHint;
import org.apache.flink.table.annotation.FunctionHint;
import org.apache.flink.table.annotation.StateHint;
import org.apache.flink.table.data.GenericRowData;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.data.StringData;
import org.apache.flink.table.functions.ProcessTableFunction;

/**
 * {@code order_facts(change => TABLE … PARTITION BY order_id)}: what happened to an order, each thing once: {@code placed} with the
 * first that is seen of it, at the moment that it was placed; {@code cancelled} with the first change that says so, at that moment.
 *
 * <p>Later changes, deletions, rows that are read again and replays add nothing. What is remembered of an order is two bits.
 */
@FunctionHint(
    output =
        @DataTypeHint(
            value = "ROW<fact STRING, customer_id STRING, cents BIGINT, happened BIGINT>",
            bridgedTo = RowData.class))
public final class OrderFacts extends ProcessTableFunction<RowData> {
  private static final StringData PLACED = StringData.fromString("placed");
  private static final StringData CANCELLED = StringData.fromString("cancelled");

  /** Whether the order was seen, and whether it was cancelled. */
  public static class Seen {
    public boolean placed;
    public boolean cancelled;
  }

  public void eval(
      @StateHint Seen seen,
      @ArgumentHint(
              value = ArgumentTrait.SET_SEMANTIC_TABLE,
              type =
                  @DataTypeHint(
                      value =
                          "ROW<order_id STRING, customer_id STRING, status STRING, cents BIGINT, happened BIGINT,"
                              + " changed BIGINT>",
                      bridgedTo = RowData.class))
          RowData change) {
    if (!seen.placed) {
      seen.placed = true;
      collect(GenericRowData.of(PLACED, change.getString(1), change.getLong(3), change.getLong(4)));
    }
    if (!seen.cancelled && CANCELLED.equals(change.getString(2))) {
      seen.cancelled = true;
      collect(GenericRowData.of(CANCELLED, change.getString(1), change.getLong(3), change.getLong(5)));
    }
  }
}
