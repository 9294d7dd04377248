package c360;

import org.apache.flink.table.annotation.ArgumentHint;
import org.apache.flink.table.annotation.ArgumentTrait;
import org.apache.flink.table.annotation.DataTypeHint;
import org.apache.flink.table.annotation.FunctionHint;
import org.apache.flink.table.annotation.StateHint;
import org.apache.flink.table.api.dataview.MapView;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.data.StringData;
import org.apache.flink.table.functions.ProcessTableFunction;

/**
 * {@code inventory_insights(fact => TABLE … PARTITION BY product_id)}: a product's stock, and how long it lasts at the
 * pace of the last seven days, after each moment at which something happened to it or time changed it. The rule is that of
 * {@code c360_assets/defs/products/inventory_insights.sql}.
 *
 * <p>Facts wait until the clock has passed their moment, and are taken in the order of their moments, however topics were read: a row
 * holds from its moment on. What comes after that is taken in at once, into a row that holds from the newest moment on.
 */
@FunctionHint(
    output =
        @DataTypeHint(
            value =
                "ROW<category STRING, product_status STRING, stock_on_hand BIGINT, units_sold_7d BIGINT,"
                    + " units_per_day DECIMAL(18, 4), days_until_stock_out DECIMAL(18, 2), status STRING,"
                    + " dead_stock BOOLEAN, last_sold_at TIMESTAMP_LTZ(6), restock_quantity BIGINT,"
                    + " restock_urgency STRING, effective_at TIMESTAMP_LTZ(6), version BIGINT>",
            bridgedTo = RowData.class))
public final class InventoryInsights extends ProcessTableFunction<RowData> {
  private static final long WEEK = 7 * Moments.DAY;
  private static final long DEAD = 30 * Moments.DAY;
  /** In place of the sale that a cancellation is about. */
  private static final long STOCK = Long.MIN_VALUE;
  private static final long PRODUCT = STOCK + 1;

  /** A version of the product. */
  public static class Listed {
    public String category;
    public String status;
  }

  public void eval(
      Context context,
      @StateHint Holding held,
      @StateHint MapView<Long, byte[]> sales,
      @StateHint MapView<Long, byte[]> agenda,
      @StateHint MapView<Long, Listed> versions,
      @ArgumentHint(
              value = ArgumentTrait.SET_SEMANTIC_TABLE,
              type =
                  @DataTypeHint(
                      value =
                          "ROW<product_id STRING, fact STRING, moment BIGINT, about BIGINT, units BIGINT, category STRING,"
                              + " status STRING>",
                      bridgedTo = RowData.class))
          RowData fact)
      throws Exception {
    held.begin();
    Timeline sold = new Timeline(sales, held.sales, held.salesPages);
    Timeline due = new Timeline(agenda, held.agenda, held.agendaPages);
    StringData what = fact.getString(1);
    long moment = fact.getLong(2);
    long units = fact.getLong(4);
    if (what.equals(ProductFacts.SOLD)) {
      sold(held, sold, moment, units);
    } else if (what.equals(ProductFacts.CANCELLED)) {
      long about = fact.getLong(3);
      if (moment <= held.clock) {
        cancelled(held, sold, about, 1, units);
      } else {
        later(held, due, moment, about, units);
      }
    } else if (what.equals(ProductFacts.MOVED)) {
      if (moment <= held.clock) {
        held.stock += units;
        held.changed(1);
      } else {
        later(held, due, moment, STOCK, units);
      }
    } else if (!versions.contains(moment)) {
      Listed listed = new Listed();
      listed.category = text(fact, 5);
      listed.status = text(fact, 6);
      versions.put(moment, listed);
      if (moment <= held.clock) {
        held.listed(moment, listed);
      } else {
        later(held, due, moment, PRODUCT, 0);
      }
    }
    pass(context.timeContext(Long.class), held, sold, due, versions);
  }

  public void onTimer(
      OnTimerContext context,
      Holding held,
      MapView<Long, byte[]> sales,
      MapView<Long, byte[]> agenda,
      MapView<Long, Listed> versions)
      throws Exception {
    Timeline sold = new Timeline(sales, held.sales, held.salesPages);
    Timeline due = new Timeline(agenda, held.agenda, held.agendaPages);
    pass(context.timeContext(Long.class), held, sold, due, versions);
  }

  private static String text(RowData row, int place) {
    return row.isNullAt(place) ? null : row.getString(place).toString();
  }

  private static void later(Holding held, Timeline due, long moment, long about, long units) throws Exception {
    due.add(moment, about, 1, 1, units);
    held.nextDue = Math.min(held.nextDue, moment);
    held.newestDue = Math.max(held.newestDue, moment);
  }

  private static void sold(Holding held, Timeline sold, long moment, long units) throws Exception {
    sold.add(moment, 0, 1, 1, units);
    held.newestSale = Math.max(held.newestSale, moment);
    if (moment > held.clock) {
      held.nextSale = Math.min(held.nextSale, moment);
    } else {
      held.changed(1);
      held.last = Math.max(held.last, moment);
      enter(held, moment, units);
    }
  }

  /** A sale of the last seven days counts, until it leaves them. */
  private static void enter(Holding held, long moment, long units) {
    if (moment >= held.clock - WEEK) {
      held.units += units;
      held.oldest = Math.min(held.oldest, moment);
    }
  }

  private static void cancelled(Holding held, Timeline sold, long moment, long lines, long units) throws Exception {
    held.changed(lines);
    Timeline.Entry left = sold.add(moment, 0, 0, -lines, -units);
    if (moment > held.clock) {
      return;
    }
    if (moment >= held.clock - WEEK) {
      held.units -= units;
    }
    if (left.live() == 0) {
      sold.remove(moment);
      held.oldest = held.oldest == moment ? after(held, sold, moment) : held.oldest;
      held.last = held.last == moment ? sold.previous(moment) : held.last;
    }
  }

  /** The sale after that one which the clock has passed. */
  private static long after(Holding held, Timeline sold, long moment) throws Exception {
    return moment >= held.last ? Timeline.NONE : sold.next(moment + 1);
  }

  /** Takes in what is due by the clock, moment by moment, and waits for the next. */
  private void pass(
      TimeContext<Long> time, Holding held, Timeline sold, Timeline due, MapView<Long, Listed> versions)
      throws Exception {
    // Timers know whole milliseconds: when one is over, so are all moments in it. Those that have passed are never called.
    long now = Moments.watermark(time);
    long until = now == Long.MIN_VALUE ? now : now < Long.MAX_VALUE / 1000 - 1 ? now * 1000 + 999 : Long.MAX_VALUE - 1;
    long next;
    while ((next = held.next()) <= until) {
      if (next > held.clock) {
        tell(held);
      }
      held.clock = next;
      happen(held, sold, due, versions);
    }
    tell(held);
    held.keep(sold, due);
    if (held.timer <= now) {
      held.timer = Timeline.NONE;
    }
    if (next != Timeline.NONE && Math.floorDiv(next, 1000L) < held.timer) {
      held.timer = Math.floorDiv(next, 1000L);
      time.registerOnTime(held.timer);
    }
  }

  private static void happen(Holding held, Timeline sold, Timeline due, MapView<Long, Listed> versions)
      throws Exception {
    long now = held.clock;
    if (held.oldest != Timeline.NONE && held.oldest + WEEK + 1 == now) {
      for (Timeline.Entry entry : sold.at(held.oldest)) {
        held.units -= entry.units();
        held.changed |= entry.units() != 0;
      }
      held.oldest = after(held, sold, held.oldest);
    }
    if (held.nextSale == now) {
      for (Timeline.Entry entry : sold.at(now)) {
        held.changed(entry.count());
        if (entry.live() == 0) {
          sold.remove(now);
        } else {
          held.last = now;
          enter(held, now, entry.units());
        }
      }
      held.nextSale = now >= held.newestSale ? Timeline.NONE : sold.next(now + 1);
    }
    if (held.nextDue == now) {
      for (Timeline.Entry entry : due.at(now)) {
        if (entry.about() == STOCK) {
          held.stock += entry.units();
          held.changed(entry.count());
        } else if (entry.about() == PRODUCT) {
          held.listed(now, versions.get(now));
        } else {
          cancelled(held, sold, entry.about(), entry.count(), entry.units());
        }
      }
      due.remove(now);
      held.nextDue = now >= held.newestDue ? Timeline.NONE : due.next(now + 1);
    }
    held.changed |= held.last != Long.MIN_VALUE && held.last + DEAD == now;
  }

  private void tell(Holding held) {
    if (held.changed && held.known) {
      collect(held.row());
    }
    held.changed = false;
  }
}
