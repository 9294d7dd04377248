package c360;

import java.util.Map;
import org.apache.flink.table.annotation.ArgumentHint;
import org.apache.flink.table.annotation.ArgumentTrait;
import org.apache.flink.table.annotation.DataTypeHint;
import org.apache.flink.table.annotation.FunctionHint;
import org.apache.flink.table.annotation.StateHint;
import org.apache.flink.table.api.dataview.MapView;
import org.apache.flink.table.data.GenericRowData;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.data.StringData;
import org.apache.flink.table.functions.ProcessTableFunction;

/**
 * {@code sales_panes(fact => TABLE … PARTITION BY shard)}: what happened to the customers of a shard in each five
 * minutes, once when these are over and once more whenever the clock moves after something came later; each time only what is new.
 *
 * <p>A customer counts once in each window: the panes in which he ordered are remembered as bits, 64 to a number, so that a
 * customer with any number of orders costs each of them the same. Rows go to the block (12 windows that begin in one hour) of each
 * window: most panes belong to two.
 */
@FunctionHint(output = @DataTypeHint(value = "ROW<block BIGINT, pane BIGINT, sums BYTES>", bridgedTo = RowData.class))
public final class SalesPanes extends ProcessTableFunction<RowData> {
  private static final StringData PLACED = StringData.fromString("placed");
  private static final int BEFORE = PaneSums.WINDOWS - 1;
  private static final int HOUR = (1 << PaneSums.WINDOWS) - 1;
  private static final long PANE_MILLIS = PaneSums.PANE / 1000;

  public void eval(
      Context context,
      @StateHint MapView<String, Long> ordered,
      @StateHint MapView<Long, byte[]> open,
      @StateHint MapView<Long, byte[]> late,
      @ArgumentHint(
              value = ArgumentTrait.SET_SEMANTIC_TABLE,
              type =
                  @DataTypeHint(
                      value =
                          "ROW<shard INT, customer_id STRING, fact STRING, cents BIGINT, happened BIGINT>",
                      bridgedTo = RowData.class))
          RowData fact)
      throws Exception {
    TimeContext<Long> time = context.timeContext(Long.class);
    long pane = Math.floorDiv(fact.getLong(4), PaneSums.PANE);
    long end = (pane + 1) * PANE_MILLIS;
    long now = Moments.watermark(time);
    MapView<Long, byte[]> kept = end > now ? open : late;
    byte[] known = kept.get(pane);
    if (known == null) {
      // A timer for a moment that has passed is never called: what comes later waits for the clock to move.
      time.registerOnTime(end > now ? end : now + 1);
    }
    long[] sums = PaneSums.read(known);
    if (PLACED.equals(fact.getString(2))) {
      sums[PaneSums.ORDERS]++;
      sums[PaneSums.CENTS] += fact.getLong(3);
      count(sums, ordered, fact.getString(1).toString(), pane);
    } else {
      sums[PaneSums.CANCELLED]++;
    }
    kept.put(pane, PaneSums.write(sums));
  }

  public void onTimer(
      OnTimerContext context, MapView<String, Long> ordered, MapView<Long, byte[]> open, MapView<Long, byte[]> late)
      throws Exception {
    long moment = context.timeContext(Long.class).time();
    long pane = Math.floorDiv(moment, PANE_MILLIS) - 1;
    byte[] sums = Math.floorMod(moment, PANE_MILLIS) == 0 ? open.get(pane) : null;
    if (sums != null) {
      open.remove(pane);
      tell(pane, sums);
    }
    if (!late.isEmpty()) {
      for (Map.Entry<Long, byte[]> each : late.entries()) {
        tell(each.getKey(), each.getValue());
      }
      late.clear();
    }
  }

  private void tell(long pane, byte[] sums) {
    long first = Math.floorDiv(pane - BEFORE, PaneSums.WINDOWS);
    long last = Math.floorDiv(pane, PaneSums.WINDOWS);
    for (long block = first; block <= last; block++) {
      collect(GenericRowData.of(block, pane, sums));
    }
  }

  private static void count(long[] sums, MapView<String, Long> ordered, String customer, long pane) throws Exception {
    long own = pane >> 6;
    String key = customer + '|' + own;
    Long found = ordered.get(key);
    long panes = found == null ? 0 : found;
    int place = (int) (pane & 63);
    if ((panes >>> place & 1) != 0) {
      return;
    }
    // Bit i: whether he ordered in pane - 11 + i, from the first pane of the first window to the last one of the last.
    long near = place >= BEFORE ? panes >>> place - BEFORE : panes << BEFORE - place;
    if (place < BEFORE) {
      Long before = ordered.get(customer + '|' + (own - 1));
      near |= before == null ? 0 : before >>> 64 - (BEFORE - place);
    } else if (place > 63 - BEFORE) {
      Long after = ordered.get(customer + '|' + (own + 1));
      near |= after == null ? 0 : after << 64 - (place - BEFORE);
    }
    for (int window = 0; window < PaneSums.WINDOWS; window++) {
      if ((near >>> window & HOUR) == 0) {
        sums[PaneSums.FRESH + window]++;
      }
    }
    ordered.put(key, panes | 1L << place);
  }
}
