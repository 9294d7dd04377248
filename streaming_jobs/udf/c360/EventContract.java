package c360;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.regex.Pattern;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.JsonNode;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.ObjectMapper;
import org.apache.flink.table.api.DataTypes;
import org.apache.flink.table.types.DataType;

/** A topic's contract as {@code c360.streams.sql} writes it for {@link ParseEvent}. */
final class EventContract {
  static final int EXTRA = 6;

  final Field[] fields;
  final Node root = new Node("");
  final int eventId;
  final int eventTime;
  final long clockSkewMillis;
  final long maxAgeMillis;

  /** A leaf of the event. */
  static final class Field {
    int index;
    String path;
    String column;
    String type;
    boolean required;
    boolean sealed;
    int precision;
    int scale;
    int maxLength = -1;
    Double minimum;
    Double maximum;
    Pattern pattern;
    boolean uuid;
    boolean notBlank;
    Set<String> allowed;
  }

  /** An object of the event: its leaves and objects by name. */
  static final class Node {
    final String path;
    final Map<String, Field> fields = new HashMap<>();
    final Map<String, Node> nodes = new HashMap<>();
    boolean seen;

    Node(String path) {
      this.path = path;
    }
  }

  private static final String UUID =
      "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$";

  private EventContract(JsonNode document) {
    List<Field> found = new ArrayList<>();
    for (JsonNode item : document.get("fields")) {
      found.add(field(item, found.size()));
    }
    fields = found.toArray(new Field[0]);
    eventId = index("event_id");
    if (!fields[eventId].uuid) {
      throw new IllegalArgumentException("The pattern of event_id in the topic's contract must be a UUID's: " + UUID);
    }
    eventTime = index("event_timestamp");
    clockSkewMillis = document.get("clock_skew_ms").asLong();
    maxAgeMillis = document.get("max_age_ms").asLong();
  }

  static EventContract parse(String text) {
    try {
      return new EventContract(new ObjectMapper().readTree(text));
    } catch (java.io.IOException error) {
      throw new IllegalArgumentException("The contract of the topic is no JSON object", error);
    }
  }

  DataType rowType() {
    List<DataTypes.Field> columns = new ArrayList<>();
    for (Field field : fields) {
      columns.add(DataTypes.FIELD(field.column, dataType(field)));
    }
    columns.add(DataTypes.FIELD("event_time", DataTypes.TIMESTAMP_LTZ(3)));
    columns.add(DataTypes.FIELD("reason", DataTypes.STRING()));
    columns.add(DataTypes.FIELD("field_name", DataTypes.STRING()));
    columns.add(DataTypes.FIELD("fingerprint", DataTypes.BIGINT()));
    columns.add(DataTypes.FIELD("id_high", DataTypes.BIGINT()));
    columns.add(DataTypes.FIELD("id_low", DataTypes.BIGINT()));
    return DataTypes.ROW(columns.toArray(new DataTypes.Field[0]));
  }

  private static DataType dataType(Field field) {
    switch (field.type) {
      case "int":
        return DataTypes.INT();
      case "long":
        return DataTypes.BIGINT();
      case "double":
        return DataTypes.DOUBLE();
      case "boolean":
        return DataTypes.BOOLEAN();
      case "timestamp":
        return DataTypes.TIMESTAMP_LTZ(6);
      case "decimal":
        return DataTypes.DECIMAL(field.precision, field.scale);
      default:
        return DataTypes.STRING();
    }
  }

  private Field field(JsonNode item, int index) {
    Field field = new Field();
    field.index = index;
    field.path = item.get("path").asText();
    field.column = item.get("column").asText();
    field.type = item.get("type").asText();
    field.required = item.path("required").asBoolean();
    field.sealed = item.path("sealed").asBoolean();
    field.precision = item.path("precision").asInt();
    field.scale = item.path("scale").asInt();
    field.maxLength = item.path("max_length").asInt(-1);
    field.minimum = item.has("minimum") ? item.get("minimum").asDouble() : null;
    field.maximum = item.has("maximum") ? item.get("maximum").asDouble() : null;
    if (item.has("pattern")) {
      String pattern = item.get("pattern").asText();
      // As Python reads it: letters of all scripts, and one line feed at the end is no part of the line.
      field.pattern = Pattern.compile(pattern, Pattern.UNICODE_CHARACTER_CLASS | Pattern.UNIX_LINES);
      field.uuid = pattern.equals(UUID);
      field.notBlank = pattern.equals("\\S");
    }
    if (item.has("allowed")) {
      field.allowed = new HashSet<>();
      item.get("allowed").forEach(value -> field.allowed.add(value.asText()));
    }
    String[] steps = field.path.split("\\.");
    Node here = root;
    StringBuilder path = new StringBuilder();
    for (int i = 0; i < steps.length - 1; i++) {
      path.append(steps[i]).append('.');
      String nodePath = path.toString();
      here = here.nodes.computeIfAbsent(steps[i], name -> new Node(nodePath));
    }
    here.fields.put(steps[steps.length - 1], field);
    return field;
  }

  private int index(String path) {
    for (Field field : fields) {
      if (field.path.equals(path)) {
        return field.index;
      }
    }
    throw new IllegalArgumentException("The contract of the topic has no field " + path);
  }
}
