package c360;

import c360.EventContract.Field;
import c360.EventContract.Node;
import java.io.IOException;
import java.math.BigDecimal;
import java.util.Map;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.core.JsonFactory;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.core.JsonParser;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.core.JsonToken;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.core.json.JsonReadFeature;
import org.apache.flink.table.data.DecimalData;
import org.apache.flink.table.data.GenericRowData;
import org.apache.flink.table.data.StringData;
import org.apache.flink.table.data.TimestampData;
import org.apache.flink.table.data.binary.BinaryStringData;

/** Reads messages of one topic, in one pass over the bytes. Not for several threads. */
final class EventReader {
  private static final int FIRST = 1;
  private static final int VERSION = 2;
  private static final int UNREADABLE = 3;

  private final EventContract contract;
  private final long[] hashes;
  // Not a number and infinities are read, so that they are refused for what they are and not as broken JSON.
  private final JsonFactory json =
      JsonFactory.builder().enable(JsonReadFeature.ALLOW_NON_NUMERIC_NUMBERS).build();

  private GenericRowData row;
  private byte[] bytes;
  private String reason;
  private String where;
  private int rank;

  EventReader(EventContract contract) {
    this.contract = contract;
    this.hashes = new long[contract.fields.length];
  }

  GenericRowData read(byte[] value, long arrivedMillis) {
    int size = contract.fields.length;
    row = new GenericRowData(size + EventContract.EXTRA);
    bytes = value;
    reason = null;
    where = null;
    rank = 0;
    java.util.Arrays.fill(hashes, 0);
    if (value == null || value.length == 0) {
      refuse(UNREADABLE, "malformed_record", null);
    } else if (!Text.isUtf8(value)) {
      refuse(UNREADABLE, "bad_encoding", null);
    } else if (Text.looksLikeAnotherEncoding(value)) {
      refuse(UNREADABLE, "malformed_record", null);
    } else {
      parse(value);
    }
    if (reason == null) {
      judgeTime(arrivedMillis);
    }
    if (reason == null) {
      row.setField(size + 3, fingerprint());
      // The 128 bits of the id: what is looked up for each event is half as long as its text, and of fixed length.
      byte[] id = row.getString(contract.eventId).toBytes();
      row.setField(size + 4, Text.hexadecimal(id, 0, 18));
      row.setField(size + 5, Text.hexadecimal(id, 19, 36));
      return row;
    }
    GenericRowData refused = new GenericRowData(size + EventContract.EXTRA);
    refused.setField(contract.eventId, row.getField(contract.eventId));
    refused.setField(size + 1, StringData.fromString(reason));
    refused.setField(size + 2, where == null ? null : StringData.fromString(where));
    return refused;
  }

  private void parse(byte[] value) {
    try (JsonParser parser = json.createParser(value)) {
      if (parser.nextToken() != JsonToken.START_OBJECT) {
        refuse(UNREADABLE, "malformed_record", null);
        return;
      }
      object(parser, contract.root);
      if (parser.nextToken() != null) {
        refuse(UNREADABLE, "malformed_record", null);
      }
    } catch (IOException error) {
      refuse(UNREADABLE, "malformed_record", null);
    }
  }

  private void judgeTime(long arrivedMillis) {
    TimestampData moment = (TimestampData) row.getField(contract.eventTime);
    long millis = moment.getMillisecond();
    String path = contract.fields[contract.eventTime].path;
    if (millis > arrivedMillis + contract.clockSkewMillis) {
      refuse(FIRST, "future_event_time", path);
    } else if (millis < arrivedMillis - contract.maxAgeMillis) {
      refuse(FIRST, "past_event_time", path);
    }
    row.setField(contract.fields.length, TimestampData.fromEpochMillis(millis));
  }

  private void object(JsonParser parser, Node node) throws IOException {
    // A name that comes twice counts as its last value, and an object as its last whole one.
    node.nodes.values().forEach(child -> child.seen = false);
    node.fields.values().forEach(field -> row.setField(field.index, null));
    node.seen = true;
    String name;
    while ((name = parser.nextFieldName()) != null) {
      JsonToken token = parser.nextToken();
      Field field = node.fields.get(name);
      if (field != null) {
        value(parser, token, field);
        continue;
      }
      Node child = node.nodes.get(name);
      if (child != null && token == JsonToken.START_OBJECT) {
        object(parser, child);
        continue;
      }
      if (child == null) {
        refuse(FIRST, isNotFinite(parser, token) ? "bad_type" : "not_allowed", node.path + name);
      } else {
        refuse(FIRST, token == JsonToken.VALUE_NULL ? "missing_required" : "bad_type", node.path + name);
        child.seen = true;
      }
      parser.skipChildren();
    }
    for (Field field : node.fields.values()) {
      if (field.required && row.isNullAt(field.index)) {
        refuse(FIRST, "missing_required", field.path);
      }
    }
    for (Map.Entry<String, Node> child : node.nodes.entrySet()) {
      if (!child.getValue().seen) {
        refuse(FIRST, "missing_required", node.path + child.getKey());
      }
    }
  }

  private void value(JsonParser parser, JsonToken token, Field field) throws IOException {
    if (token == JsonToken.VALUE_NULL) {
      row.setField(field.index, null);
      hashes[field.index] = 0;
      if (field.required) {
        refuse(FIRST, "missing_required", field.path);
      }
      return;
    }
    boolean known;
    switch (field.type) {
      case "map":
        known = token == JsonToken.START_OBJECT && map(parser, field);
        break;
      case "string":
        known = token == JsonToken.VALUE_STRING && string(parser.getText(), field);
        break;
      case "timestamp":
        known = token == JsonToken.VALUE_STRING && timestamp(parser.getText(), field);
        break;
      case "boolean":
        known = token.isBoolean();
        set(field, known && parser.getBooleanValue(), token == JsonToken.VALUE_TRUE ? 1 : 2);
        break;
      case "decimal":
        known = (token.isNumeric() || token == JsonToken.VALUE_STRING) && decimal(parser, token, field);
        break;
      case "double":
        known = token.isNumeric() && real(parser, field);
        break;
      default:
        known = token == JsonToken.VALUE_NUMBER_INT && whole(parser, field);
    }
    if (!known) {
      refuse(FIRST, "bad_type", field.path);
      parser.skipChildren();
      // Something is there, so that it does not count as missing too.
      row.setField(field.index, null);
    }
  }

  private boolean string(String text, Field field) {
    if (Text.hasLoneSurrogate(text)) {
      refuse(UNREADABLE, "malformed_record", null);
    } else if (field.sealed) {
      set(field, StringData.fromString(text), 0);
      return true;
    } else if (field.maxLength >= 0
        && text.length() > field.maxLength
        && text.codePointCount(0, text.length()) > field.maxLength) {
      refuse(FIRST, "out_of_range", field.path);
    } else if (!matches(text, field)) {
      refuse(FIRST, "not_allowed", field.path);
    } else if (field.allowed != null && !field.allowed.contains(text)) {
      refuse(FIRST, "not_allowed", field.path);
    }
    set(field, StringData.fromString(text), Text.hash(text));
    return true;
  }

  private static boolean matches(String text, Field field) {
    if (field.pattern == null
        || field.uuid && text.length() == 36 && Text.isUuid(text)
        || field.notBlank && !text.isEmpty() && text.charAt(0) > ' ' && text.charAt(0) < 127) {
      return true;
    }
    return field.pattern.matcher(text).find();
  }

  private boolean timestamp(String text, Field field) {
    long micros = Text.utcMicros(text);
    if (micros == Text.NO_MOMENT) {
      return false;
    }
    long millis = Math.floorDiv(micros, 1000L);
    set(field, TimestampData.fromEpochMillis(millis, (int) (micros - millis * 1000) * 1000), micros);
    return true;
  }

  private boolean whole(JsonParser parser, Field field) throws IOException {
    if (parser.getNumberType() == JsonParser.NumberType.BIG_INTEGER) {
      refuse(FIRST, "out_of_range", field.path);
      set(field, field.type.equals("int") ? (Object) 0 : (Object) 0L, 0);
      return true;
    }
    long number = parser.getLongValue();
    boolean narrow = field.type.equals("int");
    if (field.path.equals("schema_version") && field.maximum != null && number > field.maximum) {
      refuse(VERSION, "unknown_schema_version", field.path);
    } else if (narrow && number != (int) number || outside(number, field)) {
      refuse(FIRST, "out_of_range", field.path);
    }
    set(field, narrow ? (Object) (int) number : (Object) number, number);
    return true;
  }

  private boolean real(JsonParser parser, Field field) throws IOException {
    double number = parser.getDoubleValue();
    if (Double.isNaN(number) || Double.isInfinite(number)) {
      return false;
    }
    if (outside(number, field)) {
      refuse(FIRST, "out_of_range", field.path);
    }
    set(field, number, Double.doubleToLongBits(number == 0 ? 0.0 : number));
    return true;
  }

  private boolean decimal(JsonParser parser, JsonToken token, Field field) throws IOException {
    BigDecimal number;
    try {
      number = new BigDecimal(parser.getText());
    } catch (NumberFormatException error) {
      return false;
    }
    if (number.scale() > field.scale) {
      return false;
    }
    if (number.abs().compareTo(BigDecimal.ONE.scaleByPowerOfTen(field.precision - field.scale)) >= 0
        || outside(number.doubleValue(), field)) {
      refuse(FIRST, "out_of_range", field.path);
      number = BigDecimal.ZERO;
    }
    DecimalData held = DecimalData.fromBigDecimal(number, field.precision, field.scale);
    set(field, held, held.toBigDecimal().unscaledValue().longValue());
    return true;
  }

  /** Texts, numbers and flags by name; kept as the JSON that came. */
  private boolean map(JsonParser parser, Field field) throws IOException {
    int start = (int) parser.currentTokenLocation().getByteOffset();
    while (parser.nextFieldName() != null) {
      JsonToken token = parser.nextToken();
      if (token == JsonToken.VALUE_STRING) {
        if (Text.hasLoneSurrogate(parser.getText())) {
          refuse(UNREADABLE, "malformed_record", null);
        }
      } else if (token == JsonToken.VALUE_NUMBER_INT) {
        if (parser.getNumberType() == JsonParser.NumberType.BIG_INTEGER) {
          refuse(FIRST, "out_of_range", field.path);
        }
      } else if (token == JsonToken.VALUE_NUMBER_FLOAT) {
        if (!Double.isFinite(parser.getDoubleValue())) {
          refuse(FIRST, "bad_type", field.path);
        }
      } else if (!token.isBoolean()) {
        refuse(FIRST, "bad_type", field.path);
        parser.skipChildren();
      }
    }
    int length = (int) parser.currentLocation().getByteOffset() - start;
    set(field, BinaryStringData.fromBytes(bytes, start, length), Text.hash(bytes, start, length));
    return true;
  }

  private static boolean outside(double number, Field field) {
    return field.minimum != null && number < field.minimum || field.maximum != null && number > field.maximum;
  }

  private static boolean isNotFinite(JsonParser parser, JsonToken token) throws IOException {
    return token == JsonToken.VALUE_NUMBER_FLOAT && !Double.isFinite(parser.getDoubleValue());
  }

  private void set(Field field, Object value, long hash) {
    row.setField(field.index, value);
    hashes[field.index] = hash;
  }

  private void refuse(int its, String why, String path) {
    if (its > rank) {
      rank = its;
      reason = why;
      where = path;
    }
  }

  private long fingerprint() {
    long all = 1;
    for (int i = 0; i < hashes.length; i++) {
      all = Text.mix(all * 31 + (row.isNullAt(i) || contract.fields[i].sealed ? 0 : hashes[i] * 2 + 1));
    }
    return all;
  }
}
