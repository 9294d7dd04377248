package c360;

import java.util.ArrayList;
import java.util.List;
import org.apache.flink.table.annotation.ArgumentHint;
import org.apache.flink.table.annotation.ArgumentTrait;
import org.apache.flink.table.annotation.DataTypeHint;
import org.apache.flink.table.annotation.FunctionHint;
import org.apache.flink.table.annotation.StateHint;
import org.apache.flink.table.api.dataview.MapView;
import org.apache.flink.table.data.GenericRowData;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.functions.ProcessTableFunction;

/**
 * {@code customer_sessions(action => TABLE … PARTITION BY customer_id)}: the visits of a customer. Actions less than
 * {@link #GAP} apart belong to one visit; it is told once event time says that it is over.
 *
 * <p>An action that comes late may lengthen a visit that was told, or join two: what was told and holds no more is told again as
 * not active, with the number of actions that its visit has now. So the order in which actions come decides nothing.
 *
 * <p>All actions of one half hour belong to one visit, as they are less than {@link #GAP} apart. State is therefore kept by half
 * hour: one of a visit's holds it, the others say where to look. Each action costs a few reads, however long the visit.
 */
@FunctionHint(
    output =
        @DataTypeHint(
            value =
                "ROW<started_at TIMESTAMP_LTZ(6), ended_at TIMESTAMP_LTZ(6), events BIGINT, page_views BIGINT,"
                    + " product_views BIGINT, carts BIGINT, purchases BIGINT, is_active BOOLEAN,"
                    + " effective_at TIMESTAMP_LTZ(6), version BIGINT>",
            bridgedTo = RowData.class))
public final class CustomerSessions extends ProcessTableFunction<RowData> {
  static final long GAP = 30 * Moments.MINUTE;

  /**
   * A half hour in which the customer acted. {@code home}: the half hour that holds its visit; only there the rest is filled.
   * {@code told}: effective_at of the row that holds by now, 0 without one. {@code waits}: whether a timer is set.
   */
  public static class Half {
    public long home;
    public long first;
    public long last;
    public long events;
    public long pageViews;
    public long productViews;
    public long carts;
    public long purchases;
    public long told;
    public boolean waits;
  }

  public void eval(
      Context context,
      @StateHint MapView<Long, Half> halves,
      @ArgumentHint(
              value = ArgumentTrait.SET_SEMANTIC_TABLE,
              type =
                  @DataTypeHint(
                      value =
                          "ROW<customer_id STRING, event_type STRING, happened_at TIMESTAMP_LTZ(6),"
                              + " event_time TIMESTAMP_LTZ(3)>",
                      bridgedTo = RowData.class))
          RowData action)
      throws Exception {
    long at = Moments.micros(action.getTimestamp(2, 6));
    long half = Math.floorDiv(at, GAP);
    List<Half> known = joined(halves, at, half);
    Half visit = single(action.getString(1).toString(), at);
    visit.home = known.isEmpty() ? half : known.get(0).home;
    visit.waits = !known.isEmpty() && known.get(0).waits;
    for (Half other : known) {
      absorb(visit, other);
    }
    for (Half other : known) {
      if (other.told != 0 && (other.first != visit.first || other.told != end(visit))) {
        tell(other, false, other.told, visit.events);
      }
      if (other.home != visit.home) {
        halves.put(other.home, pointer(visit.home));
      }
    }
    if (half != visit.home) {
      halves.put(half, pointer(visit.home));
    }
    pass(context.timeContext(Long.class), visit);
    halves.put(visit.home, visit);
  }

  public void onTimer(OnTimerContext context, MapView<Long, Half> halves) throws Exception {
    long half = Long.parseLong(context.currentTimer());
    Half visit = find(halves, half);
    if (visit == null) {
      return;
    }
    visit.waits &= visit.home != half;
    if (visit.told != end(visit)) {
      pass(context.timeContext(Long.class), visit);
    }
    halves.put(visit.home, visit);
  }

  /** Tells a visit that is over, else waits for its end; a timer that is set for an earlier end will find the later one. */
  private void pass(TimeContext<Long> time, Half visit) {
    // A timer for a moment that has passed is never called: Flink drops it without a word.
    if (Moments.timer(end(visit)) <= Moments.watermark(time)) {
      visit.told = end(visit);
      tell(visit, true, visit.told, visit.events);
    } else if (!visit.waits) {
      visit.waits = true;
      time.registerOnTime(Long.toString(visit.home), Moments.timer(end(visit)));
    }
  }

  /** The visits that an action belongs to: more than one if it joins them. */
  private static List<Half> joined(MapView<Long, Half> halves, long at, long half) throws Exception {
    List<Half> found = new ArrayList<>(3);
    for (long near = half - 1; near <= half + 1; near++) {
      Half visit = find(halves, near);
      if (visit != null && at - visit.last < GAP && visit.first - at < GAP && !has(found, visit.home)) {
        found.add(visit);
      }
    }
    return found;
  }

  private static boolean has(List<Half> found, long home) {
    return found.stream().anyMatch(visit -> visit.home == home);
  }

  private static Half find(MapView<Long, Half> halves, long half) throws Exception {
    Half found = halves.get(half);
    for (long at = half; found != null && found.home != at; ) {
      at = found.home;
      found = halves.get(at);
    }
    return found;
  }

  private static Half pointer(long home) {
    Half half = new Half();
    half.home = home;
    return half;
  }

  private static Half single(String type, long at) {
    Half visit = new Half();
    visit.first = at;
    visit.last = at;
    visit.events = 1;
    visit.pageViews = type.equals("page_view") ? 1 : 0;
    visit.productViews = type.equals("product_view") ? 1 : 0;
    visit.carts = type.equals("add_to_cart") ? 1 : 0;
    visit.purchases = type.equals("purchase") ? 1 : 0;
    return visit;
  }

  private static void absorb(Half visit, Half other) {
    visit.first = Math.min(visit.first, other.first);
    visit.last = Math.max(visit.last, other.last);
    visit.events += other.events;
    visit.pageViews += other.pageViews;
    visit.productViews += other.productViews;
    visit.carts += other.carts;
    visit.purchases += other.purchases;
  }

  private static long end(Half visit) {
    return visit.last + GAP;
  }

  private void tell(Half visit, boolean active, long effective, long version) {
    collect(
        GenericRowData.of(
            Moments.data(visit.first),
            Moments.data(visit.last),
            visit.events,
            visit.pageViews,
            visit.productViews,
            visit.carts,
            visit.purchases,
            active,
            Moments.data(effective),
            version));
  }
}
