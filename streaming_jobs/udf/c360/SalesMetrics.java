package c360;

import java.util.Arrays;
import org.apache.flink.table.annotation.ArgumentHint;
import org.apache.flink.table.annotation.ArgumentTrait;
import org.apache.flink.table.annotation.DataTypeHint;
import org.apache.flink.table.annotation.FunctionHint;
import org.apache.flink.table.annotation.StateHint;
import org.apache.flink.table.data.DecimalData;
import org.apache.flink.table.data.GenericRowData;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.data.StringData;
import org.apache.flink.table.data.TimestampData;
import org.apache.flink.table.functions.ProcessTableFunction;

/**
 * {@code sales_metrics(news => TABLE … PARTITION BY block)}: the windows of an hour each that begin in one hour, every
 * five minutes. A row when the window is over, and another when the clock moves after something came later.
 */
@FunctionHint(
    output =
        @DataTypeHint(
            value =
                "ROW<metric_id STRING, window_start TIMESTAMP_LTZ(6), window_end TIMESTAMP_LTZ(6), orders BIGINT,"
                    + " cancellations BIGINT, revenue DECIMAL(18, 2), average_order_value DOUBLE,"
                    + " unique_customers BIGINT, effective_at TIMESTAMP_LTZ(6), version BIGINT>",
            bridgedTo = RowData.class))
public final class SalesMetrics extends ProcessTableFunction<RowData> {
  private static final int ORDERS = 0;
  private static final int CENTS = 1;
  private static final int CANCELLED = 2;
  private static final int CUSTOMERS = 3;
  private static final int TOLD = 4;
  private static final int SIZE = 5;
  private static final int TO_SECONDS = 19;

  /**
   * {@code windows}: 12 times orders, cents, cancellations, customers, and of how many changes the last row was made. {@code first}:
   * the pane that the first of them begins with. {@code late}: when late news is told.
   */
  public static class Block {
    public long first;
    public byte[] windows;
    public long late;
  }

  public void eval(
      Context context,
      @StateHint Block block,
      @ArgumentHint(
              value = ArgumentTrait.SET_SEMANTIC_TABLE,
              type =
                  @DataTypeHint(
                      value = "ROW<block BIGINT, pane BIGINT, sums BYTES>",
                      bridgedTo = RowData.class))
          RowData news) {
    TimeContext<Long> time = context.timeContext(Long.class);
    long now = Moments.watermark(time);
    long first = news.getLong(0) * PaneSums.WINDOWS;
    long pane = news.getLong(1);
    long[] sums = PaneSums.read(news.getBinary(2));
    long[] windows = PaneSums.read(block.windows, PaneSums.WINDOWS * SIZE);
    long from = Math.max(first, pane - PaneSums.WINDOWS + 1);
    long to = Math.min(first + PaneSums.WINDOWS - 1, pane);
    boolean late = false;
    for (long start = from; start <= to; start++) {
      int at = (int) (start - first) * SIZE;
      boolean begins = windows[at + ORDERS] + windows[at + CANCELLED] == 0;
      windows[at + ORDERS] += sums[PaneSums.ORDERS];
      windows[at + CENTS] += sums[PaneSums.CENTS];
      windows[at + CANCELLED] += sums[PaneSums.CANCELLED];
      windows[at + CUSTOMERS] += sums[PaneSums.FRESH + (int) (start - pane) + PaneSums.WINDOWS - 1];
      long end = end(start) / 1000;
      late |= end <= now;
      if (begins && end > now) {
        time.registerOnTime(end);
      }
    }
    block.first = first;
    block.windows = PaneSums.write(windows);
    if (late && block.late <= now) {
      block.late = now + 1;
      time.registerOnTime(block.late);
    }
  }

  public void onTimer(OnTimerContext context, Block block) {
    long now = Moments.watermark(context.timeContext(Long.class));
    long[] windows = PaneSums.read(block.windows, PaneSums.WINDOWS * SIZE);
    for (int i = 0; i < PaneSums.WINDOWS; i++) {
      long[] window = Arrays.copyOfRange(windows, i * SIZE, (i + 1) * SIZE);
      long version = window[ORDERS] + window[CANCELLED];
      if (version > window[TOLD] && end(block.first + i) / 1000 <= now) {
        tell(block.first + i, window, version);
        windows[i * SIZE + TOLD] = version;
      }
    }
    block.windows = PaneSums.write(windows);
  }

  private static long end(long start) {
    return (start + PaneSums.WINDOWS) * PaneSums.PANE;
  }

  private void tell(long start, long[] window, long version) {
    TimestampData end = Moments.data(end(start));
    long orders = window[ORDERS];
    byte[] id = Arrays.copyOf(Moments.text(start * PaneSums.PANE), TO_SECONDS + 1);
    id[TO_SECONDS] = 'Z';
    collect(
        GenericRowData.of(
            StringData.fromBytes(id),
            Moments.data(start * PaneSums.PANE),
            end,
            orders,
            window[CANCELLED],
            DecimalData.fromUnscaledLong(window[CENTS], 18, 2),
            orders == 0 ? null : window[CENTS] / 100.0 / orders,
            window[CUSTOMERS],
            end,
            version));
  }
}
