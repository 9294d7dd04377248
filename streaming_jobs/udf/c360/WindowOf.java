package c360;

import org.apache.flink.table.annotation.DataTypeHint;
import org.apache.flink.table.data.TimestampData;
import org.apache.flink.table.functions.ScalarFunction;

/** {@code window_of(moment, seconds)}: start of the tumbling window, counted from 1970, that a moment lies in. */
public final class WindowOf extends ScalarFunction {
  public @DataTypeHint(value = "TIMESTAMP_LTZ(3)", bridgedTo = TimestampData.class) TimestampData eval(
      @DataTypeHint(value = "TIMESTAMP_LTZ(3)", bridgedTo = TimestampData.class) TimestampData moment, int seconds) {
    long size = seconds * 1000L;
    return TimestampData.fromEpochMillis(Math.floorDiv(moment.getMillisecond(), size) * size);
  }
}
