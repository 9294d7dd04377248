package c360;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import org.apache.flink.table.annotation.ArgumentHint;
import org.apache.flink.table.annotation.ArgumentTrait;
import org.apache.flink.table.annotation.DataTypeHint;
import org.apache.flink.table.annotation.FunctionHint;
import org.apache.flink.table.annotation.StateHint;
import org.apache.flink.table.api.dataview.ListView;
import org.apache.flink.table.api.dataview.MapView;
import org.apache.flink.table.data.DecimalData;
import org.apache.flink.table.data.GenericRowData;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.data.StringData;
import org.apache.flink.table.functions.ProcessTableFunction;

/**
 * {@code anomaly_alerts(placed => TABLE … PARTITION BY customer_id)}: what is out of the ordinary about each order, at once
 * when it comes. The rules are those of {@code c360_assets/defs/sales/anomaly_alerts.sql}.
 *
 * <p>An order that comes after a later one is judged in its own place, and those after it anew: each alert that appears, changes or no
 * longer holds is told again, made of more orders. The newest orders lie together, older ones in pages that are read only when an order
 * belongs there. One that belongs far back waits until time passes next: all that came until then are one pass over what is later.
 */
@FunctionHint(
    output =
        @DataTypeHint(
            value =
                "ROW<alert_id STRING, order_id STRING, rule STRING, severity STRING, raised_at TIMESTAMP_LTZ(6),"
                    + " amount DECIMAL(18, 2), threshold DECIMAL(18, 2), orders_counted BIGINT, is_active BOOLEAN,"
                    + " effective_at TIMESTAMP_LTZ(6), version BIGINT>",
            bridgedTo = RowData.class))
public final class AnomalyAlerts extends ProcessTableFunction<RowData> {
  private static final int PAGE = 16;
  private static final int NEWEST = 24;
  private static final int NEAR_PAGES = 4;

  private static final int SPIKE = 1;
  private static final int RAPID = 2;
  private static final int OUTLIER = 4;
  private static final int LARGE = 8;
  private static final long LARGE_CENTS = 1000_00;
  private static final long LARGER_CENTS = 5000_00;

  private static final StringData HIGH = StringData.fromString("high");
  private static final StringData MEDIUM = StringData.fromString("medium");
  private static final StringData LOW = StringData.fromString("low");

  /** {@code newest}: the last page, {@code pages}: how many are before it, {@code waiting}: whether a timer is set. */
  public static class Known {
    public byte[] newest;
    public int pages;
    public boolean waiting;
  }

  public void eval(
      Context context,
      @StateHint Known known,
      @StateHint MapView<Integer, byte[]> pages,
      @StateHint ListView<byte[]> late,
      @ArgumentHint(
              value = ArgumentTrait.SET_SEMANTIC_TABLE,
              type =
                  @DataTypeHint(
                      value =
                          "ROW<order_id STRING, customer_id STRING, cents BIGINT, happened BIGINT>",
                      bridgedTo = RowData.class))
          RowData placed)
      throws Exception {
    byte[] id = placed.getString(0).toBytes();
    PlacedOrder order = new PlacedOrder(placed.getLong(3), placed.getLong(2), id, 0, id.length, (byte) 0);
    int oldestNear = known.pages - NEAR_PAGES;
    if (oldestNear > 0 && order.compareTo(OrderPage.first(known.newest)) < 0
        && order.compareTo(OrderPage.first(pages.get(oldestNear))) < 0) {
      late.add(OrderPage.alone(order));
      if (!known.waiting) {
        known.waiting = true;
        TimeContext<Long> time = context.timeContext(Long.class);
        time.registerOnTime(Moments.watermark(time) + 1);
      }
      return;
    }
    take(known, pages, List.of(order));
  }

  public void onTimer(
      OnTimerContext context, Known known, MapView<Integer, byte[]> pages, ListView<byte[]> late)
      throws Exception {
    List<PlacedOrder> orders = new ArrayList<>();
    for (byte[] each : late.get()) {
      orders.add(OrderPage.alone(each));
    }
    late.clear();
    known.waiting = false;
    Collections.sort(orders);
    take(known, pages, orders);
  }

  /** Puts sorted orders in their places, and judges the first of them and all that are after it. */
  private void take(Known known, MapView<Integer, byte[]> pages, List<PlacedOrder> orders) throws Exception {
    byte[] page = known.newest;
    List<byte[]> read = new ArrayList<>();
    if (page != null) {
      read.add(page);
      while (known.pages > 0 && orders.get(0).compareTo(OrderPage.first(page)) < 0) {
        page = pages.get(--known.pages);
        read.add(page);
      }
    }
    List<PlacedOrder> all = new ArrayList<>(read.size() * PAGE + NEWEST - PAGE + orders.size());
    for (int i = read.size() - 1; i >= 0; i--) {
      OrderPage.read(read.get(i), all);
    }
    int first = Collections.binarySearch(all, orders.get(0));
    first = first < 0 ? -first - 1 : first;
    all.addAll(orders);
    if (first + orders.size() < all.size()) {
      Collections.sort(all);
    }
    judge(page, all, first);
    keep(known, pages, page, all);
  }

  private void judge(byte[] page, List<PlacedOrder> orders, int first) {
    EarlierOrders earlier = page == null ? new EarlierOrders() : OrderPage.earlier(page);
    long version = earlier.count + orders.size();
    for (int i = 0; i < first; i++) {
      earlier.add(orders.get(i));
    }
    for (int i = first; i < orders.size(); i++) {
      PlacedOrder order = orders.get(i);
      judge(order, earlier, version);
      earlier.add(order);
    }
  }

  private void judge(PlacedOrder order, EarlierOrders earlier, long version) {
    int deviations = earlier.deviationsAbove(order.cents);
    int rules =
        (earlier.within(EarlierOrders.LOOKED_AT - 1, order.happened, Moments.HOUR) ? SPIKE : 0)
            | (earlier.within(0, order.happened, 5 * Moments.MINUTE) ? RAPID : 0)
            | (deviations > 0 ? OUTLIER : 0)
            | (order.cents > LARGE_CENTS ? LARGE : 0);
    int before = order.rules;
    order.rules = (byte) rules;
    if ((rules | before) == 0) {
      return;
    }
    // All that changes about an alert which goes on is with what an outlier is compared: here that is always more than before.
    int changed = rules ^ before | (rules & OUTLIER);
    if ((changed & SPIKE) != 0) {
      tell(order, "order_spike", HIGH, null, EarlierOrders.SPIKE, (rules & SPIKE) != 0, version);
    }
    if ((changed & RAPID) != 0) {
      tell(order, "rapid_orders", LOW, null, 2, (rules & RAPID) != 0, version);
    }
    if ((changed & OUTLIER) != 0) {
      StringData severity = deviations == 5 ? HIGH : MEDIUM;
      tell(order, "outlier", severity, amount(earlier.bound()), earlier.count, deviations > 0, version);
    }
    if ((changed & LARGE) != 0) {
      StringData severity = order.cents >= LARGER_CENTS ? MEDIUM : LOW;
      tell(order, "large_order", severity, amount(LARGE_CENTS), 1, true, version);
    }
  }

  private void tell(
      PlacedOrder order, String rule, StringData severity, DecimalData threshold, long counted, boolean holds, long version) {
    StringData id = StringData.fromBytes(order.bytes, order.from, order.length);
    collect(
        GenericRowData.of(
            StringData.fromString(id + "-" + rule),
            id,
            StringData.fromString(rule),
            severity,
            Moments.data(order.happened),
            amount(order.cents),
            threshold,
            counted,
            holds,
            Moments.data(order.happened),
            version));
  }

  private static DecimalData amount(long cents) {
    return DecimalData.fromUnscaledLong(cents, 18, 2);
  }

  /** Writes the orders from that page on: whole pages, and the rest as the newest. */
  private static void keep(Known known, MapView<Integer, byte[]> pages, byte[] page, List<PlacedOrder> orders)
      throws Exception {
    EarlierOrders earlier = page == null ? new EarlierOrders() : OrderPage.earlier(page);
    int from = 0;
    for (; orders.size() - from > NEWEST; from += PAGE) {
      List<PlacedOrder> full = orders.subList(from, from + PAGE);
      pages.put(known.pages++, OrderPage.write(earlier, full));
      for (PlacedOrder order : full) {
        earlier.add(order);
      }
    }
    known.newest = OrderPage.write(earlier, orders.subList(from, orders.size()));
  }
}
