package c360;

import java.io.IOException;
import java.util.Map;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.core.JsonFactory;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.core.JsonParser;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.core.JsonToken;
import org.apache.flink.table.data.GenericRowData;
import org.apache.flink.table.data.StringData;

/**
 * Reads Debezium's messages about the shop's tables into one row for all of them, in one pass over the bytes. Not for several
 * threads. What the features do not use is passed over.
 */
final class ShopChangeReader {
  static final int KIND = 0;
  static final int ORDER = 1;
  static final int CUSTOMER = 2;
  static final int PRODUCT = 3;
  static final int PART = 4;
  static final int STATUS = 5;
  static final int CATEGORY = 6;
  static final int QUANTITY = 7;
  static final int CENTS = 8;
  static final int MOMENT = 9;
  static final int CHANGED = 10;
  static final int REASON = 11;
  static final int SIZE = 12;

  static final long NO_TIME = 0;
  /** The end of the year 9999. */
  private static final long LAST_MILLIS = 253_402_300_799_999L;
  private static final long NO_COMMIT = Long.MIN_VALUE;
  private static final long AHEAD_MICROS = 3_600_000_000L;
  private static final String PREFIX = "dbserver1.public.";
  private static final String HEARTBEAT = "__debezium-heartbeat.";

  /** Of a row in an envelope: not there, with a value of another type, or as it should be. */
  private enum Image { NONE, BAD, READ }

  /** Column → place in the row, and whether there must be one. */
  private record Use(int place, boolean required) {}

  private static final Map<String, Map<String, Use>> TABLES =
      Map.of(
          "orders",
          Map.of(
              "order_id", new Use(ORDER, true),
              "customer_id", new Use(CUSTOMER, true),
              "ordered_at", new Use(MOMENT, true),
              "status", new Use(STATUS, true),
              "total_amount", new Use(CENTS, true),
              "updated_at", new Use(CHANGED, true)),
          "order_items",
          Map.of(
              "order_item_id", new Use(PART, true),
              "order_id", new Use(ORDER, true),
              "product_id", new Use(PRODUCT, true),
              "quantity", new Use(QUANTITY, true),
              "updated_at", new Use(CHANGED, true)),
          "stock",
          Map.of(
              "movement_id", new Use(PART, true),
              "product_id", new Use(PRODUCT, true),
              "movement_type", new Use(STATUS, true),
              "quantity", new Use(QUANTITY, true),
              "moved_at", new Use(CHANGED, true)),
          "products",
          Map.of(
              "product_id", new Use(PRODUCT, true),
              "category", new Use(CATEGORY, false),
              "status", new Use(STATUS, false),
              "updated_at", new Use(CHANGED, true)));

  private final JsonFactory json = new JsonFactory();
  private Map<String, Use> columns;
  private Object[] before;
  private Object[] after;
  private Image hasBefore;
  private Image hasAfter;
  private String op;
  private long committed;
  private boolean placed;
  private String reason;

  GenericRowData read(String topic, byte[] value) {
    if (topic.startsWith(HEARTBEAT)) {
      return heartbeat(value);
    }
    String table = topic.startsWith(PREFIX) ? topic.substring(PREFIX.length()) : "";
    columns = TABLES.get(table);
    if (columns == null || value == null) {
      return row(null, NO_TIME);
    }
    before = new Object[SIZE];
    after = new Object[SIZE];
    hasBefore = Image.NONE;
    hasAfter = Image.NONE;
    op = null;
    committed = NO_COMMIT;
    placed = false;
    reason = null;
    if (value.length == 0 || !Text.isUtf8(value) || Text.looksLikeAnotherEncoding(value)) {
      reason = value.length == 0 ? "malformed_record" : "bad_encoding";
      return judged(table);
    }
    try (JsonParser parser = json.createParser(value)) {
      if (parser.nextToken() == JsonToken.START_OBJECT) {
        envelope(parser);
      } else {
        reason = "malformed_record";
      }
      if (reason == null && parser.nextToken() != null) {
        reason = "malformed_record";
      }
    } catch (IOException error) {
      reason = "malformed_record";
    }
    return judged(table);
  }

  private GenericRowData judged(String table) {
    if (reason == null && op == null) {
      reason = "malformed_record";
    }
    if (reason == null && !(op.length() == 1 && "cudrtm".contains(op))) {
      reason = "not_allowed";
    }
    if (reason != null) {
      return refused();
    }
    if (op.equals("t") || op.equals("m")) {
      return row(null, NO_TIME);
    }
    // What was before tells something of a deletion only, and nothing where it cannot be read: that is no order, and no error.
    boolean deletion = op.equals("d");
    Object[] found = deletion ? before : after;
    Image image = deletion ? hasBefore : hasAfter;
    boolean content = image == Image.READ;
    for (Map.Entry<String, Use> each : columns.entrySet()) {
      content &= !each.getValue().required() || found[each.getValue().place()] != null;
    }
    if (!deletion && !content) {
      reason = image == Image.BAD ? "bad_type" : "missing_required";
    }
    if (!placed || committed == NO_COMMIT) {
      reason = "missing_required";
    }
    if (reason == null && content && found[MOMENT] != null && (long) found[MOMENT] - AHEAD_MICROS > committed) {
      reason = "future_event_time";
      // An order that was never placed cannot be deleted either: silver keeps such a deletion without its row.
      if (deletion) {
        return row(null, NO_TIME);
      }
    }
    if (reason != null) {
      return refused();
    }
    if (!content) {
      return row(null, NO_TIME);
    }
    GenericRowData row = row(table, (long) found[CHANGED]);
    for (int place = ORDER; place < CHANGED; place++) {
      Object each = found[place];
      row.setField(place, each instanceof String text ? StringData.fromString(text) : each);
    }
    return row;
  }

  private GenericRowData refused() {
    GenericRowData row = row(null, NO_TIME);
    row.setField(REASON, StringData.fromString(reason));
    return row;
  }

  private GenericRowData heartbeat(byte[] value) {
    long millis = 0;
    if (value != null) {
      try (JsonParser parser = json.createParser(value)) {
        while (parser.nextToken() != null) {
          if (parser.currentToken() == JsonToken.VALUE_NUMBER_INT && "ts_ms".equals(parser.currentName())) {
            millis = parser.getLongValue();
            if (Math.abs(millis) > LAST_MILLIS) {
              millis = 0;
            }
          }
        }
      } catch (IOException error) {
        millis = 0;
      }
    }
    return row("heartbeat", millis * 1000);
  }

  private static GenericRowData row(String kind, long changed) {
    GenericRowData row = new GenericRowData(SIZE);
    row.setField(KIND, kind == null ? null : StringData.fromString(kind));
    row.setField(CHANGED, changed);
    return row;
  }

  private void envelope(JsonParser parser) throws IOException {
    String name;
    while ((name = parser.nextFieldName()) != null) {
      JsonToken token = parser.nextToken();
      switch (name) {
        case "payload":
          if (token == JsonToken.START_OBJECT) {
            envelope(parser);
          }
          break;
        case "before":
          hasBefore = image(parser, token, before);
          break;
        case "after":
          hasAfter = image(parser, token, after);
          break;
        case "source":
          source(parser, token);
          break;
        case "op":
          op = token == JsonToken.VALUE_STRING ? parser.getText() : "";
          break;
        default:
          parser.skipChildren();
      }
    }
  }

  private void source(JsonParser parser, JsonToken token) throws IOException {
    if (token != JsonToken.START_OBJECT) {
      parser.skipChildren();
      return;
    }
    String name;
    while ((name = parser.nextFieldName()) != null) {
      JsonToken each = parser.nextToken();
      if (each == JsonToken.VALUE_NUMBER_INT && name.equals("ts_us")) {
        committed = parser.getLongValue();
      } else if (each == JsonToken.VALUE_NUMBER_INT && name.equals("ts_ms")) {
        long micros = parser.getLongValue() * 1000;
        committed = committed == NO_COMMIT ? micros : committed;
      } else if (each == JsonToken.VALUE_NUMBER_INT && name.equals("lsn")) {
        placed = true;
      } else {
        parser.skipChildren();
      }
    }
  }

  private Image image(JsonParser parser, JsonToken token, Object[] into) throws IOException {
    if (token != JsonToken.START_OBJECT) {
      parser.skipChildren();
      return Image.NONE;
    }
    Image image = Image.READ;
    String name;
    while ((name = parser.nextFieldName()) != null) {
      JsonToken each = parser.nextToken();
      Use use = columns.get(name);
      if (use == null || each == JsonToken.VALUE_NULL) {
        parser.skipChildren();
        continue;
      }
      Object found = ShopValue.read(parser, each, use.place());
      if (found == null) {
        image = Image.BAD;
      }
      into[use.place()] = found;
    }
    return image;
  }
}
