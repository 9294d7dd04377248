package c360;

import org.apache.flink.table.annotation.DataTypeHint;
import org.apache.flink.table.annotation.FunctionHint;
import org.apache.flink.table.data.GenericRowData;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.data.StringData;
import org.apache.flink.table.functions.FunctionContext;
import org.apache.flink.table.functions.ScalarFunction;

/**
 * {@code read_shop_change(topic, value)}: one message of the shop's capture as one row, whatever the message.
 *
 * <p>{@code kind} is the table, {@code heartbeat}, or null where nothing can be learnt from the message: a tombstone, a deletion
 * without the old row, or one that is refused for a {@code reason}. Amounts are whole cents, moments microseconds since 1970;
 * {@code changed} is 0 where there is none. Never throws for what is in a message.
 */
public final class ReadShopChange extends ScalarFunction {
  private transient ShopChangeReader reader;
  // The planner writes one call for each field that a statement reads: all but the first find the row here.
  private transient byte[] lastValue;
  private transient RowData lastRow;

  @Override
  public void open(FunctionContext context) {
    reader = new ShopChangeReader();
    lastValue = null;
    lastRow = null;
  }

  @FunctionHint(
      input = {@DataTypeHint(value = "STRING", bridgedTo = StringData.class), @DataTypeHint("BYTES")},
      output =
          @DataTypeHint(
              value =
                  "ROW<kind STRING, order_id STRING, customer_id STRING, product_id STRING, part_id STRING, status STRING,"
                      + " category STRING, quantity BIGINT, cents BIGINT, happened BIGINT, changed BIGINT,"
                      + " reason STRING>",
              bridgedTo = RowData.class))
  public RowData eval(StringData topic, byte[] value) {
    if (value != null && value == lastValue) {
      return lastRow;
    }
    GenericRowData row = reader.read(topic.toString(), value);
    lastValue = value;
    lastRow = row;
    return row;
  }
}
