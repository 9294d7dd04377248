package c360;

import org.apache.flink.table.annotation.ArgumentHint;
import org.apache.flink.table.annotation.ArgumentTrait;
import org.apache.flink.table.annotation.DataTypeHint;
import org.apache.flink.table.annotation.FunctionHint;
import org.apache.flink.table.annotation.StateHint;
import org.apache.flink.table.data.DecimalData;
import org.apache.flink.table.data.GenericRowData;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.data.StringData;
import org.apache.flink.table.functions.ProcessTableFunction;

/**
 * {@code customer_segments(placed => TABLE … PARTITION BY customer_id)}: the segment of a customer after each order, and
 * after 30 and 90 days without one, when event time has passed them. The rule is that of {@code c360/segments.py}.
 *
 * <p>An order that comes after a later one counts like any other: all rows since that one are written again, made of more orders.
 */
@FunctionHint(
    output =
        @DataTypeHint(
            value =
                "ROW<segment STRING, orders BIGINT, spend DECIMAL(18, 2), last_order_at TIMESTAMP_LTZ(6),"
                    + " effective_at TIMESTAMP_LTZ(6), version BIGINT>",
            bridgedTo = RowData.class))
public final class CustomerSegments extends ProcessTableFunction<RowData> {
  private static final long[] SILENCE = {0, 30 * Moments.DAY, 90 * Moments.DAY};
  private static final StringData[] SILENT = {null, StringData.fromString("At-Risk"), StringData.fromString("Churned")};
  private static final StringData VIP = StringData.fromString("VIP");
  private static final StringData REGULAR = StringData.fromString("Regular");
  private static final StringData NEW = StringData.fromString("New");
  private static final long VIP_CENTS = 500_00;

  /** {@code stage}: how many of the silences after the last order have passed. {@code timer}: the one that is set, 0 if none. */
  public static class Standing {
    public long orders;
    public long cents;
    public long last;
    public int stage;
    public long timer;
  }

  public void eval(
      Context context,
      @StateHint Standing standing,
      @ArgumentHint(
              value = ArgumentTrait.SET_SEMANTIC_TABLE,
              type =
                  @DataTypeHint(
                      value = "ROW<customer_id STRING, cents BIGINT, happened BIGINT>",
                      bridgedTo = RowData.class))
          RowData placed) {
    long happened = placed.getLong(2);
    if (standing.orders == 0 || happened > standing.last) {
      standing.last = happened;
      standing.stage = 0;
    }
    standing.orders++;
    standing.cents += placed.getLong(1);
    for (int stage = 0; stage <= standing.stage; stage++) {
      tell(standing, stage);
    }
    pass(context.timeContext(Long.class), standing);
  }

  public void onTimer(OnTimerContext context, Standing standing) {
    standing.timer = 0;
    pass(context.timeContext(Long.class), standing);
  }

  /** Tells the silences that have passed, and waits for the next; a timer that is set for an earlier one will find that out. */
  private void pass(TimeContext<Long> time, Standing standing) {
    // A timer for a moment that has passed is never called: Flink drops it without a word.
    long now = Moments.watermark(time);
    while (standing.stage < 2 && due(standing) <= now) {
      standing.stage++;
      tell(standing, standing.stage);
    }
    // One that waits for the 90 days of an earlier order may come after the 30 days of this one.
    if (standing.stage < 2 && (standing.timer == 0 || due(standing) < standing.timer)) {
      standing.timer = due(standing);
      time.registerOnTime(standing.timer);
    }
  }

  private static long due(Standing standing) {
    return Moments.timer(standing.last + SILENCE[standing.stage + 1]);
  }

  private void tell(Standing standing, int stage) {
    collect(
        GenericRowData.of(
            segment(standing, stage),
            standing.orders,
            DecimalData.fromUnscaledLong(standing.cents, 18, 2),
            Moments.data(standing.last),
            Moments.data(standing.last + SILENCE[stage]),
            standing.orders));
  }

  private static StringData segment(Standing standing, int stage) {
    if (stage > 0) {
      return SILENT[stage];
    }
    if (standing.orders >= 5 && standing.cents >= VIP_CENTS) {
      return VIP;
    }
    return standing.orders >= 3 ? REGULAR : NEW;
  }
}
