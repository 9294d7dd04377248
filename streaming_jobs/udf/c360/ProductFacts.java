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
 * {@code product_facts(change => TABLE … PARTITION BY owner_kind, owner)}: what changes say of products, each thing
 * once: {@code sold}, a line of an order, at the order's moment; {@code cancelled}, the same line at the cancellation, where
 * {@code about} is the order's moment; {@code moved}, a movement of stock; {@code listed}, a version of the product itself.
 *
 * <p>Owners are orders, with the changes of their lines, movements and products. A line counts with what is first seen of it, and
 * waits for its order if it comes before that.
 */
@FunctionHint(
    output =
        @DataTypeHint(
            value =
                "ROW<product_id STRING, fact STRING, moment BIGINT, about BIGINT, units BIGINT, category STRING,"
                    + " status STRING>",
            bridgedTo = RowData.class))
public final class ProductFacts extends ProcessTableFunction<RowData> {
  static final StringData SOLD = StringData.fromString("sold");
  static final StringData CANCELLED = StringData.fromString("cancelled");
  static final StringData MOVED = StringData.fromString("moved");
  static final StringData LISTED = StringData.fromString("listed");
  private static final StringData ORDERS = StringData.fromString("orders");
  private static final StringData ITEMS = StringData.fromString("order_items");
  private static final StringData STOCK = StringData.fromString("stock");

  /** Whether the order or movement was seen, how many of its lines, and when it was placed and cancelled. */
  public static class Owner {
    public boolean seen;
    public long lines;
    public boolean cancelled;
    public long placedAt;
    public long cancelledAt;
  }

  public void eval(
      Context context,
      @StateHint Owner owner,
      @StateHint MapView<String, String> lines,
      @ArgumentHint(
              value = ArgumentTrait.SET_SEMANTIC_TABLE,
              type =
                  @DataTypeHint(
                      value =
                          "ROW<owner_kind STRING, owner STRING, kind STRING, part_id STRING, product_id STRING, status STRING,"
                              + " category STRING, quantity BIGINT, happened BIGINT, changed BIGINT>",
                      bridgedTo = RowData.class))
          RowData change)
      throws Exception {
    StringData kind = change.getString(2);
    if (kind.equals(ITEMS)) {
      String part = change.getString(3).toString();
      if (!lines.contains(part)) {
        String line = change.getLong(7) + " " + change.getString(4);
        lines.put(part, line);
        owner.lines++;
        tell(owner, line, owner.seen, owner.cancelled);
      }
    } else if (kind.equals(ORDERS)) {
      placed(owner, lines, change);
    } else if (!kind.equals(STOCK)) {
      collect(fact(change.getString(4), LISTED, change.getLong(9), 0, 0, change));
    } else if (!owner.seen) {
      owner.seen = true;
      collect(fact(change.getString(4), MOVED, change.getLong(9), 0, change.getLong(7), null));
    }
  }

  private void placed(Owner owner, MapView<String, String> lines, RowData change) throws Exception {
    boolean first = !owner.seen;
    boolean ends = !owner.cancelled && CANCELLED.equals(change.getString(5));
    if (!first && !ends) {
      return;
    }
    if (first) {
      owner.seen = true;
      owner.placedAt = change.getLong(8);
    }
    if (ends) {
      owner.cancelled = true;
      owner.cancelledAt = change.getLong(9);
    }
    // To look through nothing is dear, and most orders come before their lines.
    if (owner.lines > 0) {
      for (Map.Entry<String, String> line : lines.entries()) {
        tell(owner, line.getValue(), first, ends);
      }
    }
  }

  private void tell(Owner owner, String line, boolean sold, boolean cancelled) {
    int space = line.indexOf(' ');
    long units = Long.parseLong(line.substring(0, space));
    StringData product = StringData.fromString(line.substring(space + 1));
    if (sold) {
      collect(fact(product, SOLD, owner.placedAt, 0, units, null));
    }
    if (cancelled) {
      collect(fact(product, CANCELLED, owner.cancelledAt, owner.placedAt, units, null));
    }
  }

  private static RowData fact(StringData product, StringData what, long moment, long about, long units, RowData told) {
    StringData category = told == null || told.isNullAt(6) ? null : told.getString(6);
    StringData status = told == null || told.isNullAt(5) ? null : told.getString(5);
    return GenericRowData.of(product, what, moment, about, units, category, status);
  }
}
