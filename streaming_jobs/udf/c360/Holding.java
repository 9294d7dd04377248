package c360;

import org.apache.flink.table.data.DecimalData;
import org.apache.flink.table.data.GenericRowData;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.data.StringData;

/**
 * What {@code InventoryInsights} keeps of a product beside its sales and what is to come. Moments are microseconds.
 *
 * <p>{@code clock} is the newest moment that was taken in; {@code last} that of the newest sale then, {@code oldest} of the first one
 * in the seven days before; {@code nextSale} and {@code nextDue} are the first after it, {@code newestSale} and {@code newestDue} the
 * last of all. {@code listedAt} is the moment of the version that {@code category} and {@code status} are of. {@code sales} and
 * {@code agenda} are where their timelines begin.
 */
public class Holding {
  private static final long DAY = Moments.DAY;
  private static final StringData OUT = StringData.fromString("out_of_stock");
  private static final StringData CRITICAL = StringData.fromString("critical");
  private static final StringData LOW = StringData.fromString("low");
  private static final StringData HEALTHY = StringData.fromString("healthy");
  private static final StringData IMMEDIATE = StringData.fromString("immediate");
  private static final StringData HIGH = StringData.fromString("high");
  private static final StringData MEDIUM = StringData.fromString("medium");
  private static final StringData NO = StringData.fromString("none");

  public boolean begun;
  public boolean changed;
  public boolean known;
  public String category;
  public String status;
  public long listedAt;
  public long stock;
  public long units;
  public long version;
  public long clock;
  public long last;
  public long oldest;
  public long nextSale;
  public long newestSale;
  public long nextDue;
  public long newestDue;
  public long timer;
  public byte[] sales;
  public long salesPages;
  public byte[] agenda;
  public long agendaPages;

  void begin() {
    if (!begun) {
      begun = true;
      clock = last = newestSale = newestDue = Long.MIN_VALUE;
      oldest = nextSale = nextDue = timer = Timeline.NONE;
    }
  }

  void keep(Timeline sold, Timeline due) {
    sales = sold.root();
    salesPages = sold.pages();
    agenda = due.root();
    agendaPages = due.pages();
  }

  void changed(long changes) {
    changed = true;
    version += changes;
  }

  void listed(long moment, InventoryInsights.Listed listed) {
    changed(1);
    if (!known || moment > listedAt) {
      known = true;
      listedAt = moment;
      category = listed.category;
      status = listed.status;
    }
  }

  /** The first moment after the clock at which something changes. */
  long next() {
    long next = Math.min(nextSale, nextDue);
    if (oldest != Timeline.NONE) {
      next = Math.min(next, oldest + 7 * DAY + 1);
    }
    return last != Long.MIN_VALUE && last + 30 * DAY > clock ? Math.min(next, last + 30 * DAY) : next;
  }

  /** The columns of the row, without the product. */
  RowData row() {
    long left = Math.max(stock, 0);
    StringData judged = HEALTHY;
    StringData urgency = NO;
    if (left == 0) {
      judged = OUT;
      urgency = units > 0 ? IMMEDIATE : NO;
    } else if (units > 0 && 7 * left <= 3 * units) {
      judged = CRITICAL;
      urgency = HIGH;
    } else if (units > 0 && left <= units) {
      judged = LOW;
      urgency = MEDIUM;
    }
    return GenericRowData.of(
        StringData.fromString(category),
        StringData.fromString(status),
        stock,
        units,
        // Halves are rounded up.
        DecimalData.fromUnscaledLong(Math.floorDiv(units * 20_000 + 7, 14), 18, 4),
        units == 0 ? null : DecimalData.fromUnscaledLong(Math.floorDiv(1_400 * left + units, 2 * units), 18, 2),
        judged,
        last == Long.MIN_VALUE || last + 30 * DAY <= clock,
        last == Long.MIN_VALUE ? null : Moments.data(last),
        Math.max(2 * units - left, 0),
        urgency,
        Moments.data(clock),
        version);
  }
}
