package c360;

import java.util.Arrays;
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
 * {@code abandoned_carts(action => TABLE … PARTITION BY customer_id)}: what a customer put into the cart after having
 * looked at it less than {@link #GAP} before, and did not buy within less than {@link #GAP}. Actions that name different products
 * have nothing to do with each other; one that names none, as a purchase does, is about each product.
 *
 * <p>A cart is told when event time has passed its half hour. A view or purchase that comes later tells it again, made of more
 * actions: not active if it was bought after all. MATCH_RECOGNIZE cannot say this: see docs/features.md.
 */
@FunctionHint(
    output =
        @DataTypeHint(
            value =
                "ROW<cart_id STRING, product_id STRING, viewed_at TIMESTAMP_LTZ(6), carted_at TIMESTAMP_LTZ(6),"
                    + " is_active BOOLEAN, effective_at TIMESTAMP_LTZ(6), version BIGINT>",
            bridgedTo = RowData.class))
public final class AbandonedCarts extends ProcessTableFunction<RowData> {
  static final long GAP = CustomerSessions.GAP;
  private static final Step[] NONE = {};

  /** One action; {@code told}: whether a row was written of this cart. */
  public static class Step {
    public long at;
    public String type;
    public String product;
    public String id;
    public boolean told;

    boolean is(String wanted) {
      return wanted.equals(type);
    }
  }

  /** The actions of a customer in one half hour, as they came. */
  public static class Half {
    public Step[] steps;
  }

  public void eval(
      Context context,
      @StateHint MapView<Long, Half> halves,
      @ArgumentHint(
              value = ArgumentTrait.SET_SEMANTIC_TABLE,
              type =
                  @DataTypeHint(
                      value =
                          "ROW<customer_id STRING, event_id STRING, event_type STRING, product_id STRING,"
                              + " happened_at TIMESTAMP_LTZ(6), event_time TIMESTAMP_LTZ(3)>",
                      bridgedTo = RowData.class))
          RowData action)
      throws Exception {
    Step step = step(action);
    long half = Math.floorDiv(step.at, GAP);
    Half here = new Half();
    Step[] before = steps(halves, half);
    here.steps = Arrays.copyOf(before, before.length + 1);
    here.steps[before.length] = step;
    halves.put(half, here);

    TimeContext<Long> time = context.timeContext(Long.class);
    long now = Moments.watermark(time);
    for (long near = half - 1; near <= half + 1; near++) {
      Step[] steps = steps(halves, near);
      for (int i = 0; i < steps.length; i++) {
        boolean itself = near == half && i == before.length;
        if (!steps[i].is("add_to_cart") || !(itself || bears(step, steps[i]))) {
          continue;
        }
        if (deadline(steps[i]) <= now) {
          judge(halves, near, i);
        } else {
          // Also of a cart that was judged before: a job that goes on from its state begins without a watermark.
          time.registerOnTime(near + ":" + i, deadline(steps[i]));
        }
      }
    }
  }

  public void onTimer(OnTimerContext context, MapView<Long, Half> halves) throws Exception {
    String[] place = context.currentTimer().split(":");
    long half = Long.parseLong(place[0]);
    int number = Integer.parseInt(place[1]);
    if (number < steps(halves, half).length) {
      judge(halves, half, number);
    }
  }

  private void judge(MapView<Long, Half> halves, long half, int number) throws Exception {
    Half here = halves.get(half);
    Step cart = here.steps[number];
    long views = 0;
    long purchases = 0;
    long viewed = Long.MIN_VALUE;
    for (long near = half - 1; near <= half + 1; near++) {
      for (Step step : steps(halves, near)) {
        if (bears(step, cart)) {
          if (step.is("purchase")) {
            purchases++;
          } else {
            views++;
            viewed = Math.max(viewed, step.at);
          }
        }
      }
    }
    boolean left = views > 0 && purchases == 0;
    if (!left && !cart.told) {
      return;
    }
    if (!cart.told) {
      cart.told = true;
      halves.put(half, here);
    }
    collect(
        GenericRowData.of(
            StringData.fromString(cart.id),
            StringData.fromString(cart.product),
            Moments.data(viewed),
            Moments.data(cart.at),
            left,
            Moments.data(cart.at + GAP),
            1 + views + purchases));
  }

  /** Whether an action is a view before a cart, or a purchase after it, of what may be the same product. */
  private static boolean bears(Step step, Step cart) {
    long after = step.at - cart.at;
    boolean inTime = step.is("purchase") ? after >= 0 && after < GAP : step.is("product_view") && after <= 0 && -after < GAP;
    return inTime && (step.product == null || cart.product == null || step.product.equals(cart.product));
  }

  private static long deadline(Step cart) {
    return Moments.timer(cart.at + GAP);
  }

  private static Step[] steps(MapView<Long, Half> halves, long half) throws Exception {
    Half found = halves.get(half);
    return found == null ? NONE : found.steps;
  }

  private static Step step(RowData action) {
    Step step = new Step();
    step.id = action.getString(1).toString();
    step.type = action.getString(2).toString();
    step.product = action.isNullAt(3) ? null : action.getString(3).toString();
    step.at = Moments.micros(action.getTimestamp(4, 6));
    return step;
  }
}
