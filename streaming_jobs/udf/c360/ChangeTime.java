package c360;

import org.apache.flink.table.annotation.DataTypeHint;
import org.apache.flink.table.data.TimestampData;
import org.apache.flink.table.functions.ScalarFunction;

/** {@code change_time(changed, arrived)}: microseconds as a moment of milliseconds, but not after the message arrived. */
public final class ChangeTime extends ScalarFunction {
  public @DataTypeHint(value = "TIMESTAMP_LTZ(3)", bridgedTo = TimestampData.class) TimestampData eval(
      @DataTypeHint("BIGINT") Long changed,
      @DataTypeHint(value = "TIMESTAMP_LTZ(3)", bridgedTo = TimestampData.class) TimestampData arrived) {
    return TimestampData.fromEpochMillis(Math.min(Math.floorDiv((long) changed, 1000L), arrived.getMillisecond()));
  }
}
